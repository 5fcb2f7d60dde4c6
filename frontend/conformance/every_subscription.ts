/** The official Node client brings subscriptions, and all that bills them, into every state. */
import type { Stripe } from "stripe";
import { control, DAY, monthly, pay, refused, stripe, subscribe, wait } from "./simulator.ts";

const EVERYTHING = [
  "customer",
  "default_payment_method",
  "discounts.customer",
  "latest_invoice.confirmation_secret",
  "latest_invoice.discounts",
];

export async function subscriptions(): Promise<void> {
  const active = await subscribe("pm_card_visa", { metadata: { a: "b" }, description: "A plan" });
  await stripe.subscriptions.update(active.id, { metadata: { a: "", b: "c" }, cancel_at_period_end: true });
  await stripe.subscriptions.update(active.id, { cancel_at_period_end: false });
  const trial = await subscribe("pm_card_visa", { trial_period_days: 7 });
  const declined = await subscribe("pm_card_chargeCustomerFail");
  const challenged = await subscribe("pm_card_authenticationRequired");
  const waiting = await subscribe("pm_card_visa", { payment_behavior: "default_incomplete" });
  await pay(firstIntent(waiting));
  for (const like of ["pm_card_authenticationRequired", "pm_card_chargeCustomerFail"]) {
    await refused(subscribe(like, { payment_behavior: "error_if_incomplete" }));
  }
  const paused = await subscribe();
  await control(`/subscriptions/${paused.id}/pause`);
  const canceled = await subscribe();
  for (const { id } of [canceled, await subscribe("pm_card_chargeCustomerFail")]) await stripe.subscriptions.cancel(id);
  const failing = await subscribe();
  const method = String(failing.default_payment_method);
  await control(`/payment_methods/${method}/behave`, { like: "pm_card_chargeCustomerFail" });
  for (let month = 0; month < 2; month += 1) {
    await wait(32);
    for (const { id } of [active, trial, declined, challenged, waiting, paused, canceled, failing]) {
      await stripe.subscriptions.retrieve(id, { expand: EVERYTHING });
    }
  }
  await stripe.subscriptions.list({ status: "all", expand: ["data.latest_invoice"] });
  const invoices = await stripe.invoices.list({ expand: ["data.customer"], limit: 1 });
  for (const { id } of invoices.data) {
    await stripe.invoices.retrieve(id, { expand: ["confirmation_secret", "payments"] });
  }
  const payments = await stripe.invoicePayments.list({ expand: ["data.invoice"], limit: 1 });
  for (const { id } of payments.data) await stripe.invoicePayments.retrieve(id);
}

export async function planChanges(): Promise<void> {
  const once = await stripe.coupons.create({ percent_off: 10, duration: "once", name: "Ten", metadata: { a: "b" } });
  const repeating = await stripe.coupons.create({
    amount_off: 100,
    currency: "usd",
    duration: "repeating",
    duration_in_months: 3,
  });
  await stripe.coupons.retrieve(once.id, { expand: ["currency_options"] });
  await stripe.coupons.list();
  const changed = await subscribe("pm_card_visa", { discounts: [{ coupon: once.id }], expand: EVERYTHING });
  const now = changed.created;
  const items = await stripe.subscriptionItems.list({ subscription: changed.id });
  const item = await stripe.subscriptionItems.retrieve(items.data[0]?.id ?? "");
  const updates: Stripe.SubscriptionUpdateParams[] = [
    { items: [{ id: item.id, price: await monthly(5000), quantity: 3 }] },
    { items: [{ id: item.id, quantity: 4 }], proration_behavior: "always_invoice" },
    { discounts: [{ coupon: repeating.id }] },
    { discounts: "" },
    { pause_collection: { behavior: "void", resumes_at: now + 20 * DAY } },
    { cancel_at: now + 50 * DAY, cancellation_details: { comment: "bye", feedback: "unused" } },
    { payment_settings: { save_default_payment_method: "on_subscription" } },
  ];
  for (const params of updates) await stripe.subscriptions.update(changed.id, { ...params, expand: EVERYTHING });
  const paused: string[] = [];
  for (const behavior of ["keep_as_draft", "mark_uncollectible", "void"] as const) {
    const { id } = await subscribe();
    await stripe.subscriptions.update(id, { pause_collection: { behavior } });
    paused.push(id);
  }
  await wait(32);
  await wait(32);
  await stripe.subscriptions.retrieve(changed.id, { expand: EVERYTHING });
  const prorations = await stripe.invoiceItems.list({ expand: ["data.customer", "data.invoice"], limit: 1 });
  for (const { id } of prorations.data) await stripe.invoiceItems.retrieve(id);
  for (const id of paused) await stripe.subscriptions.update(id, { pause_collection: "" });
  await stripe.customers.del(String((await subscribe()).customer));
}

export async function failedRenewals(): Promise<void> {
  const api = stripe.invoices;
  const endings = [
    (id: string) => api.pay(id),
    (id: string) => api.voidInvoice(id),
    (id: string) => api.markUncollectible(id),
  ];
  for (const end of endings) {
    const failing = await subscribe();
    const method = String(failing.default_payment_method);
    await control(`/payment_methods/${method}/behave`, { like: "pm_card_chargeCustomerFail" });
    await wait(32);
    await control(`/payment_methods/${method}/behave`, { like: "pm_card_visa" });
    const open = await api.list({ subscription: failing.id, status: "open" });
    for (const { id } of open.data) {
      await api.update(id, { metadata: { a: "b" }, auto_advance: false });
      await end(id);
    }
  }
}

function firstIntent(subscription: Stripe.Subscription): string {
  const invoice = subscription.latest_invoice;
  const secret = typeof invoice === "object" ? invoice?.confirmation_secret?.client_secret : undefined;
  return secret?.split("_secret_")[0] ?? "";
}
