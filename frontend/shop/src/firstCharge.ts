/** Payment of a subscription's first charge, which was declined or needs the buyer. */

import { type CheckoutMessage, messageFor } from "@holdfast/checkout";
import type { Stripe, StripeElements } from "@stripe/stripe-js";

const ASK_AGAIN_MS = 2000;

export interface FirstCharge {
  stripe: Stripe;
  elements: StripeElements;
  clientSecret: string;
  /** Absolute address of the page that a bank sends the buyer back to. */
  returnUrl: string;
}

/** Return null once nothing is left to pay, else what to tell the buyer, who may then try again. */
export async function payFirstCharge(
  { stripe, elements, clientSecret, returnUrl }: FirstCharge,
  tell: (message: CheckoutMessage) => void,
): Promise<CheckoutMessage | null> {
  const confirmParams = { return_url: returnUrl };
  const result = await stripe.confirmPayment({ elements, confirmParams, redirect: "if_required" }).catch(() => null);
  if (result && !result.error) return null;
  if (result?.error.type === "card_error" || result?.error.type === "validation_error") return messageFor(result.error);
  // It may have been paid although the answer was lost, or in another tab.
  for (;;) {
    const isOver = await isChargeOver(stripe, clientSecret);
    if (isOver !== undefined) return isOver ? null : messageFor("not_paid");
    tell(messageFor("outcome_unknown"));
    await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
  }
}

/** True if it is paid, at the bank, or cancelled; undefined while Stripe cannot be asked. */
export async function isChargeOver(stripe: Stripe, clientSecret: string): Promise<boolean | undefined> {
  const result = await stripe.retrievePaymentIntent(clientSecret).catch(() => null);
  if (!result?.paymentIntent) return undefined;
  return ["succeeded", "processing", "requires_capture", "canceled"].includes(result.paymentIntent.status);
}
