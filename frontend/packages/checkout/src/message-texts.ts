/** Texts of the messages: what happened, what became of the money, what to do next. */

import type { ProblemType } from "./problems.js";
import type { CheckoutStatus, MoneyState, NextStep } from "./types.js";

/** Kinds of a failed payment, from Stripe's error codes and decline codes. */
export type PaymentErrorKind =
  | "card_declined"
  | "insufficient_funds"
  | "expired_card"
  | "incorrect_details"
  | "incomplete_details"
  | "card_limit_reached"
  | "card_not_supported"
  | "bank_must_approve"
  | "authentication_failed"
  | "processing_error"
  | "outcome_unknown"
  | "not_paid";

/** Kinds that neither the gateway nor Stripe names. */
export type PageKind =
  | "price_changed"
  | "item_gone"
  | "offline"
  | "no_id"
  | "not_yours"
  | "status_unavailable"
  | "status_offline"
  | "status_needs_sign_in"
  | "subscription_pending"
  | "subscription_payment_processing"
  | "subscription_incomplete"
  | "subscription_past_due"
  | "subscription_needs_attention"
  | "subscription_failed"
  | "subscription_inactive";

/** A new problem type or status has no text below, and does not compile. */
export type MessageKind = Exclude<ProblemType, "network"> | CheckoutStatus["status"] | PaymentErrorKind | PageKind;

interface Template {
  title: string;
  text: string;
  money: MoneyState;
  action: NextStep;
}

const NOT_CHARGED = "You have not been charged.";

function notCharged(action: NextStep, title: string, happened: string, next: string): Template {
  return { title, text: `${happened} ${NOT_CHARGED} ${next}`, money: "not_charged", action };
}

const OUR_FAULT = notCharged(
  "try_again",
  "Something went wrong",
  "The shop could not do this because of a fault of its own.",
  "Try again. If it happens again, contact the shop.",
);
/** The sign-in of whoever paid may have ended, so nothing is said about the money. */
const NOT_YOURS: Template = {
  title: "This checkout cannot be shown",
  text: "It is not known here, or it belongs to another account. Opening this page moved no money. If you paid, your payment is safe: do not pay again. Sign in with the account that you bought with to see it.",
  money: "pending",
  action: "sign_in",
};
const NOT_FOUND = notCharged(
  "sign_in",
  "Not found",
  "It does not exist, or it belongs to another account.",
  "Sign in with the account that you bought with.",
);
const NO_PORTAL = notCharged(
  "contact_shop",
  "There is no page for this",
  "The shop cannot show you your payment details and invoices here.",
  "Contact the shop.",
);
const ENDED = notCharged(
  "start_over",
  "This checkout has ended",
  "It expired or was replaced before it was paid.",
  "Continue to payment again for a new one.",
);
const ANOTHER_PAYMENT: Template = {
  title: "This payment belongs to another checkout",
  text: "The payment that this page was opened with is not of this checkout. If you paid, the payment is safe. Do not pay again; contact the shop if your order does not show.",
  money: "pending",
  action: "contact_shop",
};

export const TEMPLATES: Record<MessageKind, Template> = {
  // The gateway's problems.
  already_paid: {
    title: "Your purchase is placed already",
    text: "It was placed before, perhaps in another tab, and your payment is safe. You are not charged for it again. See your confirmation.",
    money: "pending",
    action: "view_confirmation",
  },
  attempt_closed: ENDED,
  bad_event: OUR_FAULT,
  bad_signature: OUR_FAULT,
  body_too_large: OUR_FAULT,
  checkout_not_found: NOT_YOURS,
  cart_not_for_sale: notCharged(
    "edit_details",
    "The cart cannot be bought like this",
    "The shop does not sell these things together, or not with this shipping.",
    "Change your cart or the shipping and continue.",
  ),
  checkout_too_large: notCharged(
    "edit_details",
    "The cart is too large",
    "It has more in it than one checkout can take.",
    "Buy it in two parts.",
  ),
  customer_deleted: NO_PORTAL,
  http_error: OUR_FAULT,
  idempotency_key_reused: ENDED,
  intent_mismatch: ANOTHER_PAYMENT,
  intent_not_found: ANOTHER_PAYMENT,
  internal: OUR_FAULT,
  invalid_request: notCharged(
    "edit_details",
    "Please check your details",
    "Something you entered cannot be used as it is.",
    "Correct it and continue.",
  ),
  malformed_json: OUR_FAULT,
  method_not_allowed: OUR_FAULT,
  no_such_route: OUR_FAULT,
  order_not_found: NOT_FOUND,
  overloaded: notCharged(
    "wait",
    "Many buyers are here at the moment",
    "The shop has more to do than it can at once.",
    "Nothing is lost. Try again in a moment.",
  ),
  payment_not_succeeded: notCharged(
    "try_again",
    "The payment did not succeed",
    "Your bank or payment service did not approve it.",
    "Try again, or pay another way.",
  ),
  payment_processing: {
    title: "Your payment is being processed",
    text: "A payment of this checkout is still at the bank. It may be charged, so do not pay again. See your confirmation for what becomes of it.",
    money: "pending",
    action: "view_confirmation",
  },
  portal_not_configured: NO_PORTAL,
  rate_limited: notCharged(
    "wait",
    "Too many tries",
    "There were too many tries in a short time.",
    "Wait a moment, then try again.",
  ),
  refused_by_stripe: notCharged(
    "edit_details",
    "This sum cannot be paid",
    "The payment service does not take this sum or currency.",
    "Change your cart and continue.",
  ),
  subscription_ended: notCharged(
    "start_over",
    "The subscription has ended",
    "It ended before this change.",
    "Load the page again to see it as it is.",
  ),
  subscription_not_found: NOT_FOUND,
  subscription_refused: notCharged(
    "contact_shop",
    "The subscription could not be changed",
    "The payment service refused the change.",
    "Contact the shop.",
  ),
  temporarily_unavailable: notCharged(
    "wait",
    "The shop is not available for a moment",
    "A part of the shop did not answer.",
    "Nothing is lost. Try again in a moment.",
  ),
  thin_payload: OUR_FAULT,
  unauthenticated: notCharged(
    "sign_in",
    "Please sign in again",
    "Your sign-in is not valid any more.",
    "Sign in, then continue.",
  ),
  unknown: OUR_FAULT,
  unsupported_media_type: OUR_FAULT,

  // Statuses of a checkout.
  open: notCharged("try_again", "Not paid yet", "This checkout is open.", "Go back to the checkout to pay."),
  requires_action: notCharged(
    "try_again",
    "Your bank asks you to confirm",
    "The payment waits for your confirmation at your bank.",
    "Confirm it there, or go back to the checkout and pay again.",
  ),
  payment_failed: notCharged(
    "try_again",
    "The payment failed",
    "Your bank or payment service did not approve it, or it was cancelled.",
    "Go back to the checkout and try again, or pay another way.",
  ),
  processing: {
    title: "Your payment is being processed",
    text: "Your bank is still working on the payment. The charge is pending, so do not pay again. You can leave this page: your order does not depend on it.",
    money: "pending",
    action: "wait",
  },
  completed: {
    title: "Thank you",
    text: "Your purchase is complete. Everything due today is paid. There is nothing left to do.",
    money: "charged",
    action: "view_confirmation",
  },
  expired: notCharged(
    "start_over",
    "This checkout has expired",
    "It was not paid in time.",
    "Continue to payment again for a new one.",
  ),
  superseded: {
    title: "This checkout was replaced",
    text: "A newer checkout of your cart took its place, perhaps in another tab. You have not been charged for this one. If you paid the newer one, do not pay again. Else go on there, or continue to payment here for a new one.",
    money: "not_charged",
    action: "start_over",
  },
  needs_review: {
    title: "We have your payment",
    text: "Your payment arrived, and a person of the shop looks at it before your order goes on. You have been charged once. Do not pay again; contact the shop if you have questions.",
    money: "charged",
    action: "contact_shop",
  },

  // Failed payments.
  card_declined: notCharged(
    "try_again",
    "Your card was declined",
    "Your bank did not approve the payment.",
    "Try another card or another way to pay.",
  ),
  insufficient_funds: notCharged(
    "try_again",
    "Not enough funds",
    "The card does not have enough money for this payment.",
    "Try another card or another way to pay.",
  ),
  expired_card: notCharged(
    "try_again",
    "Your card has expired",
    "The bank does not accept this card any more.",
    "Check the date, or use another card.",
  ),
  incorrect_details: notCharged(
    "try_again",
    "Please check your card details",
    "The number, date, security code or postal code of the card is not right.",
    "Correct it and pay again.",
  ),
  incomplete_details: notCharged(
    "try_again",
    "Please complete your payment details",
    "Something is missing or not right in your payment details.",
    "Complete them and pay again.",
  ),
  card_limit_reached: notCharged(
    "try_again",
    "Your card's limit is reached",
    "The payment is over the limit of the card.",
    "Try another card, or ask your bank.",
  ),
  card_not_supported: notCharged(
    "try_again",
    "This card cannot be used here",
    "The card does not support this kind of payment.",
    "Try another card or another way to pay.",
  ),
  bank_must_approve: notCharged(
    "try_again",
    "Your bank must approve this payment",
    "Your bank declined it until you speak with them.",
    "Call your bank and try again, or use another card.",
  ),
  authentication_failed: notCharged(
    "try_again",
    "Your bank could not confirm that it is you",
    "The confirmation failed or was closed.",
    "Try again, or use another card.",
  ),
  processing_error: notCharged(
    "try_again",
    "The payment could not be processed",
    "The bank or the payment service had a fault for a moment.",
    "Try again in a moment, or pay another way.",
  ),
  outcome_unknown: {
    title: "Checking your payment",
    text: "The connection was lost while you paid, so it is not known yet if your payment is pending or failed. Do not pay again. This page is finding out.",
    money: "pending",
    action: "wait",
  },
  not_paid: notCharged(
    "try_again",
    "The payment did not go through",
    "It ended before your payment was made.",
    "Pay again here.",
  ),

  // What a page finds by itself.
  price_changed: notCharged(
    "try_again",
    "The price has changed",
    "What is due today differs from what your cart showed.",
    "Look at the new sums. Pay if you agree, or change your cart.",
  ),
  item_gone: notCharged(
    "edit_details",
    "Something in your cart is not on sale any more",
    "The shop stopped selling it after you put it into your cart.",
    "Remove it and continue.",
  ),
  offline: notCharged(
    "try_again",
    "No connection",
    "The shop could not be reached.",
    "Check your connection and try again. Nothing that you entered is lost.",
  ),
  no_id: {
    title: "No checkout to show",
    text: "This page was opened without a checkout. Opening it moved no money. If you paid, your payment is safe: do not pay again, use the link that you paid with, or look at your orders. Else go to the shop.",
    money: "pending",
    action: "start_over",
  },
  not_yours: NOT_YOURS,
  status_unavailable: {
    title: "Your payment cannot be looked up for a moment",
    text: "The shop does not answer, so it is not known yet if your payment is pending or complete. A payment that was made is safe. Do not pay again. This page keeps asking.",
    money: "pending",
    action: "wait",
  },
  status_offline: {
    title: "No connection",
    text: "The shop cannot be reached, so it is not known yet if your payment is pending or complete. A payment that was made is safe. Do not pay again. This page asks as soon as you are connected.",
    money: "pending",
    action: "wait",
  },
  status_needs_sign_in: {
    title: "Please sign in again",
    text: "Your sign-in is not valid any more, so it cannot be shown if your payment is pending or complete. A payment that was made is safe. Do not pay again. Sign in to see it.",
    money: "pending",
    action: "sign_in",
  },
  subscription_payment_processing: {
    title: "The subscription cannot end now",
    text: "A payment for it is at the bank, which nothing stops. It may be charged, so do not pay again. End the subscription once the payment has arrived or failed.",
    money: "pending",
    action: "wait",
  },
  subscription_pending: {
    title: "Your purchase is placed",
    text: "Your subscription begins in a moment. Its first charge is pending, so do not buy it again. This page shows it as soon as it has begun.",
    money: "pending",
    action: "wait",
  },
  subscription_incomplete: {
    title: "One more step",
    text: "Your purchase is placed, and the first charge of a subscription is pending: your bank declined it or asks you to confirm. Complete it here. What is paid already is not charged again.",
    money: "pending",
    action: "try_again",
  },
  subscription_past_due: {
    title: "A payment is overdue",
    text: "Your purchase is placed, and a later charge of a subscription is pending: your bank declined it. Pay it here. Do not buy the subscription again.",
    money: "pending",
    action: "try_again",
  },
  subscription_needs_attention: {
    title: "A subscription needs attention",
    text: "It could not begin yet, and you have not been charged for it. The rest of your purchase is complete. Do not buy it again: contact the shop, which can begin the subscription for you.",
    money: "not_charged",
    action: "contact_shop",
  },
  subscription_failed: {
    title: "A subscription could not begin",
    text: "Its first payment was not completed in time, and you have not been charged for that subscription. The rest of your purchase is complete. To have it, order it again.",
    money: "not_charged",
    action: "contact_shop",
  },
  subscription_inactive: {
    title: "Your purchase is placed",
    text: "A subscription of it is not active: it was cancelled, or a later charge is pending. Do not buy it again before you have looked at your subscriptions. Contact the shop if you did not expect this.",
    money: "pending",
    action: "contact_shop",
  },
};

/** Return a text that does not say that nothing was charged. */
export function withoutMoney(template: Template): Template {
  return template.money === "not_charged"
    ? { ...template, text: template.text.replace(`${NOT_CHARGED} `, ""), money: "pending" }
    : template;
}
