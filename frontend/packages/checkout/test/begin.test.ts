// @vitest-environment happy-dom
import { describe, expect, test, vi } from "vitest";
import { keepUnfinished, storeAttemptId, unfinishedCheckout } from "../src/session.js";
import { cart, checkout, INITIATE, json, lost, problem, purchase, statusOf } from "./harness/gateway.js";
import {
  aWhile,
  begunBefore,
  deferred,
  finished,
  freshBrowser,
  openCheckout,
  soon,
  stored,
  until,
} from "./harness/page.js";

freshBrowser();

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const keys = (page: ReturnType<typeof openCheckout>) => page.gateway.to(INITIATE).map((sent) => sent.key);
const superseded = (page: ReturnType<typeof openCheckout>) =>
  page.gateway.to(INITIATE).map((sent) => sent.body?.supersedes ?? null);

describe("the Idempotency-Key", () => {
  test("is one random UUID for a double click, which is one request", async () => {
    const page = openCheckout();
    page.gateway.on(INITIATE, checkout("a1"));

    await soon(Promise.all([page.flow.begin(cart()), page.flow.begin(cart())]));

    expect(keys(page)).toHaveLength(1);
    expect(keys(page)[0]).toMatch(UUID);
    expect(page.state()).toBe("payable");
    expect(stored()).toEqual({ checkoutAttemptId: "a1" });
  });

  test("stays for an unchanged request, which is sent as it was, and changes with the request", async () => {
    const page = openCheckout();
    page.gateway.on(INITIATE, checkout("a1"), checkout("a1"), checkout("a2"));

    await soon(page.flow.begin(cart()));
    page.flow.edit();
    await soon(page.flow.begin(cart()));
    page.flow.edit();
    await soon(page.flow.begin(cart(2)));

    const [first, second, third] = keys(page);
    expect(second).toBe(first);
    expect(third).not.toBe(first);
    expect(superseded(page)).toEqual([null, null, "a1"]);
    expect(stored()).toEqual({ checkoutAttemptId: "a2" });
  });

  test("stays for the tries after a lost connection", async () => {
    const page = openCheckout();
    page.gateway.on(INITIATE, lost, lost, lost, checkout("a1"));

    await soon(page.flow.begin(cart()));
    expect(page.kind()).toBe("offline");
    await soon(page.flow.begin(cart()));

    expect(page.state()).toBe("payable");
    expect(new Set(keys(page)).size).toBe(1);
    expect(keys(page)).toHaveLength(4);
  });

  test("changes once by itself when it was used or its checkout has ended", async () => {
    for (const type of ["idempotency_key_reused", "attempt_closed"]) {
      const page = openCheckout();
      page.gateway.on(INITIATE, checkout("a1"), problem(409, type), checkout("a2"), problem(409, type));

      await soon(page.flow.begin(cart()));
      page.flow.edit();
      await soon(page.flow.begin(cart()));
      expect(page.state()).toBe("payable");
      expect(superseded(page)).toEqual([null, null, "a1"]);
      expect(new Set(keys(page)).size).toBe(2);

      page.flow.edit();
      await soon(page.flow.begin(cart()));
      expect(page.kind()).toBe(type);
      expect(keys(page)).toHaveLength(5);
      finished("a1");
      finished("a2");
      page.close();
    }
  });

  test("changes when the buyer starts over", async () => {
    const page = openCheckout();
    page.gateway.on(INITIATE, checkout("a1"), checkout("a2"));

    await soon(page.flow.begin(cart()));
    page.flow.startOver();
    await soon(page.flow.begin(cart()));

    expect(new Set(keys(page)).size).toBe(2);
    expect(superseded(page)).toEqual([null, "a1"]);
  });
});

describe("superseding", () => {
  test("goes on without a checkout that is not the buyer's only when the buyer starts over", async () => {
    begunBefore("adas"); // her sign-in has ended, and she may have paid
    const page = openCheckout();
    const notFound = problem(404, "checkout_not_found");
    page.gateway.on(statusOf("adas"), notFound).on(INITIATE, notFound, notFound, checkout("a1"));
    await until(page, "editing");
    expect(page.flow.getSnapshot().message).toMatchObject({ kind: "not_yours", money: "pending", action: "sign_in" });

    await soon(page.flow.begin(cart()));
    expect([page.state(), page.kind()]).toEqual(["editing", "checkout_not_found"]);
    expect(stored()).toEqual({ checkoutAttemptId: "adas" });

    page.flow.startOver();
    expect(stored()).toEqual({});
    await soon(page.flow.begin(cart()));
    expect(superseded(page)).toEqual(["adas", "adas", null]);
    expect(stored()).toEqual({ checkoutAttemptId: "a1" });
  });

  test("replaces the checkout of another tab, which goes back to its details", async () => {
    const other = openCheckout();
    other.gateway.on(INITIATE, checkout("a1"));
    await soon(other.flow.begin(cart()));
    sessionStorage.clear(); // another tab has its own

    const page = openCheckout();
    page.gateway.on(INITIATE, checkout("a2"));
    await soon(page.flow.begin(cart(2)));

    expect(superseded(page)).toEqual(["a1"]);
    await until(other, "editing");
    expect(other.kind()).toBe("superseded");
    expect(page.state()).toBe("payable");
  });

  test("replaces a checkout whose tab was closed while it paid", async () => {
    begunBefore("a1");
    sessionStorage.clear();
    const page = openCheckout();
    page.gateway.on(statusOf("a1"), json({ status: "open" })).on(INITIATE, checkout("a2"));

    await soon(page.flow.begin(cart()));

    expect(superseded(page)).toEqual(["a1"]);
  });

  test("replaces one that another tab began meanwhile without waiting for this one", async () => {
    const page = openCheckout();
    const answer = deferred<Response>();
    page.gateway.on(INITIATE, () => answer.promise, checkout("a2"));
    const begun = page.flow.begin(cart());

    keepUnfinished("b1");
    answer.resolve(checkout("a1")());
    await soon(begun);

    expect(superseded(page)).toEqual([null, "b1"]);
    expect(new Set(keys(page)).size).toBe(2);
    expect(page.flow.getSnapshot().checkout?.checkoutAttemptId).toBe("a2");
  });

  test("ends where its page was left and another one began", async () => {
    const left = openCheckout();
    const answer = deferred<Response>();
    left.gateway.on(INITIATE, () => answer.promise);
    const begun = left.flow.begin(cart());
    left.close();

    keepUnfinished("b1");
    answer.resolve(checkout("a1")());
    await soon(begun);

    expect(superseded(left)).toEqual([null]);
    expect(unfinishedCheckout()?.id).toBe("b1");
  });

  test("asks again about a checkout that was given up before a sign-in", async () => {
    begunBefore("adas");
    const page = openCheckout();
    const notFound = problem(404, "checkout_not_found");
    page.gateway.on(statusOf("adas"), notFound, json({ status: "open" }), notFound).on(INITIATE, notFound);
    await until(page, "editing");

    page.flow.startOver();
    page.flow.lookAgain(); // she signs in
    await until(page, "editing");
    page.flow.lookAgain(); // and out
    await until(page, "editing");
    await soon(page.flow.begin(cart()));

    expect(superseded(page)).toEqual(["adas"]);
  });

  test("passes over a checkout that is so old that the gateway may have forgotten it", async () => {
    localStorage.setItem("checkoutAttemptId", JSON.stringify({ id: "a1", begunAt: Date.now() - 31 * 86_400_000 }));
    const page = openCheckout();
    const gone = problem(404, "checkout_not_found");
    page.gateway.on(statusOf("a1"), lost).on(INITIATE, gone, checkout("a2"));

    await soon(page.flow.begin(cart()));
    expect([page.state(), superseded(page)]).toEqual(["payable", ["a1", null]]);
  });

  test("replaces what another tab began since an answer was lost, and the tries after that are one", async () => {
    const page = openCheckout();
    page.gateway.on(INITIATE, lost, lost, lost, lost, lost, lost, checkout("a2"));
    await soon(page.flow.begin(cart()));
    keepUnfinished("b1");

    await soon(page.flow.begin(cart()));
    await soon(page.flow.begin(cart()));

    expect(superseded(page)).toEqual([null, null, null, "b1", "b1", "b1", "b1"]);
    expect(new Set(keys(page)).size).toBe(2);
    expect(page.flow.getSnapshot().checkout?.checkoutAttemptId).toBe("a2");
  });

  test("does not replace a checkout of another tab that is placed", async () => {
    keepUnfinished("paid");
    const page = openCheckout();
    page.gateway.on(INITIATE, problem(409, "already_paid", { purchase: purchase("paid") }), checkout("a1"));
    await soon(page.flow.begin(cart()));
    expect(superseded(page)).toEqual(["paid"]);
    expect(page.kind()).toBe("already_paid");

    page.flow.startOver();
    await soon(page.flow.begin(cart()));

    expect(superseded(page)).toEqual(["paid", null]);
    expect(page.state()).toBe("payable");
  });
});

describe("an answer that comes late", () => {
  test("is not shown after the buyer went back, but its checkout is replaced", async () => {
    const page = openCheckout();
    const answer = deferred<Response>();
    page.gateway.on(INITIATE, () => answer.promise, checkout("a2"));

    const first = page.flow.begin(cart());
    page.flow.edit();
    const second = page.flow.begin(cart(2));
    answer.resolve(checkout("a1")());
    await soon(Promise.all([first, second]));

    expect(superseded(page)).toEqual([null, "a1"]);
    expect(page.flow.getSnapshot().checkout?.checkoutAttemptId).toBe("a2");
  });

  test("does not wake a page that was left", async () => {
    const page = openCheckout();
    const answer = deferred<Response>();
    page.gateway.on(INITIATE, () => answer.promise);

    const begun = page.flow.begin(cart());
    page.flow.edit();
    page.close();
    answer.resolve(checkout("a1")());
    await soon(begun);

    expect(page.state()).toBe("editing");
    expect(stored()).toEqual({ checkoutAttemptId: "a1" });
  });
});

describe("a stored checkout", () => {
  const cases = [
    ["completed", "placed", "already_paid"],
    ["needs_review", "placed", "needs_review"],
    ["processing", "placed", "payment_processing"],
    ["expired", "editing", "expired"],
    ["superseded", "editing", "superseded"],
    ["open", "editing", undefined],
    ["payment_failed", "editing", undefined],
    ["requires_action", "editing", undefined],
  ] as const;

  test.each(cases)("that is %s leads to %s", async (status, state, kind) => {
    begunBefore("a1");
    const page = openCheckout();
    expect(page.state()).toBe("resuming");
    page.gateway.on(statusOf("a1"), json({ status })).on(INITIATE, checkout("a2"));

    await until(page, state);

    expect(page.kind()).toBe(kind);
    if (state === "placed") return;
    await soon(page.flow.begin(cart()));
    expect(superseded(page)).toEqual(["a1"]);
  });

  test("that cannot be one is forgotten", async () => {
    begunBefore("a1");
    const page = openCheckout();
    page.gateway.on(statusOf("a1"), problem(422, "invalid_request"));

    await until(page, "editing");

    expect(stored()).toEqual({});
  });

  test.each([
    [lost, "status_offline"],
    [problem(503, "temporarily_unavailable", {}, { "Retry-After": "40" }), "status_unavailable"],
    [problem(401, "unauthenticated"), "status_needs_sign_in"],
  ])("%# that cannot be looked up may be paid, and is asked for until it is known", async (answer, kind) => {
    begunBefore("a1");
    const page = openCheckout();
    page.gateway.on(statusOf("a1"), answer).on(INITIATE, answer);
    await until(page, "editing");
    expect(page.kind()).toBe(kind);

    await soon(page.flow.begin(cart()));
    expect(page.flow.getSnapshot().message?.money).toBe("pending");

    page.gateway.on(statusOf("a1"), json({ status: "completed" }));
    await until(page, "placed");
    expect(page.kind()).toBe("already_paid");
  });

  test("that still cannot be looked up is not announced again, and its wait goes on", async () => {
    begunBefore("a1");
    const page = openCheckout();
    page.gateway.on(statusOf("a1"), problem(429, "rate_limited", {}, { "Retry-After": "40" }));
    await until(page, "editing");
    const { message } = page.flow.getSnapshot();
    const asked = page.gateway.sent.length;

    await aWhile();

    expect(page.gateway.sent.length).toBeGreaterThan(asked);
    expect(page.flow.getSnapshot().message).toBe(message);
    page.gateway.on(statusOf("a1"), problem(401, "unauthenticated"));
    await until({ state: () => page.kind() ?? "" }, "status_needs_sign_in");
  });

  test("is looked up in vain when the buyer begins before the answer", async () => {
    begunBefore("a1");
    const page = openCheckout();
    const answer = deferred<Response>();
    page.gateway.on(statusOf("a1"), () => answer.promise).on(INITIATE, checkout("a2"));

    await soon(page.flow.begin(cart()));
    answer.resolve(json({ status: "completed" })());
    await aWhile();

    expect(page.state()).toBe("payable");
  });
});

describe("a refusal", () => {
  const purchaseOfLater = { purchase: purchase("later") };
  const cases = [
    [problem(409, "already_paid", purchaseOfLater), "placed", "already_paid", "later"],
    [problem(409, "payment_processing"), "placed", "payment_processing", "a1"],
    [problem(409, "payment_processing", { checkoutAttemptId: "later" }), "placed", "payment_processing", "later"],
    [
      problem(422, "invalid_request", { errors: [{ field: "contact.email", message: "x" }] }),
      "editing",
      "invalid_request",
      "a1",
    ],
    [
      problem(409, "cart_not_for_sale", { errors: [{ field: "items[0].priceId", message: "x" }] }),
      "editing",
      "item_gone",
      "a1",
    ],
    [problem(429, "rate_limited", {}, { "Retry-After": "40" }), "editing", "rate_limited", "a1"],
    [problem(503, "temporarily_unavailable", {}, { "Retry-After": "40" }), "editing", "temporarily_unavailable", "a1"],
    [problem(401, "unauthenticated"), "editing", "unauthenticated", "a1"],
    [problem(500, "internal"), "editing", "internal", "a1"],
    [problem(418, "of_tomorrow"), "editing", "unknown", "a1"],
  ] as const;

  test.each(cases)("%# says what to do, and a next try is possible", async (answer, state, kind, id) => {
    const page = openCheckout();
    page.gateway.on(INITIATE, checkout("a1"), answer, checkout("a2"));
    await soon(page.flow.begin(cart()));
    page.flow.edit();
    await soon(page.flow.begin(cart(2)));

    expect(page.state()).toBe(state);
    expect(page.kind()).toBe(kind);
    // The id of what was paid stays until its confirmation is shown: the cart is full until then.
    expect(stored()).toEqual({ checkoutAttemptId: id });
    const url = `http://shop.example/order-confirmation?checkout=${id}`;
    expect(page.flow.getSnapshot().confirmationUrl).toBe(state === "placed" ? url : null);

    if (state === "placed") page.flow.startOver();
    await soon(page.flow.begin(cart(2)));
    expect(page.state()).toBe("payable");
    expect(page.flow.getSnapshot().message).toBeNull();
  });

  test("tells the wait and the fields", async () => {
    const page = openCheckout();
    const errors = [{ field: "contact.email", message: "must be an e-mail address" }];
    page.gateway.on(
      INITIATE,
      problem(429, "rate_limited", {}, { "Retry-After": "40" }),
      problem(422, "invalid_request", { errors }),
    );

    await soon(page.flow.begin(cart()));
    expect(page.flow.getSnapshot().message?.retryAfterSeconds).toBe(40);
    await soon(page.flow.begin(cart()));
    expect(page.flow.getSnapshot().message?.fields).toEqual(errors);
  });
});

test("a changed price is shown before it can be paid", async () => {
  const page = openCheckout();
  page.gateway.on(INITIATE, checkout("a1", { amountDueToday: 2600 }));

  await soon(page.flow.begin(cart(), { expectedDueToday: 2500 }));

  expect(page.state()).toBe("payable");
  expect(page.kind()).toBe("price_changed");
});

test("a page without HTTPS, where crypto.randomUUID is absent, can still buy", async () => {
  vi.stubGlobal("crypto", { getRandomValues: crypto.getRandomValues.bind(crypto) });
  const page = openCheckout();
  page.gateway.on(INITIATE, checkout("a1"));

  await soon(page.flow.begin(cart()));
  vi.unstubAllGlobals();

  expect(page.state()).toBe("payable");
  expect(keys(page)[0]).toMatch(UUID);
});

test("a browser whose localStorage is full has the id in sessionStorage", async () => {
  const full = () => {
    throw new DOMException("full", "QuotaExceededError");
  };
  vi.stubGlobal("localStorage", { getItem: () => null, setItem: full, removeItem: () => {} });
  storeAttemptId("a1"); // and the tab was loaded again
  const page = openCheckout();
  page.gateway.on(statusOf("a1"), json({ status: "open" })).on(INITIATE, checkout("a2"));
  await soon(page.flow.begin(cart()));
  finished("a2");

  storeAttemptId("none"); // nothing that the gateway calls an id
  const next = openCheckout();
  next.gateway.on(statusOf("none"), problem(422, "invalid_request"));
  await until(next, "editing");
  vi.unstubAllGlobals();

  expect(superseded(page)).toEqual(["a1"]);
  expect([stored(), next.gateway.sent.length]).toEqual([{}, 1]);
});

test("a browser without storage can still buy", async () => {
  const page = openCheckout();
  page.gateway.on(INITIATE, checkout("a1"), checkout("a2"));
  const denied = () => {
    throw new DOMException("denied", "SecurityError");
  };
  const names = ["sessionStorage", "localStorage"] as const;
  const storages = names.map((name) => [name, Object.getOwnPropertyDescriptor(globalThis, name)] as const);
  for (const name of names) Object.defineProperty(globalThis, name, { configurable: true, get: denied });
  try {
    await soon(page.flow.begin(cart()));
    expect(page.state()).toBe("payable");
    page.flow.edit();
    await soon(page.flow.begin(cart(2)));
    expect(superseded(page)).toEqual([null, "a1"]);
  } finally {
    finished("a2");
    for (const [name, storage] of storages) if (storage) Object.defineProperty(globalThis, name, storage);
  }
});
