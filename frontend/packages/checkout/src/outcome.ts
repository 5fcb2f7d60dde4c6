/** Look up what became of a payment whose answer did not come. */

import type { CheckoutClient } from "./client.js";
import { problemTypeOf } from "./problems.js";
import { intentOf, outcomeOf, type StripeIntent, type StripeLike } from "./stripe.js";
import type { Checkout, CheckoutStatus } from "./types.js";

const ANSWERS_WITHIN_MS = 10_000;

/** Answers of Stripe and of the gateway, each if it came. */
export interface Findings {
  intent?: StripeIntent | undefined;
  /** `not_found`: the gateway does not show the checkout to whoever is signed in now. */
  status?: CheckoutStatus["status"] | "not_found" | undefined;
}

/** Statuses of a checkout that nobody can pay any more, and of one that was not paid when it was asked for. */
export const ENDED: ReadonlySet<CheckoutStatus["status"]> = new Set(["expired", "superseded"]);
export const UNPAID: ReadonlySet<CheckoutStatus["status"]> = new Set(["open", "payment_failed", "expired"]);

/**
 * Ask Stripe and the gateway at once. One that does not answer does not keep back what the other knows, but where the
 * payment was `madeElsewhere` only the gateway's count.
 */
export function findOut(
  stripe: StripeLike,
  client: CheckoutClient,
  checkout: Checkout,
  madeElsewhere: boolean,
): Promise<Findings> {
  const intent = inTime(retrieve(stripe, checkout));
  const status = inTime(readStatus(client, checkout.checkoutAttemptId));
  const both = async (): Promise<Findings> => ({ intent: await intent, status: await status });
  return Promise.race([
    intent.then((intent) => (outcomeOf(intent?.status) === "placed" && !madeElsewhere ? { intent } : both())),
    status.then((status) => (status === "completed" || status === "needs_review" ? { status } : both())),
  ]);
}

/** Return true if the findings say that nothing was paid, which a payment on its way may still change. */
export function isUnpaid({ intent, status }: Findings): boolean {
  if (intent) return intent.status === "requires_payment_method" || intent.status === "requires_confirmation";
  return status === "open" || status === "payment_failed";
}

/** Return what Stripe tells of a checkout that the gateway does not show: the buyer's sign-in has ended. */
export function hiddenStatus(intent: StripeIntent | undefined): CheckoutStatus["status"] | undefined {
  if (outcomeOf(intent?.status) !== "placed") return undefined;
  return intent?.status === "processing" ? "processing" : "completed";
}

async function readStatus(client: CheckoutClient, checkoutAttemptId: string): Promise<Findings["status"]> {
  try {
    return (await client.checkoutStatus(checkoutAttemptId)).status;
  } catch (error) {
    if (problemTypeOf(error) === "checkout_not_found") return "not_found";
    throw error;
  }
}

async function retrieve(stripe: StripeLike, checkout: Checkout): Promise<StripeIntent | undefined> {
  const { intentType, clientSecret } = checkout;
  return intentOf(
    await (intentType === "setup"
      ? stripe.retrieveSetupIntent(clientSecret)
      : stripe.retrievePaymentIntent(clientSecret)),
  );
}

/** Return the answer, or undefined if it fails or takes too long. */
function inTime<T>(answer: Promise<T>): Promise<T | undefined> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(undefined), ANSWERS_WITHIN_MS);
    answer.then(resolve, () => resolve(undefined)).finally(() => clearTimeout(timer));
  });
}
