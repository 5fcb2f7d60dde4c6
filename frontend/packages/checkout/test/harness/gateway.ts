/** Fake of the gateway behind `fetch`: it answers what a test queues, and remembers what was sent. */

import type { Checkout, Purchase } from "../../src/index.js";

export interface Sent {
  path: string;
  key: string | null;
  body: Record<string, unknown> | null;
}

type Answer = Response | Error | Promise<Response>;

export class FakeGateway {
  readonly sent: Sent[] = [];
  readonly #answers = new Map<string, (() => Answer)[]>();

  /** Queue an answer for a path; the last one is given again and again. */
  on(path: string, ...answers: (() => Answer)[]): this {
    this.#answers.set(path, answers);
    return this;
  }

  readonly fetch: typeof fetch = async (input, init) => {
    const request = new Request(input, init);
    const path = new URL(request.url).pathname;
    const text = await request.text();
    this.sent.push({ path, key: request.headers.get("Idempotency-Key"), body: text ? JSON.parse(text) : null });
    const queue = this.#answers.get(path) ?? [];
    const answer = (queue.length > 1 ? queue.shift() : queue[0])?.();
    if (answer === undefined) throw new Error(`no answer for ${path}`);
    if (answer instanceof Error) throw answer;
    return answer;
  };

  to(path: string): Sent[] {
    return this.sent.filter((each) => each.path === path);
  }
}

export const INITIATE = "/api/stripe/initiate-checkout";
export const ORDERS = "/api/orders";
export const statusOf = (id: string) => `/api/checkout/${id}`;

export const lost = () => new TypeError("Failed to fetch");

export function problem(status: number, type: string, more: object = {}, headers: Record<string, string> = {}) {
  const body = { type: `urn:holdfast:problem:${type}`, title: type, status, requestId: "r1", ...more };
  return () => Response.json(body, { status, headers });
}

export function json(body: object, status = 200) {
  return () => Response.json(body, { status });
}

export function checkout(id: string, more: Partial<Checkout> = {}): () => Response {
  return json({ ...CHECKOUT, checkoutAttemptId: id, clientSecret: `pi_${id}_secret_x`, ...more });
}

const CHECKOUT: Checkout = {
  checkoutAttemptId: "",
  clientSecret: "",
  intentType: "payment",
  intentAmount: 2500,
  amountDueToday: 2500,
  currency: "usd",
  recurring: [],
  payBy: "2026-11-28T00:00:00Z",
};

export function purchase(id: string): Purchase {
  return {
    status: "completed",
    order: {
      id: "o1",
      number: "K7M-2QX-9FW",
      checkoutAttemptId: id,
      status: "paid",
      totalAmount: 2500,
      currency: "usd",
      items: [],
      createdAt: "2026-11-27T00:00:00Z",
    },
    subscriptions: [],
    needsAttention: false,
  };
}

export const CONTACT = { email: "ada@example.com", name: "Ada Lovelace" };
export const cart = (quantity = 1) => ({ items: [{ priceId: "price_mug", quantity }], contact: CONTACT });
