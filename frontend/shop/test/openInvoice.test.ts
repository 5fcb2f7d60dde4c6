import type { CheckoutMessage } from "@holdfast/checkout";
import { beforeEach, expect, test, vi } from "vitest";
import { type OpenInvoice, payOpenInvoice } from "../src/openInvoice";

const LOST = { error: { type: "api_connection_error" } };
const DECLINED = { error: { type: "card_error", code: "card_declined" } };
const PAID_ELSEWHERE = { error: { type: "invalid_request_error", code: "payment_intent_unexpected_state" } };

/**
 * Pay with a Stripe.js that answers so; a failed lookup is null, one without an answer "silence", and the last one is repeated. Return the outcome's kind
 * and what was told before.
 */
async function pay(confirmed: object | Error, ...lookups: (string | null)[]) {
  const stripe = {
    confirmPayment: async () => {
      if (confirmed instanceof Error) throw confirmed;
      return confirmed;
    },
    retrievePaymentIntent: async () => {
      asked++;
      const status = lookups.length > 1 ? lookups.shift() : lookups[0];
      if (status === "silence") return new Promise(() => {});
      return status ? { paymentIntent: { id: "pi_1", status } } : LOST;
    },
  };
  const charge = { stripe, elements: {}, clientSecret: "pi_1_secret", returnUrl: "https://shop/" };
  const told: CheckoutMessage[] = [];
  const outcome = payOpenInvoice(charge as unknown as OpenInvoice, (message) => told.push(message), leaving.signal);
  await vi.runAllTimersAsync();
  const found = await outcome;
  return { outcome: found === "paid" ? found : found.kind, told: told.map(({ kind }) => kind) };
}

let asked: number;
let leaving: AbortController;

beforeEach(() => {
  vi.useFakeTimers();
  asked = 0;
  leaving = new AbortController();
});

test("a payment without an error is done", async () => {
  expect(await pay({ paymentIntent: { id: "pi_1", status: "succeeded" } })).toEqual({ outcome: "paid", told: [] });
});

test("a decline is told, and nothing is looked up", async () => {
  expect(await pay(DECLINED)).toEqual({ outcome: "card_declined", told: [] });
});

test("a payment whose answer was lost is looked up until it is known", async () => {
  expect(await pay(LOST, null, null, "succeeded")).toEqual({
    outcome: "paid",
    told: ["outcome_unknown", "outcome_unknown"],
  });
});

test("a payment that was not made although the answer was lost may be tried again, once that is sure", async () => {
  const begun = Date.now();

  expect((await pay(new Error("offline"), "requires_payment_method")).outcome).toBe("not_paid");

  expect(Date.now() - begun).toBeGreaterThan(5000);
});

test("a payment that reached Stripe after the first question is done", async () => {
  expect((await pay(LOST, "requires_payment_method", "processing")).outcome).toBe("paid");
});

test.each(["requires_action", "requires_payment_method"])("an answer that it %s is not done", async (status) => {
  expect((await pay({ paymentIntent: { id: "pi_1", status } }, status)).outcome).toBe("not_paid");
});

test("a cancelled payment is told as one", async () => {
  expect((await pay(PAID_ELSEWHERE, "canceled")).outcome).toBe("open_invoice_ended");
});

test("a payment that was made in another tab is done", async () => {
  expect(await pay(PAID_ELSEWHERE, "processing")).toEqual({ outcome: "paid", told: [] });
});

test("a question that Stripe does not answer is asked again", async () => {
  expect((await pay(LOST, "silence", "succeeded")).outcome).toBe("paid");
});

test("a page that was left asks no more", async () => {
  setTimeout(() => leaving.abort(), 9_000);

  expect((await pay(LOST, null)).outcome).toBe("outcome_unknown");

  expect(asked).toBe(5);
});
