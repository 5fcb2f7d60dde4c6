import { expect, test } from "vitest";
import { needsShipping, totalsOf } from "../src/totals";
import { itemOf, MONTHLY } from "./items";

const MUG = { item: itemOf("mug", 1800), quantity: 2 };
const COFFEE = { item: itemOf("coffee", 1400, MONTHLY), quantity: 1 };
const FILTERS = { item: itemOf("filters", 300, MONTHLY), quantity: 3 };
const GAZETTE = { item: itemOf("gazette", 250, { interval: "week", intervalCount: 1, trialDays: 14 }), quantity: 1 };
const STANDARD = { id: "shr_1", name: "Standard", amount: 500, currency: "usd" };

test("a mixed cart is due today with its shipping and the first charges of subscriptions without a trial", () => {
  const totals = totalsOf([MUG, COFFEE, FILTERS, GAZETTE], STANDARD);

  expect(totals).toMatchObject({ items: 3600, shipping: 500, dueToday: 3600 + 500 + 1400 + 900 });
});

test("lines of one billing interval are one recurring sum", () => {
  const totals = totalsOf([COFFEE, FILTERS, GAZETTE]);

  expect(totals?.recurring).toEqual([
    { ...MONTHLY, amount: 2300, currency: "usd" },
    { interval: "week", intervalCount: 1, trialDays: 14, amount: 250, currency: "usd" },
  ]);
});

test("nothing is due today for a trial", () => {
  expect(totalsOf([GAZETTE])?.dueToday).toBe(0);
});

test("an empty cart has no totals", () => {
  expect(totalsOf([])).toBeNull();
});

test("only a cart with one-time lines needs shipping", () => {
  expect(needsShipping([COFFEE, MUG])).toBe(true);
  expect(needsShipping([COFFEE])).toBe(false);
});
