// @vitest-environment happy-dom
import type { Checkout } from "@holdfast/checkout";
import type { UseCheckout } from "@holdfast/checkout/react";
import { expect, test, vi } from "vitest";
import { StripeCheckoutForm } from "../src/StripeCheckoutForm";
import { render } from "./harness/render";

type Confirm = (event: { paymentFailed(): void }) => void;
let confirmInWallet: Confirm;

vi.mock("../src/stripe", () => ({ useStripeJs: () => ({ stripe: {}, failed: false, retry() {} }) }));
vi.mock("@stripe/react-stripe-js", () => ({
  Elements: ({ children }: { children: React.ReactNode }) => children,
  ExpressCheckoutElement: ({ onConfirm }: { onConfirm: Confirm }) => {
    confirmInWallet = onConfirm;
    return null;
  },
  PaymentElement: () => null,
  useStripe: () => ({}),
  useElements: () => ({}),
}));

test.each([
  ["payable", 1, 0],
  ["checking", 0, 1],
])("a wallet that confirms a checkout that is %s gets its answer", async (state, pays, fails) => {
  vi.stubGlobal("matchMedia", () => ({ matches: false, addEventListener() {}, removeEventListener() {} }));
  const flow = { state, message: null, pay: vi.fn() } as unknown as UseCheckout;
  const checkout = { clientSecret: "pi_1_secret", amountDueToday: 1800, currency: "usd" } as Checkout;
  const paymentFailed = vi.fn();
  await render(<StripeCheckoutForm checkout={checkout} flow={flow} />);

  confirmInWallet({ paymentFailed });

  expect([vi.mocked(flow.pay).mock.calls.length, paymentFailed.mock.calls.length]).toEqual([pays, fails]);
});
