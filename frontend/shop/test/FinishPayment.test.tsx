// @vitest-environment happy-dom
import type { Subscription } from "@holdfast/checkout";
import { act, useState } from "react";
import { beforeEach, expect, test, vi } from "vitest";
import "../src/FinishPayment"; // loaded, so that it is there within the fake time
import { SubscriptionCard } from "../src/SubscriptionsCard";
import { render } from "./harness/render";

let status: string;
const stripe = { retrievePaymentIntent: async () => ({ paymentIntent: { id: "pi_1", status } }) };

vi.mock("../src/stripe", () => ({ useStripeJs: () => ({ stripe, failed: false, retry() {} }) }));
vi.mock("@stripe/react-stripe-js", () => ({
  Elements: ({ children }: { children: React.ReactNode }) => children,
  PaymentElement: () => null,
  useStripe: () => stripe,
  useElements: () => ({}),
}));

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("matchMedia", () => ({ matches: false, addEventListener() {}, removeEventListener() {} }));
});

test.each([
  ["incomplete", "Pay and start the subscription"],
  ["past_due", "Pay the overdue amount"],
  ["unpaid", "Pay the overdue amount"],
  ["paused", "Pay the overdue amount"],
] as const)("a debit of one that is %s, refused later, can be paid again on the same page", async (owing, button) => {
  status = "processing";
  const page = await render(<Watched status={owing} />);
  const wait = () => act(() => vi.advanceTimersByTimeAsync(40_000));
  await wait();
  const before = page.textContent;

  status = "requires_payment_method";
  await wait();

  expect(before).toContain("Confirming payment");
  expect(before).not.toContain(button);
  expect(page.textContent).toContain(button);
});

test("a payment that is not offered, as a debit at the bank is not, leaves no empty place", async () => {
  const subscription = { ...OWING, status: "past_due", payment: null } as Subscription;
  const page = await render(<SubscriptionCard subscription={subscription} lookAgain={() => {}} heading="h2" />);
  expect(page.querySelector(".skeleton")).not.toBeNull();

  await act(() => vi.advanceTimersByTimeAsync(11_000));

  expect(page.querySelector(".skeleton")).toBeNull();
  expect(page.textContent).toContain("may be at the bank already");
});

test("a payment that is looked up again is not said to be at the bank at once", async () => {
  status = "requires_payment_method";
  const page = await render(<Ended />);
  await act(() => vi.advanceTimersByTimeAsync(11_000));
  await act(async () => page.querySelector<HTMLButtonElement>(".end")?.click());

  expect(page.querySelector(".skeleton")).not.toBeNull();
  expect(page.textContent).not.toContain("may be at the bank already");
});

const OWING = {
  id: "s1",
  checkoutAttemptId: "a1",
  payment: { clientSecret: "pi_1_secret" },
  items: [],
  discounts: [],
  amount: 1400,
  currency: "usd",
  interval: "month",
  intervalCount: 1,
} as unknown as Subscription;

/** Card whose every look brings the same answer: the gateway offers the payment as long as it is not settled. */
function Watched({ status }: { status: "incomplete" | "past_due" | "unpaid" | "paused" }) {
  const [subscription, setSubscription] = useState({ ...OWING, status });
  return (
    <SubscriptionCard
      subscription={subscription}
      lookAgain={() => setSubscription({ ...OWING, status })}
      heading="h2"
    />
  );
}

/** Card with a button that ends the subscription: the answer to that has no payment. */
function Ended() {
  const [ended, setEnded] = useState({});
  const subscription = { ...OWING, status: "past_due", ...ended } as Subscription;
  return (
    <SubscriptionCard subscription={subscription} lookAgain={() => {}} heading="h2">
      <button type="button" className="end" onClick={() => setEnded({ payment: null, cancelAtPeriodEnd: true })} />
    </SubscriptionCard>
  );
}
