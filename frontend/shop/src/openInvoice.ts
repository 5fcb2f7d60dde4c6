/** Payment of a subscription's open invoice: its charge was declined, or needs the buyer. */

import { type CheckoutMessage, messageFor } from "@holdfast/checkout";
import type { Stripe, StripeElements } from "@stripe/stripe-js";

const ASK_AGAIN_MS = 2000;
const ANSWERS_WITHIN_MS = 10_000;
/** A payment may reach Stripe after the first questions about it: "not paid" is believed when it is said again. */
const ANSWERS_TO_BELIEVE = 4;

export interface OpenInvoice {
  stripe: Stripe;
  elements: StripeElements;
  clientSecret: string;
  /** Absolute address of the page that a bank sends the buyer back to. */
  returnUrl: string;
}

/** paid: or at the bank. open: the buyer can pay it. ended: cancelled, so that nobody can pay it any more. */
export type ChargeState = "paid" | "open" | "ended";

/** Message to a buyer whose open invoice cannot be paid here any more. The subscription is looked at again. */
const ENDED: CheckoutMessage = {
  kind: "open_invoice_ended",
  title: "This payment has ended",
  text: "It was not made in time, or was cancelled elsewhere. You have not been charged here. Look at the subscription's status for what to do next.",
  money: "not_charged",
  action: "start_over",
};

/** Return "paid" once nothing is left to pay, else what to tell the buyer. Ask no more once the page is left. */
export async function payOpenInvoice(
  { stripe, elements, clientSecret, returnUrl }: OpenInvoice,
  tell: (message: CheckoutMessage) => void,
  left: AbortSignal,
): Promise<"paid" | CheckoutMessage> {
  const confirmParams = { return_url: returnUrl };
  const result = await stripe.confirmPayment({ elements, confirmParams, redirect: "if_required" }).catch(() => null);
  if (result && !result.error && stateOf(result.paymentIntent.status) === "paid") return "paid";
  if (result?.error?.type === "card_error" || result?.error?.type === "validation_error")
    return messageFor(result.error);
  // It may have been paid although the answer was lost, or in another tab.
  for (let unpaid = 0; !left.aborted; ) {
    const state = await chargeState(stripe, clientSecret);
    if (state === "paid") return state;
    if (state === "ended") return ENDED;
    unpaid = state === "open" ? unpaid + 1 : 0;
    if (unpaid === ANSWERS_TO_BELIEVE) return messageFor("not_paid");
    tell(messageFor("outcome_unknown"));
    await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
  }
  return messageFor("outcome_unknown");
}

/** Ask Stripe. Return undefined while it cannot be asked. */
export async function chargeState(stripe: Stripe, clientSecret: string): Promise<ChargeState | undefined> {
  const late = new Promise<null>((resolve) => setTimeout(resolve, ANSWERS_WITHIN_MS, null));
  const result = await Promise.race([stripe.retrievePaymentIntent(clientSecret).catch(() => null), late]);
  return result?.paymentIntent && stateOf(result.paymentIntent.status);
}

function stateOf(status: string): ChargeState {
  if (["succeeded", "processing", "requires_capture"].includes(status)) return "paid";
  return status === "canceled" ? "ended" : "open";
}
