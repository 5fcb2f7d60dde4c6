// @ts-check
"use strict";

const { origin: API_ORIGIN } = new URL(/** @type {HTMLScriptElement} */ (document.currentScript).src);

/** The object that `Stripe(key)` returns. Methods of Stripe's that are missing here are refused by name, and not silently. */
class StripeClient {
  #api;

  /** @param {string} key */
  constructor(key) {
    this.#api = new ApiClient(API_ORIGIN, key);
  }

  /** @param {{[name: string]: any}} [options] */
  elements(options = {}) {
    return new Elements(this.#api, options);
  }

  /** @param {{[name: string]: any}} options */
  confirmPayment(options) {
    return confirmIntent(this.#api, PAYMENT, "stripe.confirmPayment()", options);
  }

  /** @param {{[name: string]: any}} options */
  confirmSetup(options) {
    return confirmIntent(this.#api, SETUP, "stripe.confirmSetup()", options);
  }

  /** @param {string} clientSecret */
  retrievePaymentIntent(clientSecret) {
    return this.#retrieve(PAYMENT, "stripe.retrievePaymentIntent()", clientSecret);
  }

  /** @param {string} clientSecret */
  retrieveSetupIntent(clientSecret) {
    return this.#retrieve(SETUP, "stripe.retrieveSetupIntent()", clientSecret);
  }

  /** @param {{clientSecret: string}} options */
  async handleNextAction({ clientSecret }) {
    const { kind } = parseClientSecret(clientSecret, "stripe.handleNextAction()");
    const answer = await this.#api.retrieve(clientSecret);
    if (answer.intent && answer.intent.status !== "requires_action") {
      throw new IntegrationError("handleNextAction: The intent supplied is not in the requires_action state.");
    }
    return toResult(kind, await handleAction(this.#api, kind, answer, {}));
  }

  async createToken() {
    throw notModelled("createToken()");
  }

  async createPaymentMethod() {
    throw notModelled("createPaymentMethod()");
  }

  async createConfirmationToken() {
    throw notModelled("createConfirmationToken()");
  }

  async confirmCardPayment() {
    throw notModelled("confirmCardPayment()");
  }

  async confirmCardSetup() {
    throw notModelled("confirmCardSetup()");
  }

  async handleCardAction() {
    throw notModelled("handleCardAction()");
  }

  paymentRequest() {
    throw notModelled("paymentRequest()");
  }

  /** The wrappers tell their names, for Stripe's statistics. */
  _registerWrapper() {}

  registerAppInfo() {}

  /**
   * @param {Kind} kind
   * @param {string} caller
   * @param {string} clientSecret
   */
  async #retrieve(kind, caller, clientSecret) {
    if (parseClientSecret(clientSecret, caller).kind !== kind) {
      throw new IntegrationError(`Invalid value for ${caller}: clientSecret should be the one of a ${kind.object}.`);
    }
    return toResult(kind, await this.#api.retrieve(clientSecret));
  }
}

/**
 * @param {unknown} key
 * @returns {StripeClient}
 */
function Stripe(key) {
  if (typeof key !== "string" || !key) {
    throw new IntegrationError("Missing value for Stripe(): apiKey should be a string.");
  }
  if (key.startsWith("sk_")) {
    throw new IntegrationError("You should not use your secret key with Stripe.js. Please pass a publishable key instead.");
  }
  return new StripeClient(key);
}

/** The release train that the wrappers of these versions expect. */
Stripe.version = "endive";

Object.assign(window, { Stripe });
