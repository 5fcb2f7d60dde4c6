/** Types of the client, under the names that a shop's code uses. Amounts are integers in minor units. */

import type {
  CatalogueBody,
  CatalogueItemBody,
  CheckoutBody,
  CheckoutStatusBody,
  ConfigBody,
  FieldError,
  InitiateCheckoutBody,
  OrderBody,
  OrderPageBody,
  PortalSessionBody,
  PurchaseBody,
  ShippingOptionBody,
  SubscriptionBody,
  SubscriptionPageBody,
} from "./api.js";

export type Catalogue = CatalogueBody;
export type CatalogueItem = CatalogueItemBody;
export type ShippingOption = ShippingOptionBody;
export type Checkout = CheckoutBody;
export type CheckoutStatus = CheckoutStatusBody;
export type Config = ConfigBody;
export type Order = OrderBody;
export type OrderPage = OrderPageBody;
/** A visit to Stripe's customer portal. Its address signs the customer in: go there, and keep it nowhere. */
export type CustomerPortal = PortalSessionBody;
export type Purchase = PurchaseBody;
export type Subscription = SubscriptionBody;
export type SubscriptionPage = SubscriptionPageBody;
export type { FieldError };

/** Cart, contact, address and shipping of a checkout. `supersedes` is the client's affair. */
export type CheckoutRequest = Omit<InitiateCheckoutBody, "supersedes">;

/** The intent that the browser returned with: exactly one of the two ids. */
export type IntentId = { paymentIntentId: string } | { setupIntentId: string };

/** State of the buyer's money. */
export type MoneyState = "not_charged" | "charged" | "pending";

/** The buyer's way forward. */
export type NextStep =
  | "try_again"
  | "edit_details"
  | "start_over"
  | "wait"
  | "view_confirmation"
  | "sign_in"
  | "contact_shop";

/** Message for the buyer: what happened, what became of the money, and what to do next. */
export interface CheckoutMessage {
  kind: string;
  title: string;
  text: string;
  money: MoneyState;
  action: NextStep;
  retryAfterSeconds?: number;
  /** Invalid fields of the request, by path as in the request's body. */
  fields?: FieldError[];
}
