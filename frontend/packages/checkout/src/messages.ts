/** One message for each thing that can happen to a checkout. */

import { type MessageKind, type PaymentErrorKind, TEMPLATES, withoutMoney } from "./message-texts.js";
import { CheckoutProblem } from "./problems.js";
import type { StripeError } from "./stripe.js";
import type { CheckoutMessage, FieldError } from "./types.js";

export interface MessageContext {
  /** True if the buyer may have paid: then a failure to ask says nothing about the money. */
  mayHavePaid?: boolean;
  /** True if it is told without a word about the money, because an earlier checkout may be paid. */
  isSilent?: boolean;
  /** The shop's own texts, for example translations by `message.kind`. */
  texts?: MessageTexts | undefined;
}

/** Return the title and text to show for a message. It may say that nothing was charged only if `message.money` does. */
export type MessageTexts = (message: CheckoutMessage) => { title: string; text: string };

/** Return the message for a kind, a status of a checkout, a failed request or an error of Stripe.js. */
export function messageFor(subject: unknown, context: MessageContext = {}): CheckoutMessage {
  if (subject instanceof CheckoutProblem) return messageForProblem(subject, context);
  if (isMessageKind(subject)) return messageOf(subject, context);
  return messageOf(isStripeError(subject) ? kindOfStripeError(subject) : problemKind("unknown", context), context);
}

/** Return the message of a kind. */
export function messageOf(
  kind: MessageKind,
  context: MessageContext = {},
  details: { retryAfterSeconds?: number; fields?: FieldError[] } = {},
): CheckoutMessage {
  const template = context.isSilent ? withoutMoney(TEMPLATES[kind]) : TEMPLATES[kind];
  const message: CheckoutMessage = { kind, ...template, ...details };
  return context.texts ? { ...message, ...context.texts(message) } : message;
}

function messageForProblem(problem: CheckoutProblem, context: MessageContext): CheckoutMessage {
  const fields = [...problem.errors];
  const isGone =
    problem.type === "cart_not_for_sale" && fields.some((error) => /^items\[\d+\]\.priceId$/.test(error.field));
  return messageOf(isGone ? "item_gone" : problemKind(problem.type, context), context, {
    ...(fields.length > 0 ? { fields } : {}),
    ...(problem.retryAfterSeconds ? { retryAfterSeconds: problem.retryAfterSeconds } : {}),
  });
}

function problemKind(type: CheckoutProblem["type"], { mayHavePaid }: MessageContext): MessageKind {
  if (type === "network") return mayHavePaid ? "status_offline" : "offline";
  if (!mayHavePaid) return type;
  if (type === "unauthenticated") return "status_needs_sign_in";
  return TEMPLATES[type].money === "not_charged" && !TELLS_OF_THE_MONEY.has(type) ? "status_unavailable" : type;
}

/** Problems that are an answer about the payment, not a failure to ask. */
const TELLS_OF_THE_MONEY = new Set<MessageKind>(["attempt_closed", "payment_not_succeeded"]);

const KIND_BY_CODE: Record<string, PaymentErrorKind> = {
  authentication_required: "authentication_failed",
  payment_intent_authentication_failure: "authentication_failed",
  setup_intent_authentication_failure: "authentication_failed",
  expired_card: "expired_card",
  incorrect_address: "incorrect_details",
  incorrect_cvc: "incorrect_details",
  incorrect_number: "incorrect_details",
  incorrect_zip: "incorrect_details",
  invalid_cvc: "incorrect_details",
  invalid_expiry_month: "incorrect_details",
  invalid_expiry_year: "incorrect_details",
  invalid_number: "incorrect_details",
  insufficient_funds: "insufficient_funds",
  card_velocity_exceeded: "card_limit_reached",
  withdrawal_count_limit_exceeded: "card_limit_reached",
  invalid_amount: "card_limit_reached",
  card_not_supported: "card_not_supported",
  currency_not_supported: "card_not_supported",
  not_permitted: "card_not_supported",
  service_not_allowed: "card_not_supported",
  transaction_not_allowed: "card_not_supported",
  approve_with_id: "bank_must_approve",
  call_issuer: "bank_must_approve",
  do_not_honor: "bank_must_approve",
  no_action_taken: "bank_must_approve",
  revocation_of_all_authorizations: "bank_must_approve",
  revocation_of_authorization: "bank_must_approve",
  security_violation: "bank_must_approve",
  stop_payment_order: "bank_must_approve",
  issuer_not_available: "processing_error",
  processing_error: "processing_error",
  reenter_transaction: "processing_error",
  try_again_later: "processing_error",
};

/** Return the kind for an error of Stripe.js. Why a stolen or suspect card is declined is told to nobody. */
export function kindOfStripeError(error: StripeError): MessageKind {
  const kind = KIND_BY_CODE[error.decline_code ?? ""] ?? KIND_BY_CODE[error.code ?? ""];
  if (kind) return kind;
  if (error.type === "validation_error") return "incomplete_details";
  if (error.type !== "card_error") return "outcome_unknown";
  return error.code === undefined || error.code === "card_declined" ? "card_declined" : "payment_failed";
}

function isMessageKind(subject: unknown): subject is MessageKind {
  return typeof subject === "string" && Object.hasOwn(TEMPLATES, subject);
}

function isStripeError(subject: unknown): subject is StripeError {
  return typeof subject === "object" && subject !== null && "type" in subject && typeof subject.type === "string";
}
