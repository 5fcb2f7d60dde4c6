// @ts-check
"use strict";

/** The Payment Element: one tab for each payment method of the intent, and the form of the chosen one. */
class PaymentElement extends BaseElement {
  /**
   * @param {Elements} elements
   * @param {{[name: string]: any}} options
   */
  constructor(elements, options) {
    super("payment", elements, options);
    /** @type {Map<string, MethodForm>} */
    this.forms = new Map();
    this.chosen = "card";
    this.tabs = h("fieldset", { class: "tabs" });
    this.panel = h("div", { class: "panel" });
    this.note = h("div", { class: "note" });
    this.root.append(this.tabs, this.panel, this.note);
    // Until the intent is loaded, the card's form takes its room behind the placeholder.
    this.#offer(["card"]);
  }

  get form() {
    return /** @type {MethodForm} */ (this.forms.get(this.chosen));
  }

  clear() {
    this.form.clear();
  }

  /** @param {{[name: string]: any}} options */
  update(options) {
    super.update(options);
    if (options.paymentMethodOrder) this.#offer([...this.forms.keys()]);
    return this;
  }

  /** Stripe's layouts with collapsed methods are not modelled. */
  collapse() {
    return this;
  }

  /**
   * @param {Intent} intent
   * @returns {object}
   */
  show(intent) {
    this.root.replaceChildren(this.tabs, this.panel, this.note); // after an earlier error, too
    this.#offer(intent.payment_method_types.filter((/** @type {string} */ type) => Object.hasOwn(METHODS, type)));
    return {};
  }

  afterReady() {
    this.#tellChange();
  }

  /** @param {StripeError} error */
  showError(error) {
    this.root.replaceChildren(h("p", { class: "alert", role: "alert" }, error.message));
  }

  /** @param {string[]} types */
  #offer(types) {
    const order = this.options.paymentMethodOrder ?? [];
    const place = (/** @type {string} */ type) => (order.includes(type) ? order.indexOf(type) : order.length);
    const sorted = [...types].sort((one, other) => place(one) - place(other));
    this.forms = new Map(sorted.map((type) => [type, this.forms.get(type) ?? this.#newForm(type)]));
    if (!this.forms.has(this.chosen)) this.chosen = sorted[0];
    const group = uniqueId("method");
    const legend = h("legend", { class: "unseen" }, "Payment method");
    this.tabs.replaceChildren(legend, ...sorted.map((type) => this.#tab(type, group)));
    this.#showForm();
  }

  #showForm() {
    this.panel.replaceChildren(this.form.element);
    this.note.replaceChildren(h("p", {}, ICONS.flask(), "Simulated Stripe: no real money"), this.form.fills);
  }

  /** @param {string} type */
  #newForm(type) {
    return new MethodForm(type, () => this.#tellChange());
  }

  /**
   * @param {string} type
   * @param {string} group
   */
  #tab(type, group) {
    const { label, icon } = METHODS[type];
    const choose = () => this.#choose(type);
    const radio = h("input", { type: "radio", name: group, value: type, checked: type === this.chosen, change: choose });
    return h("label", { class: "tab" }, radio, icon(), label);
  }

  /** @param {string} type */
  #choose(type) {
    this.chosen = type;
    this.#showForm();
    this.#tellChange();
  }

  #tellChange() {
    const { complete, empty } = this.form;
    this.tell("change", { complete, empty, collapsed: false, value: { type: this.chosen } });
  }
}
