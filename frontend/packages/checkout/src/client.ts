/** Client of the gateway. */

import type {
  Catalogue,
  Checkout,
  CheckoutRequest,
  CheckoutStatus,
  Config,
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
}

export interface CheckoutClient {
  config(): Promise<Config>;
  catalogue(): Promise<Catalogue>;
  beginCheckout(request: CheckoutRequest, options: { idempotencyKey: string }): Promise<Checkout>;
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
  cancelSubscription(id: string, mode: "at_period_end" | "now" | "undo"): Promise<Subscription>;
}

export function createClient(options: ClientOptions = {}): CheckoutClient {
  const send = async <T>(method: string, path: string, body?: object, headers: Record<string, string> = {}) => {
    const token = await options.token?.();
    const response = await (options.fetch ?? fetch)(`${options.baseUrl ?? ""}/api${path}`, {
      method,
      headers: {
        ...(body ? { "Content-Type": "application/json" } : {}),
        ...(token ? { Authorization: `Bearer ${token}` } : {}),
        ...headers,
      },
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status}`);
    return (await response.json()) as T;
  };
  const page = (cursor?: string) => (cursor ? `?cursor=${encodeURIComponent(cursor)}` : "");
  const begin = (body: object, key: string) =>
    send<Checkout>("POST", "/stripe/initiate-checkout", body, { "Idempotency-Key": key });
  return {
    config: () => send("GET", "/config"),
    catalogue: () => send("GET", "/catalog"),
    beginCheckout: (request, { idempotencyKey }) => begin(request, idempotencyKey),
    supersede: (checkoutAttemptId, request, { idempotencyKey }) =>
      begin({ ...request, supersedes: checkoutAttemptId }, idempotencyKey),
    completeCheckout: (checkoutAttemptId, intent) => send("POST", "/orders", { checkoutAttemptId, ...intent }),
    checkoutStatus: (id) => send("GET", `/checkout/${encodeURIComponent(id)}`),
    orders: (cursor) => send("GET", `/orders${page(cursor)}`),
    order: (id) => send("GET", `/orders/${encodeURIComponent(id)}`),
    subscriptions: (cursor) => send("GET", `/subscriptions${page(cursor)}`),
    cancelSubscription: (id, mode) => send("POST", `/subscriptions/${encodeURIComponent(id)}/cancel`, { mode }),
  };
}
