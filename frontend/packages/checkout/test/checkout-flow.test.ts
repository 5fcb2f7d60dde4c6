// @vitest-environment happy-dom
import { beforeEach, expect, test } from "vitest";
import { cart, checkout, INITIATE } from "./harness/gateway.js";
import { openCheckout, openPage, stored } from "./harness/page.js";
import { FakeStripe } from "./harness/stripe.js";

beforeEach(() => {
  sessionStorage.clear();
  openPage();
});

test("a checkout is begun, paid and shown, and only its id is stored", async () => {
  const page = openCheckout();
  page.gateway.on(INITIATE, checkout("a1"));

  await page.flow.begin(cart());
  expect(page.state()).toBe("payable");
  expect(stored()).toEqual({ checkoutAttemptId: "a1" });

  const stripe = new FakeStripe();
  await page.flow.pay(stripe, {});
  expect(page.state()).toBe("placed");
  expect(page.placed).toEqual(["a1 pi_1"]);
  expect(stripe.confirmed[0]?.confirmParams.return_url).toBe("http://shop.example/order-confirmation?checkout=a1");
  expect(stored()).toEqual({ checkoutAttemptId: "a1" });
  page.close();
});
