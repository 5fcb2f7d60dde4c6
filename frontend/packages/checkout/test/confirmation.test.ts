// @vitest-environment happy-dom
import { describe, expect, test, vi } from "vitest";
import { type Purchase, stripSecrets } from "../src/index.js";
import { unfinishedCheckout } from "../src/session.js";
import { json, lost, ORDERS, problem, purchase, statusOf } from "./harness/gateway.js";
import {
  aWhile,
  begunBefore,
  deferred,
  freshBrowser,
  openConfirmation,
  openPage,
  otherTab,
  stored,
  until,
} from "./harness/page.js";

freshBrowser();

const PAGE = "/order-confirmation";
const bought = (id: string) => json({ status: "completed", purchase: purchase(id) });

function subscribed(status: string, payment?: { clientSecret: string }): Purchase {
  const subscription = { id: "s1", status, checkoutAttemptId: "a1", items: [], payment };
  const subscriptions = [subscription as unknown as Purchase["subscriptions"][number]];
  return { ...purchase("a1"), subscriptions, needsAttention: status === "activation_failed" };
}

describe("the address", () => {
  test("loses Stripe's secret at once, and keeps the ids", () => {
    openPage(`${PAGE}?checkout=a1&payment_intent=pi_1&payment_intent_client_secret=s&redirect_status=succeeded&shop=1`);

    openConfirmation();

    expect(location.search).toBe("?checkout=a1&payment_intent=pi_1&shop=1");
  });

  test("gets the stored id, so that a reload finds it when the storage is empty", async () => {
    sessionStorage.setItem("checkoutAttemptId", "a1");
    openPage(PAGE);
    const page = openConfirmation();
    page.gateway.on(statusOf("a1"), bought("a1"));
    await until(page, "completed");
    expect(location.search).toBe("?checkout=a1");
    expect(stored()).toEqual({});

    page.close();
    const reloaded = openConfirmation(page.gateway);
    await until(reloaded, "completed");
    expect([page.placed(), reloaded.placed()]).toEqual([1, 1]);
  });

  test("names an older checkout while the next one is under way, and that one is left alone", async () => {
    sessionStorage.setItem("checkoutAttemptId", "next");
    openPage(`${PAGE}?checkout=a1`);
    const page = openConfirmation();
    page.gateway.on(statusOf("a1"), bought("a1"));

    await until(page, "completed");

    expect(stored()).toEqual({ checkoutAttemptId: "next" });
  });

  test("without an id leads back to the shop", async () => {
    openPage(PAGE);
    const page = openConfirmation();

    expect([page.state(), page.kind()]).toEqual(["not_found", "no_id"]);
    page.flow.refresh();
    expect(page.gateway.sent).toEqual([]);
  });
});

describe("completing", () => {
  test("needs no webhook where the intent is known", async () => {
    openPage(`${PAGE}?checkout=a1&payment_intent=pi_1&redirect_status=succeeded`);
    stripSecrets(); // as a shop does before anything else
    const page = openConfirmation();
    page.gateway.on(ORDERS, json({ status: "processing", subscriptions: [] }, 202), json(purchase("a1")));

    await until(page, "processing");
    expect(page.placed()).toBe(1);
    await until(page, "completed");

    expect(page.placed()).toBe(1);
    expect(page.flow.getSnapshot().purchase?.order?.number).toBe("K7M-2QX-9FW");
    expect(page.gateway.to(ORDERS)[0]?.body).toEqual({ checkoutAttemptId: "a1", paymentIntentId: "pi_1" });
  });

  test("waits without an intent for the gateway to know", async () => {
    openPage(`${PAGE}?checkout=a1`);
    const page = openConfirmation();
    page.gateway.on(statusOf("a1"), json({ status: "processing" }), json({ status: "processing" }), bought("a1"));

    await until(page, "completed");

    expect(page.gateway.to(statusOf("a1"))).toHaveLength(3);
    expect(page.gateway.to(ORDERS)).toEqual([]);
  });

  test.each(["payment_not_succeeded", "intent_mismatch", "intent_not_found"])(
    "reads the status after %s",
    async (type) => {
      openPage(`${PAGE}?checkout=a1&setup_intent=seti_1`);
      const page = openConfirmation();
      page.gateway.on(ORDERS, problem(409, type)).on(statusOf("a1"), json({ status: "payment_failed" }));

      await until(page, "payment_failed");

      expect(page.gateway.to(ORDERS)[0]?.body).toEqual({ checkoutAttemptId: "a1", setupIntentId: "seti_1" });
      expect(page.flow.getSnapshot().message?.money).toBe("not_charged");
      expect(page.placed()).toBe(0);
    },
  );

  test("announces a payment once each time that its page is opened", async () => {
    sessionStorage.setItem("checkoutAttemptId", "a1");
    openPage(`${PAGE}?checkout=a1&payment_intent=pi_1`);
    const processing = json({ status: "processing", subscriptions: [] }, 202);
    const page = openConfirmation();
    page.gateway.on(ORDERS, processing);
    await until(page, "processing");

    const reloaded = openConfirmation(page.gateway);
    await until(reloaded, "processing");
    page.gateway.on(ORDERS, json(purchase("a1")));
    await until(page, "completed");

    expect([page.placed(), reloaded.placed()]).toEqual([1, 1]);
  });

  test.each(["incomplete", "past_due"])("reads the secret of the open invoice of one that is %s", async (status) => {
    openPage(`${PAGE}?checkout=a1&payment_intent=pi_1`);
    const page = openConfirmation();
    const payment = { clientSecret: "pi_2_secret" };
    page.gateway
      .on(ORDERS, json(subscribed(status)))
      .on(statusOf("a1"), json({ status: "completed", purchase: subscribed(status, payment) }));

    await until(page, "completed");

    expect(page.flow.getSnapshot().purchase?.subscriptions[0]?.payment).toEqual(payment);
  });

  test("reads the secret of a first charge that was declined", async () => {
    openPage(`${PAGE}?checkout=a1&payment_intent=pi_1`);
    const page = openConfirmation();
    const payment = { clientSecret: "pi_2_secret" };
    page.gateway
      .on(ORDERS, json(subscribed("pending")))
      .on(
        statusOf("a1"),
        json({ status: "completed", purchase: subscribed("pending") }),
        json({ status: "completed", purchase: subscribed("incomplete", payment) }),
      );

    await until(page, "completed");
    expect(page.kind()).toBe("subscription_pending");
    await until({ state: () => page.kind() ?? "" }, "subscription_incomplete");

    expect(page.flow.getSnapshot().purchase?.subscriptions[0]?.payment).toEqual(payment);
  });
});

test.each([
  ["incomplete_expired", "subscription_failed"],
  ["canceled", "subscription_inactive"],
  ["unpaid", "subscription_inactive"],
  ["past_due", "subscription_past_due"],
  ["activation_failed", "subscription_needs_attention"],
])("a purchase whose subscription is %s does not say that everything is paid", async (status, kind) => {
  openPage(`${PAGE}?checkout=a1`);
  const page = openConfirmation();
  page.gateway.on(statusOf("a1"), json({ status: "completed", purchase: subscribed(status) }));

  await until(page, "completed");

  expect(page.kind()).toBe(kind);
});

test("a purchase with an unpaid charge that can be paid here says so", async () => {
  openPage(`${PAGE}?checkout=a1`);
  const page = openConfirmation();
  const subscribedUnpaid = subscribed("unpaid", { clientSecret: "pi_1_secret_1" });
  page.gateway.on(statusOf("a1"), json({ status: "completed", purchase: subscribedUnpaid }));

  await until(page, "completed");

  expect(page.kind()).toBe("subscription_past_due");
});

describe("every status", () => {
  test.each([
    ["open", 0],
    ["requires_action", 0],
    ["payment_failed", 0],
    ["expired", 0],
    ["superseded", 0],
    ["processing", 1],
    ["needs_review", 1],
  ] as const)("%s is a state with its message", async (status, placed) => {
    begunBefore("a1");
    openPage(PAGE);
    const page = openConfirmation();
    page.gateway.on(statusOf("a1"), json({ status }));

    await until(page, status);

    expect(page.kind()).toBe(status);
    expect(page.placed()).toBe(placed);
    expect(stored()).toEqual(placed ? {} : { checkoutAttemptId: "a1" });
    expect(unfinishedCheckout()?.id).toBe(placed ? undefined : "a1");
  });

  test("of somebody else's checkout says no more than that", async () => {
    openPage(`${PAGE}?checkout=theirs`);
    const page = openConfirmation();
    page.gateway.on(statusOf("theirs"), problem(404, "checkout_not_found"));

    await until(page, "not_found");

    expect(page.kind()).toBe("not_yours");
  });
});

describe("asking", () => {
  test("goes on after failures, and keeps what is known", async () => {
    openPage(`${PAGE}?checkout=a1`);
    const page = openConfirmation();
    page.gateway.on(statusOf("a1"), lost, lost, lost, json({ status: "processing" }), lost, lost, lost, bought("a1"));

    await until(page, "unavailable");
    expect([page.kind(), page.flow.getSnapshot().message?.money]).toEqual(["status_offline", "pending"]);
    await until(page, "processing");
    await until({ state: () => page.kind() ?? "" }, "status_offline");
    expect(page.state()).toBe("processing");
    await until(page, "completed");
  });

  test("pauses while the page is hidden, and goes on at once when it is seen", async () => {
    openPage(`${PAGE}?checkout=a1`);
    const page = openConfirmation();
    page.gateway.on(statusOf("a1"), json({ status: "processing" }));
    await until(page, "processing");
    const visibility = vi.spyOn(document, "visibilityState", "get").mockReturnValue("hidden");

    await aWhile();
    const asked = page.gateway.sent.length;
    await aWhile();
    expect(page.gateway.sent).toHaveLength(asked);

    visibility.mockReturnValue("visible");
    page.gateway.on(statusOf("a1"), bought("a1"));
    document.dispatchEvent(new Event("visibilitychange"));
    await until(page, "completed");
    visibility.mockRestore();
  });

  test("pauses while the browser is offline", async () => {
    openPage(`${PAGE}?checkout=a1`);
    const page = openConfirmation();
    page.gateway.on(statusOf("a1"), json({ status: "processing" }));
    await until(page, "processing");
    const online = vi.spyOn(navigator, "onLine", "get").mockReturnValue(false);

    await aWhile();
    const asked = page.gateway.sent.length;
    await aWhile();
    expect(page.gateway.sent).toHaveLength(asked);

    online.mockReturnValue(true);
    dispatchEvent(new Event("online"));
    await aWhile();
    expect(page.gateway.sent.length).toBeGreaterThan(asked);
    online.mockRestore();
  });

  test("ignores a late answer of an older question", async () => {
    sessionStorage.setItem("checkoutAttemptId", "a1");
    openPage(PAGE);
    const page = openConfirmation();
    const late = deferred<Response>();
    page.gateway.on(statusOf("a1"), () => late.promise, bought("a1"));
    const states = new Set<string>();
    page.flow.subscribe(() => states.add(page.state()));

    page.flow.refresh();
    await until(page, "completed");
    late.resolve(json({ status: "open" })());
    await aWhile();

    expect(states).toEqual(new Set(["completed"]));
    expect(page.placed()).toBe(1);
  });

  test("ends with the page", async () => {
    openPage(`${PAGE}?checkout=a1`);
    const page = openConfirmation();
    page.gateway.on(statusOf("a1"), json({ status: "processing" }));
    await until(page, "processing");

    page.close();
    const asked = page.gateway.sent.length;
    await aWhile();

    expect(page.gateway.sent).toHaveLength(asked);
  });
});

test("another tab learns that the checkout is placed", async () => {
  sessionStorage.setItem("checkoutAttemptId", "a1");
  openPage(PAGE);
  const heard: string[] = [];
  otherTab().listen({ began: () => {}, placed: (...note) => void heard.push(...note) });
  const page = openConfirmation();
  page.gateway.on(statusOf("a1"), bought("a1"));

  await until(page, "completed");
  await aWhile();

  expect(heard).toEqual(["a1", "completed"]);
});
