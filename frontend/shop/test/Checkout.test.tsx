// @vitest-environment happy-dom
import type { UseCheckout } from "@holdfast/checkout/react";
import { act } from "react";
import { beforeEach, expect, test, vi } from "vitest";
import Checkout from "../src/Checkout";
import { cart } from "../src/cart";
import { keepToken } from "../src/session";
import { render } from "./harness/render";
import { itemOf } from "./items";

const BEGUN = {
  checkoutAttemptId: "a1",
  clientSecret: "pi_1_secret_x",
  intentType: "payment",
  amountDueToday: 2500,
  currency: "usd",
  recurring: [],
};

let flow: UseCheckout;
vi.mock("../src/StripeCheckoutForm", () => ({
  StripeCheckoutForm: (props: { flow: UseCheckout }) => {
    flow = props.flow;
    return <p>Payment form, {props.flow.state}</p>;
  },
}));

beforeEach(() => {
  sessionStorage.clear();
  localStorage.clear();
  keepToken(undefined);
  cart.empty();
  vi.stubGlobal("matchMedia", () => ({ matches: false, addEventListener() {}, removeEventListener() {} }));
  vi.stubGlobal("fetch", async (url: string) => Response.json(answerOf(url)));
});

function answerOf(url: string): object {
  if (url.includes("/api/catalog")) return { items: [itemOf("mug", 2500), itemOf("jug", 900)], shippingOptions: [] };
  if (url.includes("initiate")) return BEGUN;
  if (url.includes("/api/checkout/")) return { status: "open" };
  return { publishableKey: "pk_test_1", stripeJsUrl: "https://js.stripe.com/" };
}

/** Open the checkout, and go on to the payment of a mug. */
async function openPayment(): Promise<HTMLElement> {
  cart.set("mug", 1);
  const page = await render(<Checkout />);
  await act(() => vi.waitFor(() => expect(page.querySelector("form")).not.toBeNull()));
  await act(async () => page.querySelector("form")?.requestSubmit());
  await act(() => vi.waitFor(() => expect(page.textContent).toContain("Payment form, payable")));
  return page;
}

/** Press Pay. Return what gives Stripe's answer. */
async function pay(): Promise<(answer: object) => Promise<void>> {
  let resolve: (answer: object) => void = () => {};
  const promise = new Promise<object>((done) => {
    resolve = done;
  });
  await act(async () => void flow.pay({ confirmPayment: () => promise } as never, {}));
  return (answer) => act(async () => resolve(answer));
}

const DECLINED = { error: { type: "card_error", code: "card_declined" } };

test("the payment and its order stay on the page while it is under way, whatever happens to the cart", async () => {
  const page = await openPayment();
  await pay();

  await act(async () => cart.set("jug", 1));
  await act(async () => cart.set("mug", 0));

  expect(page.textContent).toContain("Payment form, confirming");
  expect(page.querySelector(".summary-lines")?.textContent).toContain("Name of mug");
  expect(page.querySelector(".summary-lines")?.textContent).not.toContain("Name of jug");
});

test("a cart that changed while the payment was declined needs a new checkout", async () => {
  const page = await openPayment();
  const answer = await pay();
  await act(async () => cart.set("jug", 1));

  await answer(DECLINED);

  expect(page.textContent).toContain("Your cart has changed");
});

test("a form that is incomplete does not take the cart from the checkout of a tab that was not heard", async () => {
  const page = await openPayment();
  cart.begun("b1"); // in another tab, which replaced this one's

  await (await pay())({ error: { type: "validation_error" } });
  expect(page.textContent).toContain("Payment form, payable");

  expect(cart.isOf("b1")).toBe(true);
});

test("a checkout that was declined after a sign-out is not offered to the guest", async () => {
  keepToken("ada");
  const page = await openPayment();
  const answer = await pay();
  await act(async () => keepToken(undefined));

  await answer(DECLINED);

  expect(page.textContent).not.toContain("Payment form");
});

test("a checkout is not offered to another user who signs in in another tab", async () => {
  keepToken("ada");
  const page = await openPayment();

  localStorage.setItem("demo-token", "bob");
  await act(async () => dispatchEvent(new StorageEvent("storage", { key: "demo-token", newValue: "bob" })));

  expect(page.textContent).not.toContain("Payment form");
});

/** Let another tab say that it has paid. */
async function payElsewhere(page: HTMLElement): Promise<void> {
  const other = new BroadcastChannel("holdfast-checkout");
  other.postMessage({ type: "began", id: "a2" });
  other.postMessage({ type: "placed", id: "a2", status: "completed" });
  await act(() => vi.waitFor(() => expect(page.textContent).toContain("placed already")));
  other.close();
}

test("a tab that heard of the payment leads to its confirmation, and offers to buy the next cart", async () => {
  const page = await openPayment();
  cart.begun("a2"); // in the other tab
  await payElsewhere(page);
  const link = page.querySelector(".alert a")?.getAttribute("href");
  const before = page.textContent;

  await act(async () => {
    cart.bought("a2"); // by the other tab's confirmation
    cart.add("jug");
  });
  await act(async () => [...page.querySelectorAll("button")].at(-1)?.click());

  expect(link).toMatch(/\/order-confirmation\?checkout=a2$/);
  expect(before).not.toContain("Buy what is in the cart");
  expect(page.textContent).toContain("Continue to payment");
  expect(page.querySelector(".summary-lines")?.textContent).toContain("Name of jug");
});

test("the next cart is bought without what was paid and is not confirmed yet", async () => {
  const sent: string[] = [];
  cart.set("mug", 1);
  cart.begun("a1");
  cart.add("jug");
  localStorage.setItem("checkoutAttemptId", JSON.stringify({ id: "a1", begunAt: Date.now() }));
  vi.stubGlobal("fetch", async (url: string, init?: RequestInit) => {
    if (url.includes("initiate")) sent.push(String(init?.body));
    return Response.json(url.includes("/api/checkout/") ? { status: "processing" } : answerOf(url));
  });
  const page = await render(<Checkout />);
  await act(() => vi.waitFor(() => expect(page.textContent).toContain("Buy what is in the cart")));

  await act(async () => [...page.querySelectorAll("button")].at(-1)?.click());
  await act(async () => page.querySelector("form")?.requestSubmit());
  await act(() => vi.waitFor(() => expect(sent).toHaveLength(1)));

  expect(JSON.parse(sent[0] ?? "").items).toEqual([{ priceId: "jug", quantity: 1 }]);
});
