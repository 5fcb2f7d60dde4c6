// @ts-check
"use strict";

/** The wallets that the simulator offers, by Stripe's `expressPaymentType`. Both pay with a test Visa. */
const WALLETS = [
  { type: "google_pay", option: "googlePay", label: "Google Pay" },
  { type: "link", option: "link", label: "Link" },
];

const WALLET_CARD = { type: "card", card: { number: "4242424242424242", exp_month: 12, exp_year: 2034, cvc: "123" } };
const UNAVAILABLE = { amazonPay: false, applePay: false, googlePay: false, klarna: false, link: false, paypal: false };

/** The Express Checkout Element: a button for each wallet, where the intent takes cards. */
class ExpressCheckoutElement extends BaseElement {
  /**
   * @param {Elements} elements
   * @param {{[name: string]: any}} options
   */
  constructor(elements, options) {
    super("expressCheckout", elements, options);
    this.row = h("div", { class: "wallets" });
    this.root.append(this.row);
    this.#draw(this.#wanted());
  }

  /** @param {{[name: string]: any}} options */
  update(options) {
    super.update(options);
    if (this.row.childElementCount) this.#draw(this.#wanted());
    return this;
  }

  /** @param {Intent} intent */
  show(intent) {
    this.intent = intent;
    const wallets = intent.payment_method_types.includes("card") ? this.#wanted() : [];
    this.#draw(wallets);
    if (!wallets.length) return { availablePaymentMethods: undefined };
    const available = Object.fromEntries(wallets.map(({ option }) => [option, true]));
    return { availablePaymentMethods: { ...UNAVAILABLE, ...available } };
  }

  /** The Payment Element says what is wrong; a row of dead buttons would not help. */
  showError() {
    this.#draw([]);
  }

  #wanted() {
    const options = this.options.paymentMethods ?? {};
    return WALLETS.filter(({ option }) => options[option] !== "never");
  }

  /** @param {typeof WALLETS} wallets */
  #draw(wallets) {
    const columns = Math.min(this.options.layout?.maxColumns ?? 2, wallets.length) || 1;
    this.row.style.setProperty("--columns", String(columns));
    this.row.style.setProperty("--buttonHeight", `${this.options.buttonHeight ?? 44}px`);
    this.row.replaceChildren(
      ...wallets.map(({ type, label }) =>
        h(
          "button",
          { type: "button", class: type, "aria-label": `Pay with ${label}`, click: () => this.#clicked(type, label) },
          label,
        ),
      ),
    );
  }

  /**
   * The page answers the click, then the buyer answers the wallet, then the page confirms.
   * @param {string} type
   * @param {string} label
   */
  async #clicked(type, label) {
    if (!(await this.#pageAgrees(type))) return;
    const answer = await ask({
      source: `${label} (simulated)`,
      title: "Pay with Visa ending in 4242",
      amount: formatAmount(this.intent ?? {}),
      text: "Simulated Stripe: no real money.",
      choices: [
        { label: `Confirm with ${label}`, value: "pay", main: true },
        { label: "Cancel", value: "cancel" },
      ],
      appearance: this.elements.appearance,
    });
    if (answer !== "pay") {
      this.tell("cancel");
      return;
    }
    this.elements.useWallet(WALLET_CARD);
    const paymentFailed = () => this.elements.useWallet(null);
    this.tell("confirm", { expressPaymentType: type, paymentFailed });
  }

  /**
   * @param {string} type
   * @returns {Promise<boolean>}
   */
  #pageAgrees(type) {
    return new Promise((resolve) => {
      const event = { expressPaymentType: type, resolve: () => resolve(true), reject: () => resolve(false) };
      if (!this.tell("click", event)) resolve(true);
    });
  }
}
