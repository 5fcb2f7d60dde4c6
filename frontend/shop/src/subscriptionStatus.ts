/** Meaning of a subscription's status to its buyer. */

import type { Subscription } from "@holdfast/checkout";
import { formatDate } from "./money";

export type Tone = "ok" | "warn" | "bad" | "none";

export interface StatusWords {
  label: string;
  tone: Tone;
  /** One sentence about the money or the way forward, where the label does not say it. */
  text?: string;
}

const WORDS: Record<Subscription["status"], StatusWords> = {
  pending: {
    label: "Being set up",
    tone: "warn",
    text: "We are setting this subscription up. There is nothing more to do.",
  },
  activation_failed: {
    label: "Needs attention",
    tone: "bad",
    text: "This subscription could not be started yet, and nothing was charged for it. Contact the shop, which can start it, or end it here.",
  },
  incomplete: {
    label: "First payment open",
    tone: "bad",
    text: "The first payment did not go through. The subscription starts once it is paid.",
  },
  incomplete_expired: {
    label: "Never started",
    tone: "none",
    text: "The first payment was not completed in time. Nothing was charged.",
  },
  trialing: { label: "Free trial", tone: "ok" },
  active: { label: "Active", tone: "ok" },
  past_due: {
    label: "Payment overdue",
    tone: "bad",
    text: "The last payment failed. Pay it here, or have another payment method charged when it is tried again.",
  },
  unpaid: {
    label: "Unpaid",
    tone: "bad",
    text: "The last payments failed, and no more are tried. Pay the latest one here to go on, or end it here.",
  },
  paused: { label: "Paused", tone: "none", text: "Nothing is charged while it is paused." },
  canceled: { label: "Ended", tone: "none", text: "Nothing more will be charged." },
  unknown: { label: "Status unknown", tone: "none", text: "Ask the shop about this subscription." },
};

/** A pause that a failed payment has caused: the open invoice lets it go on. */
const PAUSED_UNPAID: StatusWords = {
  label: "Paused, unpaid",
  tone: "bad",
  text: "The last payment failed, so it is paused. Pay it here to go on, or end it here.",
};

/** An open invoice that the buyer has paid, until the payment has arrived. */
export const PAID: StatusWords = {
  label: "Confirming payment",
  tone: "warn",
  text: "Your payment is being confirmed. There is nothing more to do.",
};

/** Stripe's values for what becomes of the invoices of a pause. */
const PAUSES: Record<string, string> = {
  keep_as_draft: "What falls due meanwhile is kept, and may be charged afterwards.",
  mark_uncollectible: "Nothing is charged meanwhile.",
  void: "Nothing is charged for this time.",
};

export function statusWords(subscription: Subscription): StatusWords {
  const isPausedUnpaid = subscription.status === "paused" && owesPayment(subscription);
  const words = isPausedUnpaid ? PAUSED_UNPAID : WORDS[subscription.status];
  // Where the buyer has to act, that comes first; the dates tell the rest.
  if (hasEnded(subscription) || words.tone === "bad") return words;
  if (endsLater(subscription)) return endingWords(subscription);
  if (subscription.pauseCollection) return pauseWords(subscription.pauseCollection);
  return words;
}

function endingWords(subscription: Subscription): StatusWords {
  const end = endOf(subscription);
  const { pauseCollection } = subscription;
  return {
    label: end ? `Ends ${formatDate(end)}` : "Ends with its period",
    tone: "warn",
    text: pauseCollection
      ? `It stays yours until then. Payments are paused. ${pauseWords(pauseCollection).text}`
      : `It stays yours until then, and ${chargesUntilEnd(subscription)}.`,
  };
}

function chargesUntilEnd(subscription: Subscription): string {
  return chargesGoOn(subscription) ? "is charged as usual until then" : lastCharges(subscription);
}

/** Charges that are left of a subscription that ends with its period. */
export function lastCharges({ status, items }: Subscription): string {
  if (status === "past_due") return "the overdue payment may still be charged";
  return items.some(({ quantity }) => quantity == null)
    ? "what you use until then is charged"
    : "nothing more will be charged";
}

function pauseWords({ behavior, resumesAt }: NonNullable<Subscription["pauseCollection"]>): StatusWords {
  return {
    label: resumesAt ? `Paused until ${formatDate(resumesAt)}` : "Paused",
    tone: "none",
    text: PAUSES[behavior] ?? "Ask the shop what becomes of what falls due meanwhile.",
  };
}

export function hasEnded({ status }: Subscription): boolean {
  return status === "canceled" || status === "incomplete_expired";
}

/** True if an end is set, with the period or at another date, as the customer portal or the shop can set it. */
export function endsLater(subscription: Subscription): boolean {
  return (subscription.cancelAtPeriodEnd || Boolean(subscription.cancelAt)) && !hasEnded(subscription);
}

/** Date at which a subscription is going to end. */
export function endOf(subscription: Subscription): string | null | undefined {
  return subscription.cancelAt ?? periodEnd(subscription);
}

/**
 * End of the period that is paid: the first one, where the items have different intervals. That is when Stripe charges
 * next, or ends what is to end with its period.
 * Source: https://docs.stripe.com/changelog/basil/2025-07-30/cancel-at-enums
 */
export function periodEnd({ items, currentPeriodEnd }: Subscription): string | null | undefined {
  const ends = items.flatMap((item) => item.currentPeriodEnd ?? []);
  return ends.sort()[0] ?? currentPeriodEnd;
}

/** True if the end is later than the period that is paid. */
export function chargesGoOn(subscription: Subscription): boolean {
  const { cancelAt } = subscription;
  const paidUntil = periodEnd(subscription);
  return Boolean(cancelAt && paidUntil && new Date(cancelAt) > new Date(paidUntil));
}

/** True if a paid or free period is or may be under way, to the end of which it can go on. */
export function hasPeriod({ status }: Subscription): boolean {
  return status === "active" || status === "trialing" || status === "past_due" || status === "unknown";
}

/** True if the payment of an invoice was declined, or needs the buyer, or is at the bank. */
export function owesPayment({ status, payment }: Subscription): boolean {
  const isPausedUnpaid = status === "paused" && Boolean(payment);
  return isPausedUnpaid || status === "incomplete" || status === "past_due" || status === "unpaid";
}

/** True if the buyer can do nothing, and the status is about to change by itself. */
export function settlesSoon(subscription: Subscription): boolean {
  return subscription.status === "pending" || (owesPayment(subscription) && !subscription.payment);
}
