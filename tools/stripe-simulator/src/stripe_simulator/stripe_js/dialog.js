// @ts-check
"use strict";

/** @typedef {{label: string, value: string, main?: boolean}} Choice */

/**
 * Ask the buyer in a modal dialog. The browser keeps the focus inside and makes the page inert; the focus returns to
 * where it was.
 * @param {{source: string, title: string, amount?: string, text: string, choices: Choice[], appearance: Appearance}} question
 * @returns {Promise<string>} the chosen value, or `close` after Escape
 */
function ask(question) {
  const title = h("h2", { id: uniqueId("title"), tabindex: "-1" }, question.title);
  const text = h("p", { id: uniqueId("text"), class: "text" }, question.text);
  const dialog = /** @type {HTMLDialogElement} */ (
    h("dialog", { "aria-labelledby": title.id, "aria-describedby": text.id })
  );
  const buttons = question.choices.map((choice) =>
    h("button", { type: "button", class: choice.main ? "main" : "", click: () => dialog.close(choice.value) }, choice.label),
  );
  const amount = question.amount ? h("p", { class: "amount" }, question.amount) : null;
  const source = h("div", { class: "source" }, ICONS.shield(), question.source);
  dialog.append(h("div", { class: "sheet" }, source, title, amount, text, h("div", { class: "buttons" }, ...buttons)));

  const host = h("div", { "data-simulated-stripe": "dialog" });
  const root = h("div", { class: "root" }, dialog);
  applyAppearance(root, question.appearance);
  openShadow(host, root);
  document.body.append(host);
  dialog.showModal();
  title.focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      host.remove();
      resolve(dialog.returnValue || "close");
    });
  });
}

/**
 * @param {Intent} intent
 * @returns {string | undefined} the amount with its currency, if the intent takes any
 */
function formatAmount(intent) {
  if (typeof intent.amount !== "number") return undefined;
  const format = new Intl.NumberFormat(undefined, { style: "currency", currency: intent.currency });
  return format.format(intent.amount / 10 ** (format.resolvedOptions().maximumFractionDigits ?? 2));
}
