/** Contract of the hooks. Stripe's objects are typed by what is used of them, so that this package needs no Stripe. */

import type { CheckoutClient } from "../client.js";
import type { Checkout, CheckoutMessage, CheckoutRequest, Purchase } from "../types.js";

export interface StripeError {
  type: string;
  code?: string;
  decline_code?: string;
  message?: string;
  payment_intent?: { id: string; status: string };
  setup_intent?: { id: string; status: string };
}

export interface StripeResult {
  error?: StripeError;
  paymentIntent?: { id: string; status: string };
  setupIntent?: { id: string; status: string };
}

/** Stripe.js, as far as the hooks use it. */
export interface StripeLike {
  confirmPayment(options: never): Promise<StripeResult>;
  confirmSetup(options: never): Promise<StripeResult>;
  retrievePaymentIntent(clientSecret: string): Promise<StripeResult>;
  retrieveSetupIntent(clientSecret: string): Promise<StripeResult>;
}

export interface UseCheckoutOptions {
  client: CheckoutClient;
  /** Absolute URL of the confirmation page. The hook adds `?checkout=<checkoutAttemptId>`. */
  returnUrl: string;
  /** Called once when the payment needs no redirect and was accepted or is processing: show the confirmation. */
  onPlaced(checkoutAttemptId: string, intentId?: string): void;
}

export interface UseCheckout {
  /**
   * - resuming: a stored checkout is looked up
   * - editing: show the form of contact, address and shipping
   * - beginning: initiate-checkout is under way
   * - payable: show the Payment Element for `checkout.clientSecret`
   * - confirming: Stripe confirms the payment
   * - checking: the answer got lost; the outcome is looked up, do not let the buyer pay again
   * - placed: paid, or at the bank
   */
  state: "resuming" | "editing" | "beginning" | "payable" | "confirming" | "checking" | "placed";
  checkout: Checkout | null;
  message: CheckoutMessage | null;
  begin(request: CheckoutRequest, options?: { expectedDueToday?: number }): Promise<void>;
  pay(stripe: StripeLike, elements: unknown): Promise<void>;
  edit(): void;
  startOver(): void;
}

export interface UseOrderConfirmationOptions {
  client: CheckoutClient;
  /** Called once when the purchase is placed: empty the cart. */
  onPlaced?(): void;
}

export interface UseOrderConfirmation {
  state:
    | "loading"
    | "processing"
    | "completed"
    | "needs_review"
    | "payment_failed"
    | "requires_action"
    | "open"
    | "expired"
    | "superseded"
    | "not_found"
    | "unavailable";
  checkoutAttemptId: string | null;
  purchase: Purchase | null;
  message: CheckoutMessage | null;
  refresh(): void;
}
