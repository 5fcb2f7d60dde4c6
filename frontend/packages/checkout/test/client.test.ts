// @vitest-environment happy-dom
import { describe, expect, test, vi } from "vitest";
import { type CheckoutClient, CheckoutProblem, createClient } from "../src/index.js";
import { cart, checkout, FakeGateway, INITIATE, json, lost, problem } from "./harness/gateway.js";
import { clientOf, freshBrowser, soon } from "./harness/page.js";

freshBrowser();

const key = { idempotencyKey: "key" };
const unavailable = (seconds: string) => problem(503, "temporarily_unavailable", {}, { "Retry-After": seconds });

test("sends the key as a header and the old checkout in the body", async () => {
  const gateway = new FakeGateway().on(INITIATE, checkout("new"));

  await clientOf(gateway).supersede("old", cart(), key);

  expect(gateway.sent).toEqual([{ path: INITIATE, key: "key", body: { ...cart(), supersedes: "old" } }]);
});

test("reads a subscription, and opens the customer portal for it", async () => {
  const gateway = new FakeGateway()
    .on("/api/subscriptions/s1", json({ id: "s1" }))
    .on("/api/subscriptions/s1/portal", json({ url: "https://billing.stripe.com/p/session/1" }));
  const client = clientOf(gateway);

  expect(await client.subscription("s1")).toEqual({ id: "s1" });
  expect(await client.openCustomerPortal("s1")).toEqual({ url: "https://billing.stripe.com/p/session/1" });
});

test("asks for the token before each request", async () => {
  const tokens = ["one", undefined];
  const sent: (string | null)[] = [];
  const client = createClient({
    baseUrl: "http://gateway.example",
    token: async () => tokens.shift(),
    fetch: async (input, init) => {
      sent.push(new Request(input, init).headers.get("Authorization"));
      return Response.json({});
    },
  });

  await client.catalogue();
  await client.catalogue();

  expect(sent).toEqual(["Bearer one", null]);
});

describe("a request that may be repeated", () => {
  test.each([lost, unavailable("1"), problem(429, "rate_limited"), () => new Response("<html>", { status: 502 })])(
    "%# is, with the same key",
    async (answer) => {
      const gateway = new FakeGateway().on(INITIATE, answer, checkout("a1"));

      await soon(clientOf(gateway).beginCheckout(cart(), key));

      expect(gateway.sent.map((sent) => sent.key)).toEqual(["key", "key"]);
    },
  );

  test("is three times, and not again", async () => {
    const gateway = new FakeGateway().on(INITIATE, lost);

    await expect(soon(clientOf(gateway).beginCheckout(cart(), key))).rejects.toMatchObject({
      type: "network",
      status: 0,
    });

    expect(gateway.sent).toHaveLength(3);
  });

  test("waits as long as it is told", async () => {
    const gateway = new FakeGateway().on("/api/catalog", unavailable("3"), json({ items: [] }));
    const answered = vi.fn();
    const asked = clientOf(gateway).catalogue().then(answered);

    await vi.advanceTimersByTimeAsync(2_900);
    expect(answered).not.toHaveBeenCalled();
    await soon(asked);
    expect(gateway.sent).toHaveLength(2);
  });

  test("is not when the wait is long: the buyer is told of it", async () => {
    const gateway = new FakeGateway().on("/api/catalog", unavailable("40"));

    await expect(clientOf(gateway).catalogue()).rejects.toMatchObject({ retryAfterSeconds: 40 });

    expect(gateway.sent).toHaveLength(1);
  });

  test.each([problem(500, "internal"), problem(409, "already_paid"), problem(422, "invalid_request")])(
    "%# is none: that answer would be the same",
    async (answer) => {
      const gateway = new FakeGateway().on(INITIATE, answer);

      await expect(clientOf(gateway).beginCheckout(cart(), key)).rejects.toBeInstanceOf(CheckoutProblem);

      expect(gateway.sent).toHaveLength(1);
    },
  );
});

test("gives up on an answer that does not come in time, or breaks off", async () => {
  const hanging: typeof fetch = (_input, init) =>
    new Promise((_resolve, reject) => init?.signal?.addEventListener("abort", () => reject(init.signal?.reason)));
  const client = createClient({ baseUrl: "http://gateway.example", fetch: hanging, timeoutSeconds: 0.01 });
  await expect(soon(client.config())).rejects.toMatchObject({ type: "network" });

  const broken = new FakeGateway().on("/api/config", () => new Response('{"publishableKey": "pk'));
  await expect(soon(clientOf(broken).config())).rejects.toMatchObject({ type: "network" });
});

describe("a problem", () => {
  async function problemOf(answer: () => Response, ask = (client: CheckoutClient) => client.config()) {
    return ask(clientOf(new FakeGateway().on("/api/config", answer))).catch((error: CheckoutProblem) => error);
  }

  test("has what the gateway says", async () => {
    const errors = [{ field: "contact.email", message: "must be an e-mail address" }];

    expect(await problemOf(problem(422, "invalid_request", { errors }))).toMatchObject({
      type: "invalid_request",
      status: 422,
      requestId: "r1",
      errors,
    });
  });

  test("of a type that this package does not know is unknown", async () => {
    expect(await problemOf(problem(418, "of_tomorrow"))).toMatchObject({
      type: "unknown",
      status: 418,
      requestId: "r1",
    });
  });

  test("of something else than the gateway is read by its status", async () => {
    expect(await problemOf(() => new Response("<html>", { status: 404 }))).toMatchObject({
      type: "unknown",
      status: 404,
    });
    expect(await problemOf(() => Response.json(null, { status: 400 }))).toMatchObject({ type: "unknown" });
  });

  test("may be logged: it has nothing of the request", async () => {
    const gateway = new FakeGateway().on(INITIATE, problem(500, "internal"));

    const error = await clientOf(gateway)
      .beginCheckout(cart(), key)
      .catch((thrown: CheckoutProblem) => thrown);

    expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain("ada@example.com");
  });
});

test("logs nothing", async () => {
  const spies = (["log", "info", "warn", "error", "debug"] as const).map((name) => vi.spyOn(console, name));
  const gateway = new FakeGateway().on(INITIATE, problem(500, "internal")).on("/api/config", lost);
  const client = clientOf(gateway);

  await soon(Promise.allSettled([client.beginCheckout(cart(), key), client.config()]));

  for (const spy of spies) {
    expect(spy).not.toHaveBeenCalled();
    spy.mockRestore();
  }
});
