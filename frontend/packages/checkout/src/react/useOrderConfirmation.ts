import { useEffect, useState, useSyncExternalStore } from "react";
import { ConfirmationFlow } from "../confirmation-flow.js";
import type { UseOrderConfirmation, UseOrderConfirmationOptions } from "./types.js";

/** Drive the confirmation page: complete the checkout, wait for the bank, and say what became of the money. */
export function useOrderConfirmation(options: UseOrderConfirmationOptions): UseOrderConfirmation {
  const [flow] = useState(() => new ConfirmationFlow(options));
  const snapshot = useSyncExternalStore(flow.subscribe, flow.getSnapshot);
  useEffect(() => flow.update(options));
  useEffect(() => flow.start(), [flow]);
  return { ...snapshot, refresh: flow.refresh };
}
