// @vitest-environment happy-dom
import type { Checkout } from "@holdfast/checkout";
import type { UseCheckout } from "@holdfast/checkout/react";
import { act } from "react";
import { beforeEach, expect, test, vi } from "vitest";
import { StripeCheckoutForm } from "../src/StripeCheckoutForm";
import { render } from "./harness/render";

type Confirm = (event: { paymentFailed(): void }) => void;
let confirmInWallet: Confirm;
let beReady: () => void;

vi.mock("../src/stripe", () => ({ useStripeJs: () => ({ stripe: {}, failed: false, retry() {} }) }));
vi.mock("@stripe/react-stripe-js", () => ({
  Elements: ({ children }: { children: React.ReactNode }) => children,
  ExpressCheckoutElement: ({ onConfirm }: { onConfirm: Confirm }) => {
    confirmInWallet = onConfirm;
    return null;
  },
  PaymentElement: ({ onReady }: { onReady(): void }) => {
    beReady = onReady;
    return null;
  },
  useStripe: () => ({}),
  useElements: () => ({}),
}));

const checkout = { clientSecret: "pi_1_secret", amountDueToday: 1800, currency: "usd" } as Checkout;

beforeEach(() => {
  vi.stubGlobal("matchMedia", () => ({ matches: false, addEventListener() {}, removeEventListener() {} }));
});

test.each([
  ["payable", 1, 0],
  ["checking", 0, 1],
])("a wallet that confirms a checkout that is %s gets its answer", async (state, pays, fails) => {
  const flow = { state, message: null, pay: vi.fn() } as unknown as UseCheckout;
  const paymentFailed = vi.fn();
  await render(<StripeCheckoutForm checkout={checkout} flow={flow} />);

  confirmInWallet({ paymentFailed });

  expect([vi.mocked(flow.pay).mock.calls.length, paymentFailed.mock.calls.length]).toEqual([pays, fails]);
});

test("wallets that do not answer keep nobody from paying by card", async () => {
  vi.useFakeTimers();
  const flow = { state: "payable", message: null, pay: vi.fn() } as unknown as UseCheckout;
  const page = await render(<StripeCheckoutForm checkout={checkout} flow={flow} />);
  await act(async () => beReady());
  const before = page.querySelector(".payment-hidden");

  await act(async () => vi.advanceTimersByTime(10_000));
  vi.useRealTimers();

  expect(before).not.toBeNull();
  expect(page.querySelector(".payment-hidden")).toBeNull();
});
