/** Address of the confirmation page, with the parameters of Stripe and of this package. */

import type { IntentId } from "./types.js";

const CHECKOUT = "checkout";
const INTENTS = ["payment_intent", "setup_intent"];
const SECRETS = ["payment_intent_client_secret", "setup_intent_client_secret", "redirect_status"];

export interface Arrival {
  checkoutAttemptId: string | null;
  /** The intent that the buyer returned from paying with. */
  intent: IntentId | null;
}

/** Remove Stripe's client secret from the address bar. Call it before anything else that may read the address. */
export function stripSecrets(): void {
  replaceParameters((parameters) => {
    for (const name of SECRETS) parameters.delete(name);
  });
}

/** Read the ids of the address after its secrets are removed. */
export function readArrival(): Arrival {
  stripSecrets();
  const parameters = new URL(location.href).searchParams;
  const paymentIntentId = parameters.get("payment_intent");
  const setupIntentId = parameters.get("setup_intent");
  return {
    checkoutAttemptId: parameters.get(CHECKOUT),
    intent: paymentIntentId ? { paymentIntentId } : setupIntentId ? { setupIntentId } : null,
  };
}

/** Put the checkout's id into the address, so that a reload or another browser finds it. */
export function showInAddress(checkoutAttemptId: string): void {
  replaceParameters((parameters) => parameters.set(CHECKOUT, checkoutAttemptId));
}

/** Remove the intent from the address once its payment is decided. */
export function removeIntent(): void {
  replaceParameters((parameters) => {
    for (const name of INTENTS) parameters.delete(name);
  });
}

/** Return the address of the confirmation page for a checkout and the intent that was paid. */
export function confirmationUrl(returnUrl: string, checkoutAttemptId: string, intentId?: string): string {
  const url = new URL(returnUrl, location.href);
  url.searchParams.set(CHECKOUT, checkoutAttemptId);
  if (intentId) url.searchParams.set(intentId.startsWith("seti_") ? "setup_intent" : "payment_intent", intentId);
  return url.href;
}

function replaceParameters(change: (parameters: URLSearchParams) => void): void {
  const url = new URL(location.href);
  change(url.searchParams);
  if (url.href !== location.href) history.replaceState(history.state, "", url);
}
