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
    label: "Not started",
    tone: "bad",
    text: "This subscription could not be started, and nothing was charged for it. Contact the shop, or end it here.",
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
    text: "The last payment failed and will be tried again. Check the card that pays for it.",
  },
  unpaid: {
    label: "Unpaid",
    tone: "bad",
    text: "The last payments failed, and no more are tried. Contact the shop to go on, or end it here.",
  },
  paused: { label: "Paused", tone: "none", text: "Nothing is charged while it is paused." },
  canceled: { label: "Ended", tone: "none", text: "Nothing more will be charged." },
  unknown: { label: "Status unknown", tone: "none", text: "Ask the shop about this subscription." },
};

/** A first charge that the buyer has paid, until the payment has arrived. */
export const PAID: StatusWords = {
  label: "Confirming payment",
  tone: "warn",
  text: "Your payment is being confirmed. There is nothing more to do.",
};

export function statusWords(subscription: Subscription): StatusWords {
  if (!endsWithPeriod(subscription)) return WORDS[subscription.status];
  const end = subscription.currentPeriodEnd;
  return {
    label: end ? `Ends ${formatDate(end)}` : "Ends with its period",
    tone: "warn",
    text: "It stays yours until then, and nothing more will be charged.",
  };
}

export function hasEnded({ status }: Subscription): boolean {
  return status === "canceled" || status === "incomplete_expired";
}

export function endsWithPeriod(subscription: Subscription): boolean {
  return subscription.cancelAtPeriodEnd && !hasEnded(subscription);
}

/** True if a paid or free period is under way, to the end of which it can go on. */
export function hasPeriod({ status }: Subscription): boolean {
  return status === "active" || status === "trialing" || status === "past_due";
}

/** True if the buyer can do nothing, and the status is about to change by itself. */
export function settlesSoon({ status, payment }: Subscription): boolean {
  return status === "pending" || (status === "incomplete" && !payment);
}
