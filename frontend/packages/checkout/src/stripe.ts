/** Stripe.js by what is used of it, so that this package needs no Stripe. */

export interface StripeError {
  type: string;
  code?: string | undefined;
  decline_code?: string | undefined;
  message?: string | undefined;
  payment_intent?: StripeIntent | undefined;
  setup_intent?: StripeIntent | undefined;
}

export interface StripeIntent {
  id: string;
  status: string;
}

export interface StripeResult {
  error?: StripeError | undefined;
  paymentIntent?: StripeIntent | undefined;
  setupIntent?: StripeIntent | undefined;
}

/** Stripe.js, as far as this package calls it. */
export interface StripeLike {
  confirmPayment(options: never): Promise<StripeResult>;
  confirmSetup(options: never): Promise<StripeResult>;
  retrievePaymentIntent(clientSecret: string): Promise<StripeResult>;
  retrieveSetupIntent(clientSecret: string): Promise<StripeResult>;
}

/** Meaning of an intent's status for the buyer. */
export type PaymentOutcome = "placed" | "payable" | "closed" | "unknown";

export function outcomeOf(status: string | undefined): PaymentOutcome {
  switch (status) {
    case "succeeded":
    case "processing":
    case "requires_capture":
      return "placed";
    case "requires_payment_method":
    case "requires_confirmation":
    case "requires_action":
      return "payable";
    case "canceled":
      return "closed";
    default:
      return "unknown";
  }
}

/** Confirm an intent by Stripe.js. Where the payment needs a redirect this does not return. */
export async function confirm(
  stripe: StripeLike,
  elements: unknown,
  intentType: "payment" | "setup",
  returnUrl: string,
): Promise<StripeResult> {
  const options = { elements, confirmParams: { return_url: returnUrl }, redirect: "if_required" } as never;
  return intentType === "setup" ? stripe.confirmSetup(options) : stripe.confirmPayment(options);
}

export function intentOf(result: StripeResult): StripeIntent | undefined {
  return result.paymentIntent ?? result.setupIntent;
}

/** True if an error says that nothing was paid, and that the same checkout can be paid again. */
export function isAnswerOfTheBank(error: StripeError): boolean {
  return error.type === "card_error" || error.type === "validation_error" || isAuthenticationFailure(error);
}

function isAuthenticationFailure(error: StripeError): boolean {
  return error.code?.endsWith("_intent_authentication_failure") ?? false;
}
