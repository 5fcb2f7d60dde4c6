// A shop's page in plain JavaScript. The query has the client secret, `redirect` and `express`.
const query = new URLSearchParams(location.search);
const clientSecret = query.get("secret");
const output = document.querySelector("output");
window.events = [];
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => window.violations.push(event.violatedDirective));

window.stripe = window.Stripe("pk_test_simulator");
const elements = window.stripe.elements({ clientSecret });
window.elements = elements;

async function confirm() {
  const { stripe } = window;
  const confirmParams = { return_url: `${location.origin}/return?checkout=1` };
  const options = { elements, confirmParams, redirect: query.get("redirect") ?? "if_required" };
  const answer = await (clientSecret.startsWith("seti_") ? stripe.confirmSetup(options) : stripe.confirmPayment(options));
  window.answer = answer;
  const { error } = answer;
  output.textContent = error?.decline_code ?? error?.code ?? error?.type ?? (answer.paymentIntent ?? answer.setupIntent).status;
}

function listen(name, element, types) {
  for (const type of types) element.on(type, (event) => window.events.push([name, type, event]));
}

document.querySelector("form").addEventListener("submit", (event) => {
  event.preventDefault();
  confirm();
});

const payment = elements.create("payment");
listen("payment", payment, ["ready", "change", "focus", "blur", "loaderror"]);
payment.mount("#payment");
if (query.has("express")) {
  const express = elements.create("expressCheckout");
  listen("express", express, ["ready", "cancel", "confirm"]);
  express.on("click", (event) => event.resolve());
  express.on("confirm", confirm);
  express.mount("#express");
}
