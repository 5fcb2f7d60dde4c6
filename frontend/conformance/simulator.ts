/** The official Node client for a running simulator, and the simulator's control API. */
import { Stripe } from "stripe";

const [url = "", key = ""] = process.argv.slice(2);
const { hostname, port } = new URL(url);

export const stripe = new Stripe(key, {
  host: hostname,
  port: Number(port),
  protocol: "http",
  maxNetworkRetries: 0,
  telemetry: false,
});

export const RETURN_URL = "http://127.0.0.1/return";
export const DAY = 24 * 3600;
export const ADDRESS = { city: "Kiel", country: "DE", line1: "Hafen 1", postal_code: "24103", state: "SH" };
export const BILLING = { address: ADDRESS, email: "buyer@example.com", name: "A Buyer", phone: "+49 431 1" };

/** Calls the control API. */
export async function control(path: string, body: object = {}): Promise<Record<string, unknown>> {
  const response = await fetch(`${url}/_simulator${path}`, { method: "POST", body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return (await response.json()) as Record<string, unknown>;
}

/** Waits for a call that the simulator has to refuse. */
export async function refused(call: Promise<unknown>): Promise<void> {
  const outcome = await call.then(
    () => "accepted",
    (error: unknown) => (error instanceof Stripe.errors.StripeError ? "refused" : error),
  );
  if (outcome !== "refused") throw new Error(`not refused: ${String(outcome)}`);
}

/** Creates an intent, as the gateway does. */
export async function newIntent(
  changes: Partial<Stripe.PaymentIntentCreateParams> = {},
): Promise<Stripe.PaymentIntent> {
  return stripe.paymentIntents.create({ amount: 1999, currency: "usd", metadata: { a: "b" }, ...changes });
}

/** Pays an intent, as a buyer's browser does. */
export async function pay(intent: string, payment_method = "pm_card_visa", settle?: string): Promise<void> {
  await control(`/payment_intents/${intent}/pay`, settle ? { payment_method, settle } : { payment_method });
}

/** Creates a customer with a saved card. */
export async function savedCard(like = "pm_card_visa"): Promise<{ customer: string; method: string }> {
  const customer = await stripe.customers.create();
  const intent = await stripe.setupIntents.create({ customer: customer.id });
  await control(`/setup_intents/${intent.id}/pay`, { payment_method: like, challenge: "pass" });
  const done = await stripe.setupIntents.retrieve(intent.id);
  return { customer: customer.id, method: String(done.payment_method) };
}

/** Creates a monthly price. */
export async function monthly(unit_amount = 1200): Promise<string> {
  const price = { currency: "usd", unit_amount, product_data: { name: "A plan" } };
  return (await stripe.prices.create({ ...price, recurring: { interval: "month" } })).id;
}

/** Creates a monthly subscription of a new customer. */
export async function subscribe(
  like = "pm_card_visa",
  changes: Partial<Stripe.SubscriptionCreateParams> = {},
): Promise<Stripe.Subscription> {
  const { customer, method } = await savedCard(like);
  return stripe.subscriptions.create({
    customer,
    default_payment_method: method,
    items: [{ price: await monthly() }],
    expand: ["latest_invoice.confirmation_secret"],
    ...changes,
  });
}

/** Moves the clock. */
export async function wait(days: number): Promise<void> {
  await control("/clock/advance", { seconds: days * DAY });
}
