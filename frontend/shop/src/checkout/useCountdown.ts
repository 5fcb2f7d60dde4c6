import { useEffect, useState } from "react";

/** Seconds that are left of a wait. It begins anew with each `subject`. */
export function useCountdown(seconds: number, subject: unknown): number {
  const [left, setLeft] = useState(seconds);
  // biome-ignore lint/correctness/useExhaustiveDependencies: a new subject of as many seconds begins anew
  useEffect(() => {
    setLeft(seconds);
    if (seconds <= 0) return;
    const timer = setInterval(() => setLeft((before) => Math.max(before - 1, 0)), 1000);
    return () => clearInterval(timer);
  }, [seconds, subject]);
  return left;
}
