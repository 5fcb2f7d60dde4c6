// @ts-check
"use strict";

/**
 * A labelled text field with its error beside it.
 * @typedef {object} FieldOptions
 * @property {string} name
 * @property {string} label
 * @property {string} value what it begins with, so that a demo needs no typing
 * @property {string} placeholder
 * @property {boolean} [wide]
 * @property {string} [autocomplete]
 * @property {string} [inputmode]
 * @property {(value: string) => string} [format]
 * @property {(value: string) => StripeError | null} check
 */

class Field {
  /**
   * @param {FieldOptions} options
   * @param {() => void} onChange
   */
  constructor(options, onChange) {
    this.options = options;
    this.onChange = onChange;
    const id = uniqueId(options.name);
    this.input = /** @type {HTMLInputElement} */ (
      h("input", {
        id,
        name: options.name,
        type: "text",
        placeholder: options.placeholder,
        autocomplete: options.autocomplete ?? "off",
        inputmode: options.inputmode ?? "numeric",
        spellcheck: "false",
        "aria-required": "true",
        "aria-invalid": "false",
        "aria-describedby": `${id}-error`,
        input: () => this.#typed(),
        blur: (/** @type {FocusEvent} */ event) => this.#left(event),
      })
    );
    this.input.value = options.value;
    this.alert = h("p", { id: `${id}-error`, class: "alert", role: "alert" });
    this.mark = h("span", { class: "mark", "aria-hidden": "true" });
    this.box = h("div", { class: "box" }, this.input);
    const label = h("label", { for: id }, options.label);
    this.element = h("div", { class: options.wide ? "field wide" : "field" }, label, this.box, this.alert);
  }

  get value() {
    return this.input.value.trim();
  }

  /** @param {string} value */
  set(value) {
    this.input.value = value;
    this.#show(null);
  }

  /** @param {string} text */
  setMark(text) {
    this.mark.textContent = text;
    this.box.classList.add("marked");
    this.box.append(this.mark);
  }

  /** Show the error, if any, and return it. */
  validate() {
    const error = this.options.check(this.value);
    this.#show(error);
    return error;
  }

  /**
   * Show the error to a buyer who goes on to another field. Not on the way to a button: the error would move that away
   * under the pointer, and the click would be lost.
   * @param {FocusEvent} event
   */
  #left(event) {
    if (this.value && event.relatedTarget instanceof HTMLInputElement) this.validate();
  }

  #typed() {
    const { format } = this.options;
    // Formatting while the caret is inside the text would move it.
    if (format && this.input.selectionStart === this.input.value.length) this.input.value = format(this.input.value);
    if (this.alert.textContent) this.validate();
    this.onChange();
  }

  /** @param {StripeError | null} error */
  #show(error) {
    this.input.setAttribute("aria-invalid", String(error !== null));
    this.alert.textContent = error?.message ?? "";
  }
}
