// @ts-check
"use strict";

/** @typedef {{[field: string]: any}} Intent */
/** @typedef {{intent: Intent, error?: undefined} | {error: StripeError, intent?: undefined}} IntentAnswer */

/** The two kinds of intent, with the names that Stripe gives them. */
const PAYMENT = { object: "payment_intent", prefix: "pi_", path: "payment_intents", result: "paymentIntent" };
const SETUP = { object: "setup_intent", prefix: "seti_", path: "setup_intents", result: "setupIntent" };

/** @typedef {typeof PAYMENT} Kind */

const CLIENT_SECRET = /^((?:pi|seti)_[^_]+)_secret_.+$/;

/**
 * Take an intent's client secret apart. The secret stays out of the error.
 * @param {unknown} clientSecret
 * @param {string} caller
 * @returns {{kind: Kind, id: string, secret: string}}
 */
function parseClientSecret(clientSecret, caller) {
  const match = typeof clientSecret === "string" ? CLIENT_SECRET.exec(clientSecret) : null;
  if (!match || typeof clientSecret !== "string") {
    throw new IntegrationError(
      `Invalid value for ${caller}: clientSecret should be a client secret of the form ` + "${id}_secret_${secret}.",
    );
  }
  return { kind: match[1].startsWith("pi_") ? PAYMENT : SETUP, id: match[1], secret: clientSecret };
}

/**
 * Encode nested parameters as Stripe's forms do: `a[b]=1`.
 * @param {object} params
 * @param {string} prefix
 * @param {URLSearchParams} form
 */
function encodeForm(params, prefix = "", form = new URLSearchParams()) {
  for (const [name, value] of Object.entries(params)) {
    const key = prefix ? `${prefix}[${name}]` : name;
    if (value !== null && typeof value === "object") encodeForm(value, key, form);
    else if (value !== undefined && value !== null) form.append(key, String(value));
  }
  return form;
}

/** Client of the simulated API. It sends forms with the publishable key, which need no CORS preflight. */
class ApiClient {
  /**
   * @param {string} origin
   * @param {string} key
   */
  constructor(origin, key) {
    this.origin = origin;
    this.key = key;
  }

  /**
   * @param {string} clientSecret
   * @returns {Promise<IntentAnswer>}
   */
  retrieve(clientSecret) {
    const { kind, id } = parseClientSecret(clientSecret, "retrieve()");
    const query = encodeForm({ client_secret: clientSecret, key: this.key });
    return this.#request(`${this.origin}/v1/${kind.path}/${id}?${query}`);
  }

  /**
   * @param {string} clientSecret
   * @param {object} params
   * @returns {Promise<IntentAnswer>}
   */
  confirm(clientSecret, params) {
    const { kind, id } = parseClientSecret(clientSecret, "confirm()");
    const body = encodeForm({ ...params, client_secret: clientSecret, key: this.key, use_stripe_sdk: true });
    return this.#request(`${this.origin}/v1/${kind.path}/${id}/confirm`, { method: "POST", body });
  }

  /**
   * Tell the simulated bank how the buyer answered its question. Whether it heard it shows in the intent.
   * @param {string} url
   * @param {boolean} passed
   */
  async answerChallenge(url, passed) {
    await fetch(url, { method: "POST", body: encodeForm({ outcome: passed ? "pass" : "fail" }) }).catch(() => null);
  }

  /**
   * @param {string} url
   * @param {RequestInit} [init]
   * @returns {Promise<IntentAnswer>}
   */
  async #request(url, init) {
    let body;
    try {
      const response = await fetch(url, init);
      body = await response.json();
    } catch {
      return { error: connectionError() };
    }
    return body.error ? { error: body.error } : { intent: body };
  }
}
