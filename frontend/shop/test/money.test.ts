import { expect, test } from "vitest";
import stripe from "../../../tests/stripe_amounts.json";
import { formatInterval, formatMoney } from "../src/money";

/** Text with plain spaces instead of Intl's. */
function money(minorUnits: number, currency: string): string {
  return formatMoney(minorUnits, currency, "en-US").replace(/\s/g, " ");
}

test.each([
  ["two decimals", 1800, "usd", "$18.00"],
  ["a single cent", 1, "eur", "€0.01"],
  ["no decimals", 500, "jpy", "¥500"],
  ["three decimals", 5120, "kwd", "KWD 5.120"],
  ["no decimals at Stripe, two in ISO 4217", 500, "mga", "MGA 500"],
  ["two decimals at Stripe, none in ISO 4217", 500, "isk", "ISK 5"],
  ["two decimals at Stripe, none in ISO 4217, with a rest", 550, "ugx", "UGX 5.50"],
  ["two decimals for charges, none for payouts", 17550, "huf", "HUF 175.50"],
  ["an upper-case code", 1800, "USD", "$18.00"],
])("an amount in a currency with %s is neither rounded nor off by a factor", (_, amount, currency, text) => {
  expect(money(amount, currency)).toBe(text);
});

test.each(stripe.major_units as [string, number, string][])(
  "%s %i reads %s, by Stripe's decimals",
  (code, amount, text) => {
    const shown = money(amount, code).replace(/[^\d.]/g, "");

    expect(shown.replace(/\.00$/, "")).toBe(text);
  },
);

test.each([
  [1, "per month"],
  [3, "every 3 months"],
])("a billing interval of %i months reads %s", (intervalCount, text) => {
  expect(formatInterval({ interval: "month", intervalCount })).toBe(text);
});
