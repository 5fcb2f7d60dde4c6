// @vitest-environment happy-dom
/** A paid checkout until its confirmation is shown: the cart is full, and must not be paid again. */

import { describe, expect, test } from "vitest";
import type { StripeResult } from "../src/index.js";
import { cart, checkout, INITIATE, json, lost, ORDERS, problem, purchase, statusOf } from "./harness/gateway.js";
import {
  aWhile,
  deferred,
  freshBrowser,
  openCheckout,
  openConfirmation,
  openPage,
  otherTab,
  soon,
  stored,
  until,
} from "./harness/page.js";
import { FakeStripe, intent } from "./harness/stripe.js";

freshBrowser();

const PAID = json({ status: "completed", purchase: purchase("a1") });

describe("the id of a paid checkout stays until its confirmation is shown", () => {
  test("in the tab that pays, whatever it hears of other tabs", async () => {
    const page = openCheckout();
    page.gateway.on(INITIATE, checkout("a1"));
    await soon(page.flow.begin(cart()));
    const answer = deferred<StripeResult>();
    const stripe = new FakeStripe();
    stripe.confirms = [() => answer.promise];
    const paid = page.flow.pay(stripe, {});
    await aWhile();

    otherTab().placed(["a1"]);
    await aWhile();
    answer.resolve(intent("succeeded"));
    await soon(paid);

    expect(page.placed).toEqual(["a1 pi_1"]);
    expect(stored()).toEqual({ checkoutAttemptId: "a1" });
  });

  test("in a tab that is told so by the gateway, which tells no other tab", async () => {
    const payer = { id: "a1" as string | null };
    otherTab("a1", payer);
    const page = openCheckout();
    page.gateway.on(INITIATE, problem(409, "already_paid", { purchase: purchase("a1") }));

    await soon(page.flow.begin(cart()));
    await aWhile();

    expect([page.state(), payer.id, stored()]).toEqual(["placed", "a1", { checkoutAttemptId: "a1" }]);
  });

  test("in a tab that finds it placed, which tells others that ask", async () => {
    sessionStorage.setItem("checkoutAttemptId", "a1");
    const page = openCheckout();
    page.gateway.on(statusOf("a1"), PAID);
    await until(page, "placed");

    const asked = otherTab().heldElsewhere();
    await aWhile();

    expect(await asked).toEqual(["a1"]);
  });

  test("on the way back from the bank, also if the answer comes after a reload", async () => {
    openPage("/order-confirmation?checkout=a1&payment_intent=pi_1&redirect_status=succeeded");
    const first = openConfirmation();
    first.gateway.on(ORDERS, lost).on(statusOf("a1"), lost);
    await until(first, "unavailable");
    first.close();

    openPage(`/order-confirmation${location.search}`);
    const second = openConfirmation();
    second.gateway.on(ORDERS, json(purchase("a1")));
    await until(second, "completed");

    expect(second.placed()).toBe(1);
  });
});

test("a tab that hears of the payment while it begins has nothing to pay", async () => {
  sessionStorage.setItem("checkoutAttemptId", "a1");
  const page = openCheckout();
  page.gateway.on(statusOf("a1"), json({ status: "open" })).on(INITIATE, checkout("b1"));
  await until(page, "editing");

  const begun = page.flow.begin(cart());
  otherTab("a1").placed(["a1"]);
  await soon(begun);

  expect([page.state(), page.gateway.to(INITIATE).length]).toEqual(["placed", 0]);
});

test("whoever signs in sees what became of the stored checkout", async () => {
  sessionStorage.setItem("checkoutAttemptId", "a1");
  const page = openCheckout();
  page.gateway.on(statusOf("a1"), problem(404, "checkout_not_found"), PAID);
  await until(page, "editing");
  expect(page.kind()).toBe("not_yours");

  page.flow.lookAgain();
  await until(page, "placed");

  expect([page.kind(), stored()]).toEqual(["already_paid", { checkoutAttemptId: "a1" }]);
});
