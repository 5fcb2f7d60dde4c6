// @vitest-environment happy-dom
import type { Subscription } from "@holdfast/checkout";
import { expect, test } from "vitest";
import { SubscriptionCard } from "../src/SubscriptionsCard";
import { render } from "./harness/render";

const NEXT = "2026-12-20T09:30:00Z";
const LATER = "2027-03-01T12:00:00Z";
const COFFEE = { id: "si_1", priceId: "price_1", productId: "prod_1", name: "Coffee", quantity: 1, unitAmount: 1400 };
const ACTIVE = {
  id: "s1",
  checkoutAttemptId: "a1",
  status: "active",
  items: [{ ...COFFEE, currency: "usd" }],
  amount: 1400,
  currency: "usd",
  interval: "month",
  intervalCount: 1,
  discounts: [],
  cancelAtPeriodEnd: false,
  createdAt: "2026-11-20T09:30:00Z",
  currentPeriodEnd: NEXT,
} as unknown as Subscription;

/** Return the text of a subscription's card. */
async function shown(changes: object): Promise<string> {
  const subscription = { ...ACTIVE, ...changes } as Subscription;
  const card = await render(<SubscriptionCard subscription={subscription} lookAgain={() => {}} heading="h2" />);
  return card.textContent?.replace(/\u00a0/g, " ") ?? "";
}

const ENDS = "Ends March 1, 2027";
const BY_USE = { ...COFFEE, id: "si_2", name: "Refills", quantity: null, unitAmount: null };

const EVERY_MONTH = { ...COFFEE, interval: "month", intervalCount: 1 };
const EVERY_YEAR = { ...COFFEE, id: "si_2", name: "Almanac", unitAmount: 4200, interval: "year", intervalCount: 1 };
const MONTHLY = { ...COFFEE, currentPeriodEnd: NEXT };
const YEARLY = { ...COFFEE, id: "si_2", currentPeriodEnd: LATER };

test.each<[string, object, string[], RegExp]>([
  ["as it was bought", {}, ["Active", "$14.00 per month", "Next charge", "December 20, 2026"], /Ends|Paused|Discount/],
  [
    "of another plan and quantity",
    { items: [{ ...COFFEE, name: "Espresso", quantity: 3 }], amount: 4200, interval: "week", intervalCount: 2 },
    ["3 × Espresso", "$42.00 every 2 weeks"],
    /Coffee/,
  ],
  [
    "with an item that is billed by use",
    { items: [COFFEE, BY_USE], amount: null },
    ["The amount varies per month", "Coffee$14.00", "Refillsby use"],
    /null|NaN/,
  ],
  ["of a product that the shop deleted", { items: [{ ...COFFEE, name: "" }] }, ["not sold any more"], /null/],
  [
    "of items with different intervals, whose amounts are for these",
    { items: [EVERY_MONTH, EVERY_YEAR], amount: null, interval: null, intervalCount: null },
    ["Coffee per month$14.00", "Almanac per year$42.00"],
    /null|undefined/,
  ],
  [
    "of items with different intervals",
    { items: [COFFEE, { ...COFFEE, id: "si_2" }], amount: null, interval: null, intervalCount: null },
    ["The amount varies for each period"],
    /null|undefined/,
  ],
  [
    "that ends with its period",
    { cancelAtPeriodEnd: true, cancelAt: NEXT },
    ["Ends December 20, 2026", "nothing more will be charged"],
    /Next charge/,
  ],
  [
    "that ends at a later date",
    { cancelAt: LATER },
    [ENDS, "charged as usual until then", "Next charge"],
    /nothing more/,
  ],
  [
    "that ends with its period, and has an item that is billed by use",
    { items: [COFFEE, BY_USE], amount: null, cancelAtPeriodEnd: true, cancelAt: NEXT },
    ["Ends December 20, 2026", "what you use until then is charged"],
    /nothing more/,
  ],
  [
    "of items with different intervals that ends with the longest",
    { items: [MONTHLY, YEARLY], amount: null, interval: null, currentPeriodEnd: LATER, cancelAt: LATER },
    [ENDS, "charged as usual until then", "Next chargeDecember 20, 2026"],
    /nothing more/,
  ],
  [
    "that is paused and ends at a later date",
    { pauseCollection: { behavior: "void", resumesAt: null }, cancelAt: LATER },
    [ENDS, "Nothing is charged for this time"],
    /as usual/,
  ],
  [
    "that is paused until a date",
    { pauseCollection: { behavior: "void", resumesAt: LATER } },
    ["Paused until March 1, 2027", "Nothing is charged for this time", "Payments resume"],
    /Next charge|Active/,
  ],
  [
    "that is paused without an end, in a way that is newer than the shop",
    { pauseCollection: { behavior: "new", resumesAt: null } },
    ["Paused", "Ask the shop"],
    /until|Next charge/,
  ],
  [
    "in a trial that was made longer",
    { status: "trialing", trialEnd: LATER },
    ["Free trial", "First charge", "March 1, 2027"],
    /Next charge/,
  ],
  [
    "with a percentage off",
    { discounts: [{ id: "di_1", name: "Welcome", percentOff: 12.5, endsAt: LATER }] },
    ["Welcome: 12.5% off until March 1, 2027"],
    /null|undefined/,
  ],
  [
    "with a discount for one charge",
    { discounts: [{ id: "di_1", name: "Welcome", percentOff: 20, duration: "once" }] },
    ["Welcome: 20% off once"],
    /until/,
  ],
  [
    "with an amount off one item",
    { discounts: [{ id: "di_1", amountOff: 500, currency: "usd", itemId: "si_1", duration: "forever" }] },
    ["Discount: $5.00 off Coffee"],
    /null|until|once/,
  ],
  [
    "with a discount of unknown terms",
    { discounts: [{ id: "di_1", endsAt: LATER }] },
    ["Discount until"],
    /%|null|undefined/,
  ],
  ["with a payment method of its own", { defaultPaymentMethodId: "pm_1" }, ["own payment method"], /default|pm_1/],
  ["with the customer's default payment method", {}, ["your default payment method"], /own/],
  [
    "that never started",
    { status: "incomplete_expired", defaultPaymentMethodId: "pm_1" },
    ["Never started"],
    /Charged to/,
  ],
  ["that is paid by invoice", { collectionMethod: "send_invoice" }, ["an invoice that is sent"], /default/],
  [
    "that is overdue and ends later: paying comes first",
    { status: "past_due", cancelAt: LATER },
    ["Payment overdue", "Pay it here", "EndsMarch 1, 2027"],
    /nothing more/,
  ],
])("a subscription %s", async (_, changes, texts, never) => {
  const text = await shown(changes);

  for (const each of texts) expect(text).toContain(each);
  expect(text).not.toMatch(never);
});
