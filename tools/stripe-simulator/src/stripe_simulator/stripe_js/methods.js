// @ts-check
"use strict";

/** @typedef {{[name: string]: string}} Values */
/**
 * Definition of a payment method: the fields that the form has, and the data that it sends.
 * @typedef {object} Method
 * @property {string} label
 * @property {() => SVGSVGElement} icon
 * @property {string} [text] shown below the fields, or in place of them
 * @property {FieldOptions[]} fields
 * @property {string} [fillsLabel]
 * @property {{label: string, values: Values}[]} [fills] test values that a button fills in
 * @property {(values: Values) => object} data the fields of `payment_method_data`
 */

/**
 * @param {string} code
 * @param {string} what
 * @returns {(value: string) => StripeError | null}
 */
const required = (code, what) => (value) => (value ? null : validationError(code, `Your ${what} is incomplete.`));

/** @type {FieldOptions} */
const HOLDER = {
  name: "name",
  label: "Full name",
  value: "Jenny Rosen",
  placeholder: "First and last name",
  wide: true,
  autocomplete: "name",
  inputmode: "text",
  check: required("incomplete_name", "name"),
};

/** @type {Method} */
const CARD = {
  label: "Card",
  icon: ICONS.card,
  fields: [
    {
      name: "number",
      label: "Card number",
      value: TEST_CARDS[0].values.number,
      placeholder: "1234 1234 1234 1234",
      wide: true,
      autocomplete: "cc-number",
      format: formatNumber,
      check: checkNumber,
    },
    {
      name: "expiry",
      label: "Expiration date",
      value: futureExpiry(),
      placeholder: "MM / YY",
      autocomplete: "cc-exp",
      format: formatExpiry,
      check: checkExpiry,
    },
    {
      name: "cvc",
      label: "Security code",
      value: "123",
      placeholder: "CVC",
      autocomplete: "cc-csc",
      format: (value) => digitsOf(value).slice(0, 4),
      check: (value) =>
        value.length < 3 ? validationError("incomplete_cvc", "Your card's security code is incomplete.") : null,
    },
  ],
  fillsLabel: "Test cards",
  fills: TEST_CARDS,
  data({ number, expiry, cvc }) {
    const { month, year } = readExpiry(expiry);
    return { type: "card", card: { number: digitsOf(number), exp_month: month, exp_year: year, cvc } };
  },
};

/** @type {Method} */
const US_BANK_ACCOUNT = {
  label: "US bank account",
  icon: ICONS.bank,
  text: "The bank takes days to confirm the debit. By paying you authorize it.",
  fields: [
    HOLDER,
    {
      name: "routing",
      label: "Routing number",
      value: "110000000",
      placeholder: "9 digits",
      check: (value) =>
        /^\d{9}$/.test(value)
          ? null
          : validationError("incomplete_routing_number", "Your bank's routing number is incomplete."),
    },
    {
      name: "account",
      label: "Account number",
      value: "000123456789",
      placeholder: "000123456789",
      check: required("incomplete_account_number", "bank account number"),
    },
  ],
  fillsLabel: "Test accounts",
  fills: [
    { label: "Success", values: { account: "000123456789" } },
    { label: "Account closed", values: { account: "000111111113" } },
    { label: "Insufficient funds", values: { account: "000222222227" } },
  ],
  data: ({ name, routing, account }) => ({
    type: "us_bank_account",
    us_bank_account: { account_holder_type: "individual", routing_number: routing, account_number: account },
    billing_details: { name },
  }),
};

/** @type {Method} */
const SEPA_DEBIT = {
  label: "SEPA debit",
  icon: ICONS.bank,
  text: "The bank takes days to confirm the debit. By paying you authorize it.",
  fields: [
    HOLDER,
    {
      name: "iban",
      label: "IBAN",
      value: "DE89 3704 0044 0532 0130 00",
      placeholder: "DE00 0000 0000 0000 0000 00",
      wide: true,
      inputmode: "text",
      check: (value) =>
        value.replace(/\s/g, "").length < 15 ? validationError("incomplete_iban", "Your IBAN is incomplete.") : null,
    },
  ],
  fillsLabel: "Test accounts",
  fills: [
    { label: "Success", values: { iban: "DE89 3704 0044 0532 0130 00" } },
    { label: "Debit fails", values: { iban: "DE62 3704 0044 0532 0130 01" } },
  ],
  data: ({ name, iban }) => ({ type: "sepa_debit", sepa_debit: { iban }, billing_details: { name } }),
};

/**
 * @param {string} type
 * @param {string} label
 * @returns {Method}
 */
const redirecting = (type, label) => ({
  label,
  icon: ICONS.redirect,
  text: `You will be redirected to a simulated ${label} page, where you approve or refuse.`,
  fields: [],
  data: () => ({ type }),
});

/** The payment methods that the simulator can offer, by Stripe's type. @type {{[type: string]: Method}} */
const METHODS = {
  card: CARD,
  us_bank_account: US_BANK_ACCOUNT,
  sepa_debit: SEPA_DEBIT,
  ideal: redirecting("ideal", "iDEAL"),
  amazon_pay: redirecting("amazon_pay", "Amazon Pay"),
};

/** The form of one payment method. */
class MethodForm {
  /**
   * @param {string} type
   * @param {() => void} onChange
   */
  constructor(type, onChange) {
    this.type = type;
    this.method = METHODS[type];
    this.onChange = onChange;
    this.fields = this.method.fields.map((options) => new Field(options, () => this.#changed()));
    this.element = this.#content();
    this.fills = this.#buttons();
    this.#showBrand();
  }

  get values() {
    return Object.fromEntries(this.fields.map((field) => [field.options.name, field.value]));
  }

  get complete() {
    return this.fields.every((field) => field.options.check(field.value) === null);
  }

  get empty() {
    return this.fields.length > 0 && this.fields.every((field) => field.value === "");
  }

  /** Show all errors and return the first, whose field gets the focus. */
  validate() {
    const errors = this.fields.map((field) => field.validate());
    const first = errors.findIndex((error) => error !== null);
    this.fields[first]?.input.focus();
    return errors[first] ?? null;
  }

  data() {
    return this.method.data(this.values);
  }

  /** @param {Values} values */
  fill(values) {
    for (const field of this.fields) {
      const value = values[field.options.name] ?? field.options.value;
      field.set(value);
    }
    this.#changed();
  }

  clear() {
    this.fill(Object.fromEntries(this.fields.map((field) => [field.options.name, ""])));
  }

  #content() {
    const { icon: draw, text, fields } = this.method;
    const words = text ? h("p", { class: "text wide" }, text) : null;
    if (!fields.length) return h("div", { class: "redirect" }, draw(), words);
    return h("div", { class: "fields" }, ...this.fields.map((field) => field.element), words);
  }

  #buttons() {
    const { fillsLabel = "", fills = [] } = this.method;
    const buttons = fills.map(({ label, values }) => {
      const digits = h("span", { class: "digits" }, digitsOf(Object.values(values)[0]).slice(-4));
      return h("button", { type: "button", click: () => this.fill(values) }, `${label} `, digits);
    });
    return h("div", { class: "fills", role: "group", "aria-label": fillsLabel, hidden: !fills.length }, ...buttons);
  }

  #changed() {
    this.#showBrand();
    this.onChange();
  }

  #showBrand() {
    if (this.type === "card") this.fields[0].setMark(brandOf(this.fields[0].value).name);
  }
}
