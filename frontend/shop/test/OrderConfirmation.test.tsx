// @vitest-environment happy-dom
import { act } from "react";
import { beforeEach, expect, test, vi } from "vitest";
import { cart } from "../src/cart";
import OrderConfirmation from "../src/OrderConfirmation";
import { render } from "./harness/render";

const ID = "00000000-0000-8000-8000-000000000000";
const COMPLETED = { status: "completed", purchase: { status: "completed", subscriptions: [] } };
const OTHERS = "open processing requires_action payment_failed expired superseded needs_review".split(" ");

function answerStatus(status: number, body: object): void {
  vi.stubGlobal("fetch", async (url: string) =>
    url.includes("/api/checkout/")
      ? Response.json(body, { status })
      : Response.json({
          publishableKey: "pk_test_1",
          stripeJsUrl: "https://js.stripe.com/",
          demoSignInUrl: "/sign-in",
        }),
  );
}

/** Return the labels of the links and buttons that lead on. */
async function waysForward(): Promise<string[]> {
  const page = await render(<OrderConfirmation />);
  return [...page.querySelectorAll("a, button")].map((each) => each.textContent ?? "");
}

beforeEach(() => {
  localStorage.clear();
  sessionStorage.clear();
  cart.empty();
  history.replaceState(null, "", `/order-confirmation?checkout=${ID}`);
});

test.each([COMPLETED, ...OTHERS.map((status) => ({ status }))])("a checkout that is $status leads on", async (body) => {
  answerStatus(200, body);

  expect(await waysForward()).not.toEqual([]);
});

test("a checkout that is not found leads a guest to sign in", async () => {
  answerStatus(404, { type: "urn:holdfast:problem:checkout_not_found" });

  expect(await waysForward()).toContain("Sign in as demo customer");
});

test("a checkout whose payment arrived is never led back to paying", async () => {
  for (const status of ["processing", "needs_review"]) {
    answerStatus(200, { status });

    expect((await waysForward()).join()).not.toMatch(/checkout|pay/i);
  }
});

const SUBSCRIPTION = {
  id: "s1",
  checkoutAttemptId: ID,
  status: "active",
  amount: 1400,
  currency: "usd",
  interval: "month",
  intervalCount: 1,
  discounts: [],
  createdAt: "2026-11-27T09:00:00Z",
};
const COFFEE = [{ priceId: "coffee", quantity: 2, name: "Coffee", unitAmount: 700 }];

const BOUGHT = {
  status: "completed",
  subscriptions: [{ ...SUBSCRIPTION, items: COFFEE, boughtItems: COFFEE }],
};

test.each([
  ["completed", { status: "completed", purchase: BOUGHT }],
  ["processing", { status: "processing" }],
])("a purchase that is %s leaves the cart, once, and what was added meanwhile stays", async (_, body) => {
  sessionStorage.setItem("checkoutAttemptId", ID);
  cart.set("coffee", 2);
  cart.begun(ID);
  cart.add("mug");
  answerStatus(200, body);

  await render(<OrderConfirmation />);
  expect(JSON.parse(localStorage.getItem("cart") ?? "")).toEqual([{ priceId: "mug", quantity: 1 }]);

  await act(async () => cart.set("coffee", 5));
  sessionStorage.setItem("checkoutAttemptId", ID); // as in a tab that only heard of the payment
  history.replaceState(null, "", location.href);
  await render(<OrderConfirmation />);
  expect(localStorage.getItem("cart")).toContain('"quantity":5');
});

test("a debit that failed after the cart was emptied for it leads to the shop, to order again", async () => {
  answerStatus(200, { status: "payment_failed" });

  const page = await render(<OrderConfirmation />);

  expect(page.textContent).toContain("order it again");
  expect(page.querySelector(".row a")?.getAttribute("href")).toBe("/");
});

test("a debit that failed leads to no payment of the next cart", async () => {
  cart.add("mug");
  cart.begun("next");
  answerStatus(200, { status: "payment_failed" });

  expect(await waysForward()).toEqual(["Go to the shop"]);
});

test("a payment that failed leads back to the checkout while its cart is there", async () => {
  cart.add("mug");
  cart.begun(ID);
  answerStatus(200, { status: "payment_failed" });

  expect(await waysForward()).toContain("Back to checkout");
});

test("back to an older confirmation shows the older one", async () => {
  const asked: string[] = [];
  vi.stubGlobal("fetch", async (url: string) => {
    asked.push(url);
    return new Promise(() => {});
  });
  await render(<OrderConfirmation />);

  history.replaceState(null, "", "/order-confirmation?checkout=older");
  await act(async () => dispatchEvent(new PopStateEvent("popstate")));

  expect(asked.at(-1)).toContain("/api/checkout/older");
});
