// @vitest-environment happy-dom
import type { Subscription } from "@holdfast/checkout";
import { act, useState } from "react";
import { expect, test, vi } from "vitest";
import "../src/FinishPayment"; // loaded, so that it is there at once
import { SubscriptionCard } from "../src/SubscriptionsCard";
import { render } from "./harness/render";

/** Client secrets of the payments that Stripe's elements were made for. */
const made: (string | undefined)[] = [];

const nothing = () => {};
const stripe = {
  elements({ clientSecret }: { clientSecret?: string }) {
    made.push(clientSecret);
    const element = { mount: nothing, on: nothing, off: nothing, update: nothing, destroy: nothing };
    return { create: () => element, getElement: () => null, update: nothing };
  },
  createToken: nothing,
  createPaymentMethod: nothing,
  confirmCardPayment: nothing,
  retrievePaymentIntent: async () => ({ paymentIntent: { status: "requires_payment_method" } }),
};

vi.mock("../src/stripe", () => ({ useStripeJs: () => ({ stripe, failed: false, retry() {} }) }));

test("of another open invoice the payment is made in elements of its own", async () => {
  vi.stubGlobal("matchMedia", () => ({ matches: false, addEventListener: nothing, removeEventListener: nothing }));
  const page = await render(<Voided />);
  await act(async () => page.querySelector<HTMLButtonElement>(".look-again")?.click());

  // The library keeps the elements that it has, whatever secret it is given.
  expect([...new Set(made)]).toEqual(["pi_1_secret_1", "pi_2_secret_2"]);
});

/** Card of an invoice that is voided while the page is open: an older one is left to pay. */
function Voided() {
  const [clientSecret, setSecret] = useState("pi_1_secret_1");
  const subscription = {
    id: "s1",
    checkoutAttemptId: "a1",
    status: "past_due",
    payment: { clientSecret },
    items: [],
    discounts: [],
    currency: "usd",
  } as unknown as Subscription;
  return (
    <>
      <SubscriptionCard subscription={subscription} lookAgain={nothing} heading="h2" />
      <button type="button" className="look-again" onClick={() => setSecret("pi_2_secret_2")} />
    </>
  );
}
