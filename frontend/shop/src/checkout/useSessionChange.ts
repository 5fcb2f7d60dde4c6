import type { UseCheckout } from "@holdfast/checkout/react";
import { useEffect, useRef } from "react";
import { useSession } from "../session";

/**
 * Begin anew when the buyer signs in or out: an order belongs to whoever began its checkout. The next checkout replaces
 * a guest's.
 */
export function useSessionChange({ state, startOver }: UseCheckout): void {
  const session = useSession();
  const begunIn = useRef(session);
  useEffect(() => {
    if (begunIn.current === session) return;
    begunIn.current = session;
    // A request that found the sign-in expired says so itself.
    if (state === "payable" || (state !== "placed" && session !== "expired")) startOver();
  }, [session, state, startOver]);
}
