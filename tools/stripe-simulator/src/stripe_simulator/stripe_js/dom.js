// @ts-check
"use strict";

/**
 * Create an element. Functions are listeners; `true` and `false` add and leave out an attribute.
 * There is no innerHTML and no style attribute, so that the strictest CSP has nothing to refuse.
 * @param {string} tag
 * @param {{[name: string]: any}} [attributes]
 * @param {...(Node | string | null)} children
 * @returns {HTMLElement}
 */
function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) setAttribute(element, name, value);
  element.append(...children.filter((child) => child !== null));
  return element;
}

/**
 * @param {Element} element
 * @param {string} name
 * @param {any} value
 */
function setAttribute(element, name, value) {
  if (typeof value === "function") element.addEventListener(name, value);
  else if (value === true) element.setAttribute(name, "");
  else if (value !== false && value !== undefined) element.setAttribute(name, String(value));
}

/**
 * Draw an icon of strokes on a grid of 24 by 24, hidden from screen readers.
 * @param {...string} paths
 * @returns {SVGSVGElement}
 */
function icon(...paths) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const look = { viewBox: "0 0 24 24", fill: "none", stroke: "currentColor", "stroke-width": 1.75, "aria-hidden": "true" };
  for (const [name, value] of Object.entries(look)) svg.setAttribute(name, String(value));
  for (const d of paths) {
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", d);
    svg.append(path);
  }
  return svg;
}

const ICONS = {
  card: () => icon("M3 6.5h18v11H3z", "M3 10h18", "M6.5 14.5h4"),
  bank: () => icon("M3.5 10 12 4.5 20.5 10z", "M6 10v7", "M10 10v7", "M14 10v7", "M18 10v7", "M4 19.5h16"),
  redirect: () => icon("M4 5.5h16v13H4z", "M4 9h16", "M10 14h5", "m13 11.5 2.5 2.5-2.5 2.5"),
  shield: () => icon("M12 3.5 19 6v5.5c0 4-2.8 7.3-7 9-4.2-1.7-7-5-7-9V6z", "m9 12 2.2 2.2L15.5 10"),
  flask: () => icon("M9.5 3.5h5", "M10.5 3.5v6L5 18.5c-.5 1 .2 2 1.3 2h11.4c1.1 0 1.8-1 1.3-2l-5.5-9v-6", "M7.5 15h9"),
};

let lastId = 0;
/** @param {string} name */
const uniqueId = (name) => `sim-${name}-${++lastId}`;

/** Wait until the page has drawn what changed, or until a hidden page would have. */
const nextTask = () => new Promise((resolve) => setTimeout(resolve, 0));

/** Listeners by type of event. */
class Emitter {
  /** @type {Map<string, Set<(event: any) => unknown>>} */
  #listeners = new Map();

  /**
   * @param {string} type
   * @param {(event: any) => unknown} listener
   */
  on(type, listener) {
    if (typeof listener !== "function") {
      throw new IntegrationError(`Invalid value for on(): the handler of '${type}' should be a function.`);
    }
    this.#of(type).add(listener);
    return this;
  }

  /**
   * @param {string} type
   * @param {(event: any) => unknown} listener
   */
  once(type, listener) {
    const wrapped = (/** @type {any} */ event) => {
      this.off(type, wrapped);
      listener(event);
    };
    return this.on(type, wrapped);
  }

  /**
   * @param {string} type
   * @param {(event: any) => unknown} [listener]
   */
  off(type, listener) {
    if (listener) this.#of(type).delete(listener);
    else this.#listeners.delete(type);
    return this;
  }

  /**
   * @param {string} type
   * @param {any} [event]
   * @returns {boolean} true if anybody listened
   */
  emit(type, event) {
    const listeners = [...this.#of(type)];
    for (const listener of listeners) listener(event);
    return listeners.length > 0;
  }

  /** @param {string} type */
  #of(type) {
    const found = this.#listeners.get(type) ?? new Set();
    this.#listeners.set(type, found);
    return found;
  }
}
