/**
 * The official Node client brings every resource of the simulator into every state.
 *
 *     node frontend/conformance/every_object.ts http://127.0.0.1:12111 sk_test_simulator
 *
 * The checks are the conformance test's, which observes all that the simulator answers or sends.
 */
import type { Stripe } from "stripe";
import { failedRenewals, planChanges, subscriptions } from "./every_subscription.ts";
import {
  ADDRESS,
  BILLING,
  control,
  monthly,
  newIntent,
  pay,
  RETURN_URL,
  refused,
  savedCard,
  stripe,
} from "./simulator.ts";

const MANDATE = { customer_acceptance: { type: "offline" } } as const;
const SEPA_PAID = "DE89370400440532013000";
const SEPA_FAILED = "DE62370400440532013001";

async function customers(): Promise<void> {
  await stripe.customers.create();
  const full = await stripe.customers.create({
    address: ADDRESS,
    business_name: "Harbour Ltd",
    description: "a description",
    email: "buyer@example.com",
    individual_name: "A Buyer",
    metadata: { a: "b" },
    name: "A Buyer",
    phone: "+49 431 1",
    shipping: { address: ADDRESS, name: "A Buyer", phone: "+49 431 1" },
  });
  await stripe.customers.update(full.id, { business_name: "", individual_name: "", shipping: "", metadata: "" });
  await stripe.customers.list({ limit: 1 });
  await stripe.customers.del(full.id);
  await stripe.customers.retrieve(full.id);
}

async function catalogue(): Promise<void> {
  const product = await stripe.products.create({
    name: "Coffee",
    images: ["https://example.com/a.png"],
    marketing_features: [{ name: "fresh" }],
    shippable: true,
    url: "https://example.com",
  });
  await stripe.products.retrieve(product.id);
  await stripe.products.list();
  await monthly();
  const price = await stripe.prices.create({ currency: "eur", product: product.id, unit_amount: 500, lookup_key: "a" });
  const crates = await stripe.prices.create({
    billing_scheme: "tiered",
    currency: "usd",
    product: product.id,
    recurring: { interval: "month", trial_period_days: 7 },
    tiers: [
      { up_to: 12, unit_amount: 90, flat_amount: 5 },
      { up_to: "inf", unit_amount: 45 },
    ],
    tiers_mode: "volume",
  });
  await stripe.prices.retrieve(crates.id, { expand: ["currency_options", "product", "tiers"] });
  await stripe.prices.update(price.id, { nickname: "a name", metadata: { a: "b" }, active: false });
  await stripe.prices.list({ expand: ["data.product"] });
  const estimate = { minimum: { unit: "day", value: 1 }, maximum: { unit: "business_day", value: 3 } } as const;
  for (const delivery_estimate of [undefined, estimate]) {
    await stripe.shippingRates.create({
      display_name: "Standard",
      type: "fixed_amount",
      fixed_amount: { amount: 500, currency: "usd" },
      ...(delivery_estimate && { delivery_estimate }),
    });
  }
  await stripe.shippingRates.list();
}

async function paymentMethods(): Promise<void> {
  const kinds: Stripe.PaymentMethodCreateParams[] = [
    { type: "card", card: { number: "4242424242424242", exp_month: 12, exp_year: 2040, cvc: "123" } },
    { type: "sepa_debit", sepa_debit: { iban: SEPA_PAID }, billing_details: BILLING },
    {
      type: "us_bank_account",
      us_bank_account: {
        account_holder_type: "individual",
        account_number: "000123456789",
        routing_number: "110000000",
      },
      billing_details: BILLING,
    },
    { type: "ideal", ideal: {} },
    { type: "amazon_pay", amazon_pay: {} },
  ];
  for (const params of kinds) await stripe.paymentMethods.create(params);
  const { method } = await savedCard();
  await stripe.paymentMethods.retrieve(method, { expand: ["customer"] });
  await stripe.paymentMethods.detach(method);
}

async function debit(iban: string, paid: boolean): Promise<string> {
  const intent = await newIntent({ currency: "eur" });
  await stripe.paymentIntents.confirm(intent.id, {
    payment_method_data: { type: "sepa_debit", sepa_debit: { iban }, billing_details: BILLING },
    mandate_data: MANDATE,
    return_url: RETURN_URL,
  });
  await control(`/payment_intents/${intent.id}/settle`, { succeed: paid });
  await stripe.paymentIntents.retrieve(intent.id, { expand: ["latest_charge"] });
  return intent.id;
}

async function paidIntents(): Promise<void> {
  const { customer, method } = await savedCard();
  const saved = await newIntent({
    customer,
    payment_method: method,
    receipt_email: "buyer@example.com",
    setup_future_usage: "off_session",
    shipping: { address: ADDRESS, name: "A Buyer" },
  });
  await stripe.paymentIntents.confirm(saved.id, { return_url: RETURN_URL });
  await stripe.paymentIntents.retrieve(saved.id, { expand: ["customer", "latest_charge.customer", "payment_method"] });
  await debit(SEPA_PAID, true);
  await debit(SEPA_FAILED, false);
  await pay((await newIntent()).id, "pm_usBankAccount", "paid");
  for (const [currency, type] of [
    ["eur", "ideal"],
    ["usd", "amazon_pay"],
  ] as const) {
    const intent = await newIntent({ currency });
    await stripe.paymentIntents.confirm(intent.id, { payment_method_data: { type }, return_url: RETURN_URL });
    await control(`/payment_intents/${intent.id}/challenge`, { succeed: true });
    const paid = await stripe.paymentIntents.retrieve(intent.id);
    await stripe.charges.retrieve(String(paid.latest_charge), { expand: ["customer", "payment_intent"] });
  }
  await stripe.paymentIntents.list({ expand: ["data.latest_charge"] });
}

async function unpaidIntents(): Promise<void> {
  for (const use_stripe_sdk of [true, false]) {
    const payment_method = "pm_card_threeDSecure2Required";
    const intent = await newIntent();
    await stripe.paymentIntents.confirm(intent.id, { payment_method, return_url: RETURN_URL, use_stripe_sdk });
    await control(`/payment_intents/${intent.id}/challenge`, { succeed: false });
    await pay(intent.id, "pm_card_chargeDeclinedInsufficientFunds");
    await stripe.paymentIntents.retrieve(intent.id, { expand: ["latest_charge"] });
    await stripe.paymentIntents.update(intent.id, { amount: 700, payment_method: "pm_card_visa" });
    await stripe.paymentIntents.cancel(intent.id, { cancellation_reason: "abandoned" });
  }
}

async function setupIntents(): Promise<void> {
  const customer = await stripe.customers.create();
  for (const payment_method of ["pm_card_visa", "pm_card_authenticationRequired", "pm_card_chargeDeclined"]) {
    const intent = await stripe.setupIntents.create({ customer: customer.id, metadata: { a: "b" } });
    await control(`/setup_intents/${intent.id}/pay`, { payment_method });
    await stripe.setupIntents.retrieve(intent.id, { expand: ["customer", "payment_method"] });
  }
  const asks = await stripe.setupIntents.create();
  const confirmation = { payment_method: "pm_card_authenticationRequired", return_url: RETURN_URL };
  await stripe.setupIntents.confirm(asks.id, confirmation);
  await control(`/setup_intents/${asks.id}/challenge`, { succeed: false });
  const named = await stripe.setupIntents.create({ payment_method: "pm_card_visa" });
  await stripe.setupIntents.cancel(named.id, { cancellation_reason: "abandoned" });
  await stripe.setupIntents.list();
}

async function refunds(): Promise<void> {
  for (const status of ["failed", "requires_action", "canceled"]) {
    const refund = await stripe.refunds.create({ payment_intent: await debit(SEPA_PAID, true), amount: 100 });
    await control(`/refunds/${refund.id}/finish`, { status: status === "failed" ? status : "requires_action" });
    if (status === "canceled") await stripe.refunds.cancel(refund.id);
    await stripe.refunds.retrieve(refund.id, { expand: ["charge", "payment_intent"] });
  }
  const card = await newIntent();
  await pay(card.id);
  const refund = await stripe.refunds.create({ payment_intent: card.id, reason: "requested_by_customer" });
  await stripe.refunds.update(refund.id, { metadata: { a: "b" } });
  await stripe.refunds.list();
}

async function disputes(): Promise<void> {
  const ways = [
    ["needs_response", "under_review", "won"],
    ["needs_response"],
    ["warning_needs_response", "warning_under_review", "warning_closed"],
  ];
  for (const [opened, ...moves] of ways) {
    const intent = await newIntent();
    await pay(intent.id);
    const { id } = await control(`/payment_intents/${intent.id}/dispute`, { status: opened });
    for (const status of moves) await control(`/disputes/${id}/move`, { status });
    if (moves.length === 0) {
      await stripe.disputes.update(String(id), { metadata: { a: "b" } });
      await stripe.disputes.close(String(id));
    }
    await stripe.disputes.retrieve(String(id), { expand: ["charge", "payment_intent"] });
  }
  await stripe.disputes.list();
}

async function customerPortal(): Promise<void> {
  const customer = (await stripe.customers.create()).id;
  await refused(stripe.billingPortal.sessions.create({ customer }));
  const { id } = await control("/portal_settings");
  await stripe.billingPortal.sessions.create({ customer });
  await stripe.billingPortal.sessions.create({ customer, return_url: RETURN_URL, expand: ["configuration"] });
  await stripe.billingPortal.configurations.retrieve(String(id));
  await stripe.billingPortal.configurations.list();
}

async function webhookEndpoints(): Promise<void> {
  const params = { url: "http://127.0.0.1:9/a", enabled_events: ["invoice.paid" as const] };
  await stripe.webhookEndpoints.create(params);
  const endpoint = await stripe.webhookEndpoints.create({ ...params, api_version: "2026-10-28.endive" });
  await stripe.webhookEndpoints.retrieve(endpoint.id);
  await stripe.webhookEndpoints.update(endpoint.id, { enabled_events: ["*"], metadata: { a: "b" } });
  await stripe.webhookEndpoints.list();
  await stripe.webhookEndpoints.del(endpoint.id);
}

async function events(): Promise<void> {
  const page = await stripe.events.list({ limit: 100 });
  for (const event of page.data.slice(0, 1)) await stripe.events.retrieve(event.id);
}

async function errors(): Promise<void> {
  const intent = await newIntent();
  await pay(intent.id);
  await refused(stripe.paymentIntents.retrieve("pi_unknown"));
  await refused(stripe.paymentIntents.cancel(intent.id));
  await refused(newIntent({ amount: 1 }));
  await refused(newIntent({ capture_method: "manual" }));
  await refused(stripe.customers.create({ email: "no address" }));
  await refused(stripe.refunds.create({ payment_intent: intent.id, amount: 10_000 }));
  for (const payment_method of ["pm_card_chargeDeclined", "pm_card_chargeDeclinedExpiredCard"]) {
    const other = await newIntent();
    await refused(stripe.paymentIntents.confirm(other.id, { payment_method, return_url: RETURN_URL }));
  }
  for (const kind of ["rate_limit", "lock_timeout", "unauthorized", "forbidden", "key_in_use", "key_mismatch"]) {
    await control("/faults", { kind, path: "/v1/customers" });
    await refused(stripe.customers.create());
  }
}

const topics = [
  customers,
  catalogue,
  paymentMethods,
  paidIntents,
  unpaidIntents,
  setupIntents,
  refunds,
  disputes,
  subscriptions,
  planChanges,
  failedRenewals,
  customerPortal,
  webhookEndpoints,
  events,
  errors,
];
for (const topic of topics) await topic();
