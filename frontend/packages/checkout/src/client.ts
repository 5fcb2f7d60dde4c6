/** Client of the gateway. Each request has a timeout, and is repeated a bounded number of times. It logs nothing. */

import { CheckoutProblem, readProblem } from "./problems.js";
import type {
  Catalogue,
  Checkout,
  CheckoutRequest,
  CheckoutStatus,
  Config,
  CustomerPortal,
  IntentId,
  Order,
  OrderPage,
  Purchase,
  Subscription,
  SubscriptionPage,
} from "./types.js";

export interface ClientOptions {
  /** Origin of the gateway; the page's own by default. */
  baseUrl?: string;
  /** The signed-in user's token, asked before each request. */
  token?: () => string | undefined | Promise<string | undefined>;
  fetch?: typeof fetch;
  /** Time limit of each try; 30 by default. */
  timeoutSeconds?: number;
}

export interface CheckoutClient {
  config(): Promise<Config>;
  /** Read what is on sale; `fresh` passes by the browser's cache, for prices that turned out to be others. */
  catalogue(options?: { fresh?: boolean }): Promise<Catalogue>;
  /** Begin a checkout. Without a key it would not be safe to repeat, so a key is required. */
  beginCheckout(request: CheckoutRequest, options: { idempotencyKey: string }): Promise<Checkout>;
  /** Begin a checkout that replaces another one of the same buyer after a change. */
  supersede(
    checkoutAttemptId: string,
    request: CheckoutRequest,
    options: { idempotencyKey: string },
  ): Promise<Checkout>;
  completeCheckout(checkoutAttemptId: string, intent: IntentId): Promise<Purchase>;
  checkoutStatus(checkoutAttemptId: string): Promise<CheckoutStatus>;
  orders(cursor?: string): Promise<OrderPage>;
  order(id: string): Promise<Order>;
  subscriptions(cursor?: string): Promise<SubscriptionPage>;
  /** Read one subscription, with the client secret of its open invoice: the list has none. */
  subscription(id: string): Promise<Subscription>;
  /** Begin a visit to Stripe's customer portal (payment method, invoices). Go to its address at once: it is short-lived. */
  openCustomerPortal(subscriptionId: string): Promise<CustomerPortal>;
  /** 409 `payment_processing`: it cannot end now. Show `messageFor("subscription_payment_processing")`. */
  cancelSubscription(id: string, mode: "at_period_end" | "now" | "undo"): Promise<Subscription>;
}

const MAX_TRIES = 3;
/** The longest Retry-After that is waited for here. The buyer is told of a longer one instead. */
const MAX_WAIT_SECONDS = 5;
const FIRST_WAIT_SECONDS = 0.5;

export function createClient(options: ClientOptions = {}): CheckoutClient {
  const send = <T>(
    method: string,
    path: string,
    body?: object,
    idempotencyKey?: string,
    cache: RequestCache = "default",
  ): Promise<T> =>
    withRetries(async () => {
      const headers = new Headers();
      const token = await options.token?.();
      if (token) headers.set("Authorization", `Bearer ${token}`);
      if (idempotencyKey) headers.set("Idempotency-Key", idempotencyKey);
      const signal = AbortSignal.timeout((options.timeoutSeconds ?? 30) * 1000);
      const init: RequestInit = { method, headers, cache, signal };
      if (body) {
        headers.set("Content-Type", "application/json");
        init.body = JSON.stringify(body);
      }
      return request<T>(options.fetch ?? fetch, `${options.baseUrl ?? ""}/api${path}`, init);
    });
  const page = (cursor?: string) => (cursor ? `?cursor=${encodeURIComponent(cursor)}` : "");
  const begin = (body: object, key: string) => send<Checkout>("POST", "/stripe/initiate-checkout", body, key);
  return {
    config: () => send("GET", "/config"),
    catalogue: ({ fresh = false } = {}) => send("GET", "/catalog", undefined, undefined, fresh ? "reload" : "default"),
    beginCheckout: (request, { idempotencyKey }) => begin(request, idempotencyKey),
    supersede: (checkoutAttemptId, request, { idempotencyKey }) =>
      begin({ ...request, supersedes: checkoutAttemptId }, idempotencyKey),
    completeCheckout: (checkoutAttemptId, intent) => send("POST", "/orders", { checkoutAttemptId, ...intent }),
    checkoutStatus: (id) => send("GET", `/checkout/${encodeURIComponent(id)}`),
    orders: (cursor) => send("GET", `/orders${page(cursor)}`),
    order: (id) => send("GET", `/orders/${encodeURIComponent(id)}`),
    subscriptions: (cursor) => send("GET", `/subscriptions${page(cursor)}`),
    subscription: (id) => send("GET", `/subscriptions/${encodeURIComponent(id)}`),
    openCustomerPortal: (id) => send("POST", `/subscriptions/${encodeURIComponent(id)}/portal`, {}),
    cancelSubscription: (id, mode) => send("POST", `/subscriptions/${encodeURIComponent(id)}/cancel`, { mode }),
  };
}

async function request<T>(fetchIt: typeof fetch, url: string, init: RequestInit): Promise<T> {
  let response: Response;
  try {
    response = await fetchIt(url, init);
    if (response.ok) return (await response.json()) as T;
  } catch {
    throw new CheckoutProblem({ type: "network", status: 0 });
  }
  throw await readProblem(response);
}

/** Send a request until it is answered. Every request of this client has the same effect however often it is sent. */
async function withRetries<T>(send: () => Promise<T>): Promise<T> {
  for (let tried = 1; ; tried++) {
    try {
      return await send();
    } catch (error) {
      const seconds = tried < MAX_TRIES ? waitSeconds(error, tried) : null;
      if (seconds === null) throw error;
      await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    }
  }
}

/** Return the wait before the next try, or null if there is none. */
function waitSeconds(error: unknown, tried: number): number | null {
  if (!(error instanceof CheckoutProblem)) return null;
  if (!["network", "temporarily_unavailable", "overloaded", "rate_limited"].includes(error.type)) return null;
  const seconds = error.retryAfterSeconds ?? FIRST_WAIT_SECONDS * 2 ** (tried - 1);
  // Pages that fail together do not come back together.
  return seconds <= MAX_WAIT_SECONDS ? seconds * (1 + Math.random() / 4) : null;
}
