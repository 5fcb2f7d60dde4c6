/** Growing pauses between questions to a server. */

const SHORTEST_MS = 1_000;
const LONGEST_MS = 10_000;

export function pauseMs(asked: number): number {
  return Math.min(LONGEST_MS, SHORTEST_MS * 1.5 ** asked);
}

export function isAway(): boolean {
  return document.visibilityState === "hidden" || navigator.onLine === false;
}

/** Call back whenever the page may have come back from being hidden or offline. Return what ends that. */
export function onReturn(callback: () => void): () => void {
  document.addEventListener("visibilitychange", callback);
  addEventListener("online", callback);
  return () => {
    document.removeEventListener("visibilitychange", callback);
    removeEventListener("online", callback);
  };
}

/** Wait, and then until the page is visible and online. Coming back ends the wait at once. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    let isOver = false;
    const proceed = () => {
      if (isAway()) return;
      clearTimeout(timer);
      stop();
      resolve();
    };
    const stop = onReturn(() => (isOver || !isAway()) && proceed());
    const timer = setTimeout(() => {
      isOver = true;
      proceed();
    }, ms);
  });
}
