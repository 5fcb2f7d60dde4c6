import { useEffect, useState, useSyncExternalStore } from "react";
import { CheckoutFlow } from "../checkout-flow.js";
import type { UseCheckout, UseCheckoutOptions } from "./types.js";

/** Drive the checkout page. The hook owns the key, the stored id, resuming, superseding and lost answers. */
export function useCheckout(options: UseCheckoutOptions): UseCheckout {
  const [flow] = useState(() => new CheckoutFlow(options));
  const snapshot = useSyncExternalStore(flow.subscribe, flow.getSnapshot);
  useEffect(() => flow.update(options));
  useEffect(() => flow.start(), [flow]);
  const { begin, pay, edit, startOver, lookAgain } = flow;
  return { ...snapshot, begin, pay, edit, startOver, lookAgain };
}
