// @ts-check
"use strict";

/** Base of all elements: a place in the page, events, and an end. */
class BaseElement extends Emitter {
  /** @type {HTMLElement | null} */
  #host = null;
  #destroyed = false;

  /**
   * @param {string} type
   * @param {Elements} elements
   * @param {{[name: string]: any}} options
   */
  constructor(type, elements, options) {
    super();
    this.type = type;
    this.elements = elements;
    this.options = options;
    this.root = h("div", { class: "root loading" });
    this.root.addEventListener("focusin", (event) => this.#moved("focus", event));
    this.root.addEventListener("focusout", (event) => this.#moved("blur", event));
    this.root.addEventListener("keydown", (event) => this.#pressed(event));
    this.applyAppearance();
  }

  /** @param {string | HTMLElement} target */
  mount(target) {
    if (this.#destroyed) throw new IntegrationError("This Element has already been destroyed. Please create a new one.");
    const container = typeof target === "string" ? document.querySelector(target) : target;
    if (!container) throw new IntegrationError(`The selector you specified (${target}) applies to no DOM elements.`);
    this.unmount();
    this.#host = h("div", { "data-simulated-stripe": this.type });
    openShadow(this.#host, this.root);
    container.append(this.#host);
    void this.#load();
  }

  unmount() {
    this.#host?.remove();
    this.#host = null;
  }

  destroy() {
    if (this.#destroyed) throw new IntegrationError("This Element has already been destroyed.");
    this.unmount();
    this.#destroyed = true;
    this.elements.forget(this);
  }

  /** @param {{[name: string]: any}} options */
  update(options) {
    this.options = { ...this.options, ...options };
    return this;
  }

  focus() {
    /** @type {HTMLElement | null} */ (this.root.querySelector("input:checked, input, button"))?.focus();
  }

  blur() {
    /** @type {HTMLElement | null} */ (this.root.querySelector(":focus"))?.blur();
  }

  clear() {}

  applyAppearance() {
    applyAppearance(this.root, this.elements.appearance);
  }

  /**
   * Tell listeners, with the element's type as Stripe does.
   * @param {string} type
   * @param {object} [event]
   */
  tell(type, event = {}) {
    return this.emit(type, { elementType: this.type, ...event });
  }

  /**
   * Show what the intent offers. Each kind of element has its own.
   * @param {Intent} _intent
   * @returns {object} the fields of the `ready` event
   */
  show(_intent) {
    return {};
  }

  /** @param {StripeError} _error */
  showError(_error) {}

  async #load() {
    const host = this.#host;
    await nextTask(); // a page attaches its listeners after mounting
    this.tell("loaderstart");
    const { intent, error } = await this.elements.load();
    if (this.#host !== host) return; // unmounted or mounted elsewhere meanwhile
    this.root.classList.remove("loading");
    if (error) {
      this.showError(error);
      this.tell("loaderror", { error });
      return;
    }
    const ready = this.show(intent);
    this.tell("ready", ready);
    this.afterReady();
  }

  afterReady() {}

  /**
   * @param {"focus" | "blur"} type
   * @param {FocusEvent} event
   */
  #moved(type, event) {
    const within = event.relatedTarget instanceof Node && this.root.contains(event.relatedTarget);
    if (!within) this.tell(type);
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    if (event.key === "Escape") this.tell("escape");
    // A field in a shadow root does not belong to the page's form, which Stripe.js submits on Enter.
    if (event.key === "Enter" && event.target instanceof HTMLInputElement) submitForm(this.#host?.closest("form"));
  }
}

/**
 * Submit a form as Enter in one of its own fields would: not while its button is disabled.
 * @param {HTMLFormElement | null | undefined} form
 */
function submitForm(form) {
  const button = form?.querySelector("button:not([type=button], [type=reset]), input[type=submit]");
  if (button instanceof HTMLElement) button.click();
  else form?.requestSubmit();
}
