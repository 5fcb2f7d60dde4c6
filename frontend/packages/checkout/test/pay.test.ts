// @vitest-environment happy-dom
import { describe, expect, test } from "vitest";
import type { StripeResult } from "../src/index.js";
import { cart, checkout, INITIATE, json, lost, problem, statusOf } from "./harness/gateway.js";
import {
  aWhile,
  deferred,
  finished,
  freshBrowser,
  openCheckout,
  otherTab,
  soon,
  stored,
  until,
} from "./harness/page.js";
import { FakeStripe, failed, intent } from "./harness/stripe.js";

freshBrowser();

async function payable(intentType: "payment" | "setup" = "payment") {
  const page = openCheckout();
  page.gateway.on(INITIATE, checkout("a1", { intentType }), checkout("a2"));
  await soon(page.flow.begin(cart()));
  return { ...page, stripe: new FakeStripe() };
}

const unexpected = failed({ type: "invalid_request_error", code: "payment_intent_unexpected_state" });
const disconnected = failed({ type: "api_connection_error" });

describe("paying", () => {
  test("places the checkout, and gives Stripe a return address with the id", async () => {
    const page = await payable();

    await soon(page.flow.pay(page.stripe, {}));

    expect(page.state()).toBe("placed");
    expect(page.placed).toEqual(["a1 pi_1"]);
    expect(page.stripe.confirmed[0]?.confirmParams.return_url).toBe(
      "http://shop.example/order-confirmation?checkout=a1",
    );
    expect(stored()).toEqual({ checkoutAttemptId: "a1" });
  });

  test("confirms once for a double click", async () => {
    const page = await payable();

    await soon(Promise.all([page.flow.pay(page.stripe, {}), page.flow.pay(page.stripe, {})]));
    await soon(page.flow.pay(page.stripe, {}));

    expect(page.stripe.calls).toEqual(["confirmPayment"]);
    expect(page.placed).toHaveLength(1);
  });

  test("confirms a setup intent where nothing is charged now", async () => {
    const page = await payable("setup");

    await soon(page.flow.pay(page.stripe, {}));

    expect(page.stripe.calls).toEqual(["confirmSetup"]);
  });

  test("cannot be left or begun anew while it is under way", async () => {
    const page = await payable();
    const answer = deferred<StripeResult>();
    page.stripe.confirms = [() => answer.promise];

    const paid = page.flow.pay(page.stripe, {});
    page.flow.edit();
    page.flow.startOver();
    await soon(page.flow.begin(cart(2)));
    expect(page.state()).toBe("confirming");
    expect(page.gateway.to(INITIATE)).toHaveLength(1);

    answer.resolve(intent("processing"));
    await soon(paid);
    expect(page.placed).toEqual(["a1 pi_1"]);
  });

  test.each(["succeeded", "processing"])("is placed when the intent is %s", async (status) => {
    const page = await payable();
    page.stripe.confirms = [() => intent(status)];

    await soon(page.flow.pay(page.stripe, {}));

    expect(page.state()).toBe("placed");
  });

  test.each([
    ["requires_payment_method", "payment_failed"],
    ["requires_confirmation", "payment_failed"],
    ["requires_action", "requires_action"],
  ])("can be repeated when the intent is %s", async (status, kind) => {
    const page = await payable();
    page.stripe.confirms = [() => intent(status), () => intent("succeeded")];

    await soon(page.flow.pay(page.stripe, {}));
    expect([page.state(), page.kind()]).toEqual(["payable", kind]);

    await soon(page.flow.pay(page.stripe, {}));
    expect(page.placed).toEqual(["a1 pi_1"]);
  });

  test.each([
    [{ type: "card_error", code: "card_declined", decline_code: "insufficient_funds" }, "insufficient_funds"],
    [{ type: "card_error", code: "card_declined", decline_code: "stolen_card" }, "card_declined"],
    [{ type: "invalid_request_error", code: "payment_intent_authentication_failure" }, "authentication_failed"],
    [{ type: "validation_error", code: "incomplete_number" }, "incomplete_details"],
  ])("of the same checkout can be repeated after %o", async (error, kind) => {
    const page = await payable();
    page.stripe.confirms = [() => failed(error), () => intent("succeeded")];

    await soon(page.flow.pay(page.stripe, {}));
    expect([page.state(), page.kind()]).toEqual(["payable", kind]);

    await soon(page.flow.pay(page.stripe, {}));
    expect(page.state()).toBe("placed");
    expect(page.gateway.to(INITIATE)).toHaveLength(1);
  });
});

describe("a lost answer", () => {
  const broken = [() => disconnected, () => new Error("of Stripe.js"), () => failed({ type: "api_error" })];

  test.each(broken)("%# is looked up before anything else can be done", async (answer) => {
    const page = await payable();
    page.stripe.confirms = [answer];
    page.stripe.retrieves = [() => new Error("offline"), () => intent("succeeded")];
    page.gateway.on(statusOf("a1"), lost);

    const paid = page.flow.pay(page.stripe, {});
    await until(page, "checking");
    expect(page.kind()).toBe("outcome_unknown");
    page.flow.edit();
    await soon(page.flow.pay(page.stripe, {}));
    expect(page.state()).toBe("checking");

    await soon(paid);
    expect(page.placed).toEqual(["a1 pi_1"]);
    expect(page.stripe.confirmed).toHaveLength(1);
  });

  test("is known from the gateway where Stripe cannot be asked", async () => {
    const page = await payable();
    page.stripe.confirms = [() => disconnected];
    page.stripe.retrieves = [() => disconnected];
    page.gateway.on(statusOf("a1"), json({ status: "processing" }));

    await soon(page.flow.pay(page.stripe, {}));

    expect(page.placed).toEqual(["a1 undefined"]);
  });

  test("of a payment that was not made lets the buyer pay the same checkout", async () => {
    const page = await payable();
    page.stripe.confirms = [() => disconnected, () => intent("succeeded")];
    page.stripe.retrieves = [() => intent("requires_payment_method")];
    page.gateway.on(statusOf("a1"), json({ status: "open" }));

    await soon(page.flow.pay(page.stripe, {}));
    expect([page.state(), page.kind()]).toEqual(["payable", "not_paid"]);

    await soon(page.flow.pay(page.stripe, {}));
    expect(page.placed).toEqual(["a1 pi_1"]);
  });

  test.each([() => intent("requires_payment_method"), () => disconnected])(
    "%# of a payment that reaches Stripe late is not taken for unpaid",
    async (early) => {
      const page = await payable();
      page.stripe.confirms = [() => disconnected];
      page.stripe.retrieves = [early, () => intent("succeeded")];
      page.gateway.on(statusOf("a1"), json({ status: "open" }));

      await soon(page.flow.pay(page.stripe, {}));

      expect(page.placed).toEqual(["a1 pi_1"]);
    },
  );

  test("of a payment that reaches Stripe seconds later is not taken for unpaid", async () => {
    const page = await payable();
    const unpaid = () => intent("requires_payment_method");
    page.stripe.confirms = [() => disconnected];
    page.stripe.retrieves = [unpaid, unpaid, unpaid, () => intent("succeeded")];
    page.gateway.on(statusOf("a1"), json({ status: "open" }));

    await soon(page.flow.pay(page.stripe, {}));

    expect(page.placed).toEqual(["a1 pi_1"]);
  });

  test("is known from the gateway where Stripe.js never answers", async () => {
    const page = await payable();
    page.stripe.confirms = [() => disconnected];
    page.stripe.retrieves = [() => deferred<StripeResult>().promise];
    page.gateway.on(statusOf("a1"), json({ status: "open" }), json({ status: "completed" }));

    await soon(page.flow.pay(page.stripe, {}));

    expect(page.placed).toEqual(["a1 undefined"]);
  });

  test("that never comes at all ends with the payment that the gateway knows, and offers no other before", async () => {
    const page = await payable();
    page.stripe.confirms = [() => deferred<StripeResult>().promise];
    page.gateway.on(statusOf("a1"), json({ status: "requires_action" }), json({ status: "completed" }));
    const states = new Set<string>();
    page.flow.subscribe(() => states.add(page.state()));

    void page.flow.pay(page.stripe, {});
    await until(page, "placed");

    expect(states).toEqual(new Set(["confirming", "placed"]));
    expect(page.placed).toEqual(["a1 undefined"]);
  });

  test("is asked for again when the page is mounted again", async () => {
    const page = await payable();
    page.stripe.confirms = [() => disconnected];
    page.stripe.retrieves = [() => disconnected];
    page.gateway.on(statusOf("a1"), problem(500, "internal"));
    void page.flow.pay(page.stripe, {});
    await until(page, "checking");
    page.close();
    await aWhile();

    page.gateway.on(statusOf("a1"), json({ status: "completed" }));
    const stop = page.flow.start();
    await until(page, "placed");
    stop();
  });

  test("is not asked for any more once the page is closed", async () => {
    const page = await payable();
    page.stripe.confirms = [() => disconnected];
    page.stripe.retrieves = [() => disconnected];
    page.gateway.on(statusOf("a1"), problem(500, "internal"));
    const paid = page.flow.pay(page.stripe, {});
    await until(page, "checking");

    page.close();
    await soon(paid);

    const asked = page.gateway.sent.length;
    await aWhile();
    expect(page.gateway.sent).toHaveLength(asked);
    expect(stored()).toEqual({ checkoutAttemptId: "a1" });
  });

  test("is looked up when the browser shows the page again that was left for the bank", async () => {
    const page = await payable();
    const never = deferred<StripeResult>();
    page.stripe.confirms = [() => never.promise];
    page.stripe.retrieves = [() => intent("requires_action")];
    void page.flow.pay(page.stripe, {});

    dispatchEvent(Object.assign(new Event("pageshow"), { persisted: true }));
    await until(page, "payable");
    expect(page.kind()).toBe("requires_action");

    never.resolve(intent("succeeded"));
    await aWhile();
    expect(page.placed).toEqual([]);
  });
});

test("a page that was left for the bank and is shown again after the confirmation does not go there again", async () => {
  const page = await payable();
  page.stripe.confirms = [() => deferred<StripeResult>().promise];
  page.gateway.on(statusOf("a1"), json({ status: "completed" }));
  void page.flow.pay(page.stripe, {});
  await aWhile();
  finished("a1");

  dispatchEvent(Object.assign(new Event("pageshow"), { persisted: true }));
  await until(page, "placed");

  expect([page.kind(), page.placed]).toEqual(["already_paid", []]);
});

test("a page that is shown again after the confirmation is ready for the next purchase", async () => {
  const page = await payable();
  await soon(page.flow.pay(page.stripe, {}));
  const shownAgain = () => dispatchEvent(Object.assign(new Event("pageshow"), { persisted: true }));

  page.gateway.on(statusOf("a1"), json({ status: "processing" }));
  shownAgain();
  await until({ state: () => page.kind() ?? "" }, "payment_processing");

  finished("a1");
  shownAgain();
  expect(page.state()).toBe("editing");
});

describe("an intent that cannot be paid any more", () => {
  test.each([
    ["superseded", "editing", "superseded"],
    ["expired", "editing", "expired"],
    ["completed", "placed", "already_paid"],
    ["processing", "placed", "payment_processing"],
    ["needs_review", "placed", "needs_review"],
  ])("because the checkout is %s", async (status, state, kind) => {
    const page = await payable();
    page.stripe.confirms = [() => unexpected];
    page.stripe.retrieves = [() => intent(state === "placed" ? "succeeded" : "canceled")];
    page.gateway.on(statusOf("a1"), json({ status }));

    await soon(page.flow.pay(page.stripe, {}));

    expect([page.state(), page.kind()]).toEqual([state, kind]);
    expect(page.placed).toEqual([]);
    if (state === "placed") return;
    await soon(page.flow.begin(cart()));
    const [first, second] = page.gateway.to(INITIATE);
    expect(second?.body).toMatchObject({ supersedes: "a1" });
    expect(second?.key).not.toBe(first?.key);
  });
});

test.each(["superseded", "expired"])(
  "a confirmation that never answers ends where the checkout is %s",
  async (status) => {
    const page = await payable();
    page.stripe.confirms = [() => deferred<StripeResult>().promise];
    page.stripe.retrieves = [() => intent("canceled")];
    page.gateway.on(statusOf("a1"), json({ status }));

    void page.flow.pay(page.stripe, {});
    await until(page, "editing");

    expect(page.kind()).toBe(status);
  },
);

describe("an intent whose checkout is not shown, because the sign-in ended meanwhile,", () => {
  test.each([
    ["canceled", disconnected, "editing", "not_yours"],
    ["succeeded", unexpected, "placed", "already_paid"],
    ["processing", unexpected, "placed", "payment_processing"],
  ])("that is %s leads on", async (status, confirmed, state, kind) => {
    const page = await payable();
    page.stripe.confirms = [() => confirmed];
    page.stripe.retrieves = [() => intent(status)];
    page.gateway.on(statusOf("a1"), problem(404, "checkout_not_found"));

    await soon(page.flow.pay(page.stripe, {}));

    expect([page.state(), page.kind()]).toEqual([state, kind]);
    expect(page.placed).toEqual([]);
    expect(stored()).toEqual({ checkoutAttemptId: "a1" });
  });
});

describe("other tabs", () => {
  test.each([
    ["completed", "already_paid"],
    ["processing", "payment_processing"],
    ["needs_review", "needs_review"],
  ] as const)(
    "are told of a payment that is %s, and one that showed the checkout offers the confirmation",
    async (status, kind) => {
      const page = await payable();
      otherTab().began("a9");

      otherTab().placed("other", "completed");
      await until(page, "editing");
      otherTab().placed("a9", status);
      await until(page, "placed");

      expect(page.kind()).toBe(kind);
      expect(page.flow.getSnapshot().confirmationUrl).toBe("http://shop.example/order-confirmation?checkout=a9");
      expect(stored()).toEqual({});
    },
  );

  test("do not disturb a payment under way", async () => {
    const page = await payable();
    const answer = deferred<StripeResult>();
    page.stripe.confirms = [() => answer.promise];
    const paid = page.flow.pay(page.stripe, {});

    otherTab().began("a9");
    await aWhile();
    expect(page.state()).toBe("confirming");

    answer.resolve(intent("succeeded"));
    await soon(paid);
    expect(page.placed).toEqual(["a1 pi_1"]);
  });

  test("that began meanwhile are where a payment that failed is made", async () => {
    const page = await payable();
    const answer = deferred<StripeResult>();
    page.stripe.confirms = [() => answer.promise];
    const paid = page.flow.pay(page.stripe, {});
    otherTab().began("a9");
    await aWhile();
    expect(stored()).toEqual({ checkoutAttemptId: "a1" });

    answer.resolve(failed({ type: "card_error", code: "card_declined" }));
    await soon(paid);

    expect([page.state(), page.kind()]).toEqual(["editing", "superseded"]);
    expect(stored()).toEqual({ checkoutAttemptId: "a9" });
  });
});
