/** Contract of the hooks. */

import type { CheckoutFlow, CheckoutFlowOptions, CheckoutSnapshot } from "../checkout-flow.js";
import type { ConfirmationFlowOptions, ConfirmationSnapshot } from "../confirmation-flow.js";

export type { StripeError, StripeIntent, StripeLike, StripeResult } from "../stripe.js";

export type UseCheckoutOptions = CheckoutFlowOptions;

/**
 * States:
 * - resuming: a stored checkout is looked up
 * - editing: show the form of contact, address and shipping
 * - beginning: initiate-checkout is under way
 * - payable: show the Payment Element for `checkout.clientSecret`
 * - confirming: Stripe confirms the payment
 * - checking: the answer got lost; the outcome is looked up, do not let the buyer pay again
 * - placed: paid, or at the bank; with a message, it was so before this page tried. Link to `confirmationUrl`, and where
 *   the cart is not empty offer to buy what is in it: `startOver` begins another purchase. Do not empty the cart here:
 *   it may be the next one, and `useOrderConfirmation` says when the bought one is done with
 */
export interface UseCheckout
  extends CheckoutSnapshot,
    Pick<CheckoutFlow, "begin" | "pay" | "edit" | "startOver" | "lookAgain"> {}

export type UseOrderConfirmationOptions = ConfirmationFlowOptions;

export interface UseOrderConfirmation extends ConfirmationSnapshot {
  /** Ask for the status now. */
  refresh(): void;
}
