// @ts-check
"use strict";

const ELEMENT_CLASSES = { payment: PaymentElement, expressCheckout: ExpressCheckoutElement };
const TERMINAL = ["succeeded", "canceled", "processing", "requires_capture"];

/** The elements of one intent, and what they know about it. */
class Elements extends Emitter {
  /** @type {Map<string, BaseElement>} */
  #created = new Map();
  /** @type {Promise<IntentAnswer> | null} */
  #loading = null;
  /** @type {object | null} */
  #wallet = null;

  /**
   * @param {ApiClient} api
   * @param {{[name: string]: any}} options
   */
  constructor(api, options) {
    super();
    if (options.mode) throw notModelled("Elements that are created before the intent");
    if (options.clientSecret !== undefined) parseClientSecret(options.clientSecret, "elements()");
    this.api = api;
    this.clientSecret = options.clientSecret;
    this.appearance = options.appearance ?? {};
  }

  /**
   * @param {string} type
   * @param {{[name: string]: any}} [options]
   */
  create(type, options = {}) {
    if (!Object.hasOwn(ELEMENT_CLASSES, type)) throw notModelled(`the Element '${type}'`);
    if (!this.clientSecret) {
      throw new IntegrationError(`In order to create the Element '${type}', you must pass a clientSecret to elements().`);
    }
    if (this.#created.has(type)) throw new IntegrationError(`Can only create one Element of type ${type}.`);
    const element = new ELEMENT_CLASSES[/** @type {keyof typeof ELEMENT_CLASSES} */ (type)](this, options);
    this.#created.set(type, element);
    return element;
  }

  /** @param {string} type */
  getElement(type) {
    return this.#created.get(type) ?? null;
  }

  /** @param {{[name: string]: any}} options */
  async update(options) {
    if (options.appearance) {
      this.appearance = options.appearance;
      for (const element of this.#created.values()) element.applyAppearance();
    }
    this.emit("update-end");
  }

  async fetchUpdates() {
    this.#loading = null;
    const { error } = await this.load();
    return error ? { error: { message: error.message } } : {};
  }

  /** Check what the buyer entered. */
  async submit() {
    const element = this.getElement("payment");
    if (this.#wallet || !(element instanceof PaymentElement)) return { selectedPaymentMethod: "card" };
    const error = element.form.validate();
    return error ? { error } : { selectedPaymentMethod: element.chosen };
  }

  /** @returns {object | undefined} the payment method that the buyer chose and entered */
  paymentMethodData() {
    const element = this.getElement("payment");
    return this.#wallet ?? (element instanceof PaymentElement ? element.form.data() : undefined);
  }

  /** @param {object | null} card */
  useWallet(card) {
    this.#wallet = card;
  }

  /**
   * Retrieve the intent, once for all elements. A failure is not kept.
   * @returns {Promise<IntentAnswer>}
   */
  load() {
    this.#loading ??= this.api.retrieve(this.clientSecret).then((answer) => {
      if (answer.error) this.#loading = null;
      return refuseTerminal(answer);
    });
    return this.#loading;
  }

  /** @param {BaseElement} element */
  forget(element) {
    this.#created.delete(element.type);
  }
}

/**
 * @param {IntentAnswer} answer
 * @returns {IntentAnswer}
 */
function refuseTerminal(answer) {
  const { intent } = answer;
  if (!intent || !TERMINAL.includes(intent.status)) return answer;
  const name = intent.object === PAYMENT.object ? "PaymentIntent" : "SetupIntent";
  const message = `This ${name} is in a terminal state and cannot be used to initialize Elements.`;
  const code = `${intent.object}_unexpected_state`;
  return { error: { type: "invalid_request_error", code, message, [intent.object]: intent } };
}
