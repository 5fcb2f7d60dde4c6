import type { UseCheckout } from "@holdfast/checkout/react";
import { useEffect, useRef } from "react";
import { useIdentity, useSession } from "../session";

/**
 * Look again when the buyer signs in or out: an order belongs to whoever began its checkout. The next checkout replaces
 * a guest's. A payment under way is waited for: it may have been made.
 */
export function useSessionChange({ state, lookAgain }: UseCheckout): void {
  const session = useSession();
  const identity = useIdentity();
  const begunBy = useRef(identity);
  useEffect(() => {
    if (begunBy.current === identity || state === "confirming" || state === "checking") return;
    begunBy.current = identity;
    // A request that found the sign-in expired says so itself.
    if (state === "payable" || (state !== "placed" && session !== "expired")) lookAgain();
  }, [identity, session, state, lookAgain]);
}
