// A shop as it is usually written with express, the official stripe package and PostgreSQL: the context of a checkout
// stays on the server until Stripe reports the payment, and becomes an order with its items in one transaction.
import { randomUUID } from "node:crypto";
import express from "express";
import pg from "pg";
import Stripe from "stripe";

const TABLES = `
  CREATE TABLE node_checkouts (id uuid PRIMARY KEY, intent_id text UNIQUE NOT NULL, context jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now());
  CREATE TABLE node_orders (id uuid PRIMARY KEY, intent_id text UNIQUE NOT NULL, total bigint NOT NULL,
    currency text NOT NULL, contact jsonb NOT NULL, shipping_address jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now());
  CREATE TABLE node_order_items (order_id uuid REFERENCES node_orders, position int, price_id text NOT NULL,
    name text NOT NULL, quantity int NOT NULL, unit_amount bigint NOT NULL, PRIMARY KEY (order_id, position))`;

const { databaseUrl, stripeApi, stripeKey, webhookSecret } = JSON.parse(process.env.NODE_SHOP_SETTINGS);
const api = new URL(stripeApi);
const stripe = new Stripe(stripeKey, { host: api.hostname, port: api.port, protocol: "http" });
const pool = new pg.Pool({ connectionString: databaseUrl, max: 10 });
const prices = new Map();
const rates = new Map();

async function readCatalogue() {
  for await (const price of stripe.prices.list({ active: true, expand: ["data.product"], limit: 100 })) {
    prices.set(price.id, price);
  }
  for await (const rate of stripe.shippingRates.list({ active: true, limit: 100 })) {
    rates.set(rate.id, rate);
  }
}

function priced(body) {
  const items = body.items.map(({ priceId, quantity }) => {
    const price = prices.get(priceId);
    if (!price || !Number.isInteger(quantity) || quantity < 1) throw new RangeError("not for sale");
    return { priceId, name: price.product.name, quantity, unitAmount: price.unit_amount, currency: price.currency };
  });
  const { amount } = rates.get(body.shippingOptionId).fixed_amount;
  const total = items.reduce((sum, item) => sum + item.quantity * item.unitAmount, amount);
  return { items, total, currency: items[0].currency, contact: body.contact, shippingAddress: body.shippingAddress };
}

async function initiate(request, response) {
  const context = priced(request.body);
  const id = randomUUID();
  const intent = await stripe.paymentIntents.create(
    {
      amount: context.total,
      currency: context.currency,
      automatic_payment_methods: { enabled: true },
      metadata: { checkoutAttemptId: id },
    },
    { idempotencyKey: request.get("Idempotency-Key") },
  );
  await pool.query("INSERT INTO node_checkouts (id, intent_id, context) VALUES ($1, $2, $3)", [id, intent.id, context]);
  response.json({ checkoutAttemptId: id, clientSecret: intent.client_secret });
}

async function inTransaction(work) {
  const client = await pool.connect();
  try {
    await client.query("BEGIN");
    await work(client);
    await client.query("COMMIT");
  } catch (error) {
    await client.query("ROLLBACK");
    throw error;
  } finally {
    client.release();
  }
}

async function placeOrder(client, intent) {
  const taken = await client.query("DELETE FROM node_checkouts WHERE id = $1 AND intent_id = $2 RETURNING context", [
    intent.metadata.checkoutAttemptId,
    intent.id,
  ]);
  if (!taken.rowCount) return; // a repeat
  const { items, total, currency, contact, shippingAddress } = taken.rows[0].context;
  if (intent.amount_received !== total || intent.currency !== currency) throw new Error("another amount was paid");
  const id = randomUUID();
  await client.query(
    `INSERT INTO node_orders (id, intent_id, total, currency, contact, shipping_address)
     VALUES ($1, $2, $3, $4, $5, $6)`,
    [id, intent.id, total, currency, contact, shippingAddress],
  );
  await client.query(
    `INSERT INTO node_order_items (order_id, position, price_id, name, quantity, unit_amount)
     SELECT $1, * FROM unnest($2::int[], $3::text[], $4::text[], $5::int[], $6::bigint[])`,
    [
      id,
      items.map((_, position) => position),
      items.map((item) => item.priceId),
      items.map((item) => item.name),
      items.map((item) => item.quantity),
      items.map((item) => item.unitAmount),
    ],
  );
}

async function webhook(request, response) {
  const event = stripe.webhooks.constructEvent(request.body, request.get("Stripe-Signature"), webhookSecret);
  if (event.type === "payment_intent.succeeded") {
    await inTransaction((client) => placeOrder(client, event.data.object));
  }
  response.json({ received: true });
}

const app = express();
app.disable("x-powered-by");
app.post("/api/stripe/initiate-checkout", express.json(), initiate);
app.post("/api/stripe/webhook", express.raw({ type: "application/json" }), webhook);

await pool.query(TABLES);
await readCatalogue();
const server = app.listen(0, "127.0.0.1", () => console.log(server.address().port));
