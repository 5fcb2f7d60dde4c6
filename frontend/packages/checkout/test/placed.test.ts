// @vitest-environment happy-dom
/** A paid checkout until its confirmation is shown: the cart is full, and must not be paid again. */

import { describe, expect, test } from "vitest";
import type { StripeResult } from "../src/index.js";
import { keepUnfinished, unfinishedCheckout } from "../src/session.js";
import { cart, checkout, INITIATE, json, lost, ORDERS, problem, purchase, statusOf } from "./harness/gateway.js";
import {
  aWhile,
  begunBefore,
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
import { FakeStripe, failed, intent } from "./harness/stripe.js";

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

    otherTab().placed("a1", "completed");
    await aWhile();
    answer.resolve(intent("succeeded"));
    await soon(paid);

    expect(page.placed).toEqual(["a1 pi_1"]);
    expect(stored()).toEqual({ checkoutAttemptId: "a1" });
  });

  test("in a browser whose payer's tab was closed, until the buyer goes on to the next purchase", async () => {
    keepUnfinished("a1");
    const page = openCheckout();
    page.gateway
      .on(statusOf("a1"), lost)
      .on(INITIATE, problem(409, "already_paid", { purchase: purchase("a1") }), checkout("c1"));

    await soon(page.flow.begin(cart()));
    expect([page.state(), unfinishedCheckout()?.id]).toEqual(["placed", "a1"]);
    page.flow.startOver();
    page.close();
    const reloaded = openCheckout(page.gateway);
    await soon(reloaded.flow.begin(cart()));

    expect([reloaded.state(), page.gateway.to(INITIATE).at(-1)?.body?.supersedes]).toEqual(["payable", undefined]);
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

test("a begin that hangs has nothing to pay once another tab has begun, paid and confirmed", async () => {
  const page = openCheckout();
  const answer = deferred<Response>();
  page.gateway.on(INITIATE, () => answer.promise);
  const begun = page.flow.begin(cart());
  const other = otherTab();
  other.began("a1"); // without the lock, which was not granted in time
  other.placed("a1", "completed");
  await aWhile();

  answer.resolve(checkout("b1")());
  await soon(begun);

  expect([page.state(), page.kind()]).toEqual(["placed", "already_paid"]);
});

test("a tab that hears of the payment while it begins has nothing to pay", async () => {
  begunBefore("a1");
  const page = openCheckout();
  page.gateway.on(statusOf("a1"), json({ status: "open" })).on(INITIATE, checkout("b1"));
  await until(page, "editing");

  const granted = deferred<void>(); // the lock, which the other tab has
  const request = async (_name: string, _options: unknown, run: () => unknown) => granted.promise.then(run);
  Object.defineProperty(navigator, "locks", { configurable: true, value: { request } });
  const begun = page.flow.begin(cart());
  otherTab().placed("a1", "completed");
  await aWhile();
  granted.resolve();
  await soon(begun);

  expect([page.state(), page.gateway.to(INITIATE).length]).toEqual(["placed", 0]);
});

test("whoever signs in sees what became of the stored checkout", async () => {
  begunBefore("a1");
  const page = openCheckout();
  page.gateway.on(statusOf("a1"), problem(404, "checkout_not_found"), PAID);
  await until(page, "editing");
  expect(page.kind()).toBe("not_yours");

  page.flow.lookAgain();
  await until(page, "placed");

  expect([page.kind(), stored()]).toEqual(["already_paid", { checkoutAttemptId: "a1" }]);
});

describe("the next checkout of this browser", () => {
  test("is not given up with a placed one that this page shows", async () => {
    begunBefore("a1");
    const page = openCheckout();
    page.gateway.on(statusOf("a1"), PAID).on(INITIATE, checkout("c1"));
    await until(page, "placed");
    keepUnfinished("b1"); // in another tab, which is closed while it pays

    page.flow.startOver();
    await soon(page.flow.begin(cart()));

    expect(page.gateway.to(INITIATE).map(({ body }) => body?.supersedes)).toEqual(["b1"]);
  });

  test("is new after a confirmation, whatever a late answer tells of the one before", async () => {
    keepUnfinished("a1");
    const page = openCheckout();
    const answer = deferred<Response>();
    page.gateway.on(statusOf("a1"), lost).on(INITIATE, () => answer.promise);
    const begun = page.flow.begin(cart());
    localStorage.clear(); // its confirmation is shown in another tab

    answer.resolve(problem(409, "already_paid", { purchase: purchase("a1") })());
    await soon(begun);

    expect([page.state(), unfinishedCheckout()]).toEqual(["placed", null]);
  });

  test("is new where this tab's was replaced, and the one after it paid and confirmed", async () => {
    const page = openCheckout();
    page.gateway.on(INITIATE, checkout("a1"), checkout("c1")).on(statusOf("a1"), json({ status: "superseded" }));
    await soon(page.flow.begin(cart()));
    const stripe = new FakeStripe();
    stripe.confirms = [() => failed({ type: "invalid_request_error", code: "payment_intent_unexpected_state" })];
    stripe.retrieves = [() => intent("canceled")];
    const paid = page.flow.pay(stripe, {});
    localStorage.clear(); // b1, which replaced a1, is confirmed
    await soon(paid);
    expect([page.state(), page.kind()]).toEqual(["editing", "superseded"]);

    await soon(page.flow.begin(cart(3)));

    expect(page.gateway.to(INITIATE).map(({ body }) => body?.supersedes)).toEqual([undefined, undefined]);
  });

  test.each(["late answer", "page that is shown again"])(
    "is not disturbed by a %s of the one before",
    async (disturbance) => {
      const page = openCheckout();
      page.gateway.on(INITIATE, checkout("a1")).on(statusOf("a1"), lost, PAID);
      await soon(page.flow.begin(cart()));
      const answer = deferred<StripeResult>();
      const stripe = new FakeStripe();
      stripe.confirms = [() => answer.promise];
      stripe.retrieves = [() => failed({ type: "api_connection_error" }), () => intent("succeeded")];
      const paid = page.flow.pay(stripe, {});
      await aWhile();
      begunBefore("b1"); // after the confirmation of a1, on another page of this tab

      if (disturbance === "late answer") {
        page.close();
        answer.resolve(intent("succeeded"));
        await soon(paid);
      } else {
        answer.resolve(failed({ type: "api_connection_error" }));
        await until(page, "checking");
        dispatchEvent(Object.assign(new Event("pageshow"), { persisted: true }));
        await until(page, "placed");
      }

      expect([page.placed, stored()]).toEqual([[], { checkoutAttemptId: "b1" }]);
    },
  );
});

describe("nobody is told that they were not charged while that is not known", () => {
  test("if fields are refused, which stay marked while it is asked for", async () => {
    begunBefore("a1");
    const page = openCheckout();
    const errors = [{ field: "contact.email", message: "is no address" }];
    page.gateway.on(statusOf("a1"), lost).on(INITIATE, problem(422, "invalid_request", { errors }));
    await until(page, "editing");

    await soon(page.flow.begin(cart()));
    await aWhile();

    const { message } = page.flow.getSnapshot();
    expect([message?.fields, message?.money]).toEqual([errors, "pending"]);
    expect(message?.text).not.toContain("charged");
    page.gateway.on(statusOf("a1"), PAID);
    await until(page, "placed");
  });

  test.each([
    [json({ status: "requires_action" }), "pending"],
    [lost, "pending"],
    [json({ status: "open" }), "not_charged"],
  ])("%# if a begin fails beside another tab's checkout, whatever was known of it", async (found, money) => {
    begunBefore("a1");
    const page = openCheckout();
    page.gateway.on(statusOf("a1"), json({ status: "open" }), found).on(INITIATE, lost);
    await until(page, "editing");

    await soon(page.flow.begin(cart()));
    await aWhile();

    expect([page.kind(), page.flow.getSnapshot().message?.money]).toEqual(["offline", money]);
  });

  test.each(["since the begin was sent", "before, as a late note says"])(
    "if another tab began one %s",
    async (when) => {
      const page = openCheckout();
      if (when.startsWith("before")) keepUnfinished("a1");
      const answer = deferred<Response>();
      page.gateway.on(INITIATE, () => answer.promise.then(() => Promise.reject(lost()))).on(statusOf("a1"), lost);
      const begun = page.flow.begin(cart());
      await aWhile();

      keepUnfinished("a1");
      otherTab().began("a1");
      await aWhile();
      answer.resolve(new Response());
      await soon(begun);

      expect(page.flow.getSnapshot().message).toMatchObject({ kind: "offline", money: "pending" });
    },
  );

  test("if its confirmation is shown in another tab meanwhile", async () => {
    keepUnfinished("a1");
    const page = openCheckout();
    const answer = deferred<Response>();
    page.gateway.on(INITIATE, () => answer.promise.then(() => Promise.reject(lost()))).on(statusOf("a1"), lost);
    const begun = page.flow.begin(cart());

    localStorage.clear();
    answer.resolve(new Response());
    await soon(begun);
    await aWhile();

    expect(page.flow.getSnapshot().message).toMatchObject({ kind: "offline", money: "pending" });
  });

  test("if a checkout was given up, which somebody else may have paid", async () => {
    begunBefore("adas");
    const page = openCheckout();
    const notFound = problem(404, "checkout_not_found");
    page.gateway.on(statusOf("adas"), notFound).on(INITIATE, notFound, problem(422, "refused_by_stripe"));
    await until(page, "editing");
    page.flow.startOver();

    await soon(page.flow.begin(cart()));
    await aWhile();

    expect(page.flow.getSnapshot().message).toMatchObject({ kind: "refused_by_stripe", money: "pending" });
  });

  test("if a checkout that waits at the bank was begun again", async () => {
    const page = openCheckout();
    page.gateway
      .on(INITIATE, checkout("a1"), checkout("a1"), lost)
      .on(statusOf("a1"), json({ status: "requires_action" }));
    await soon(page.flow.begin(cart()));
    const stripe = new FakeStripe();
    stripe.confirms = [() => intent("requires_action")];
    await soon(page.flow.pay(stripe, {}));
    page.flow.edit();
    await soon(page.flow.begin(cart()));
    page.flow.edit();

    await soon(page.flow.begin(cart(2)));

    expect(page.flow.getSnapshot().message?.money).toBe("pending");
  });

  test("but they are if this page knows that its checkout is not paid", async () => {
    const page = openCheckout();
    page.gateway.on(INITIATE, checkout("a1"), lost);
    await soon(page.flow.begin(cart()));
    page.flow.edit();

    await soon(page.flow.begin(cart(2)));

    expect(page.flow.getSnapshot().message).toMatchObject({ kind: "offline", money: "not_charged" });
  });
});

describe("the reason for which a begin is refused is told", () => {
  const errors = [{ field: "contact.email", message: "is no address" }];
  const notFound = problem(404, "checkout_not_found");

  test("to the next user of the browser, each time", async () => {
    begunBefore("adas");
    const page = openCheckout();
    page.gateway.on(statusOf("adas"), notFound).on(INITIATE, problem(422, "invalid_request", { errors }));
    await until(page, "editing");

    for (let time = 0; time < 2; time++) {
      page.flow.startOver();
      await soon(page.flow.begin(cart()));
      await aWhile();
      expect(page.flow.getSnapshot().message).toMatchObject({ kind: "invalid_request", fields: errors });
    }
  });

  test.each([
    [json({ status: "requires_action" }), "refused_by_stripe"],
    [json({ status: "superseded" }), "checkout_too_large"],
    [problem(422, "invalid_request"), "internal"],
    [lost, "rate_limited"],
  ])("%# whatever became of the stored checkout", async (found, type) => {
    begunBefore("a1");
    const page = openCheckout();
    page.gateway.on(statusOf("a1"), lost, lost, lost, found).on(INITIATE, problem(422, type));
    await until(page, "editing");

    await soon(page.flow.begin(cart()));
    await aWhile();

    expect(page.kind()).toBe(type);
  });

  test("also if it was finished in another tab", async () => {
    begunBefore("a1");
    const page = openCheckout();
    page.gateway.on(statusOf("a1"), lost).on(INITIATE, problem(422, "invalid_request", { errors }));
    await until(page, "editing");
    localStorage.clear();

    await soon(page.flow.begin(cart()));
    await aWhile();

    expect(page.kind()).toBe("invalid_request");
  });
});
