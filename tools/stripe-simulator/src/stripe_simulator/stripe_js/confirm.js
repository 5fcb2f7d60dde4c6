// @ts-check
"use strict";

const AUTHENTICATION_FAILED =
  "We are unable to authenticate your payment method. Please choose a different payment method and try again.";

/** A promise that is never settled, because the page is being left. @type {Promise<never>} */
const LEAVING = new Promise(() => {});

/**
 * Confirm an intent as `confirmPayment` and `confirmSetup` do.
 * @param {ApiClient} api
 * @param {Kind} kind
 * @param {string} caller
 * @param {{[name: string]: any}} options
 */
async function confirmIntent(api, kind, caller, options) {
  const { elements, clientSecret, confirmParams = {}, redirect = "always" } = checkOptions(kind, caller, options);
  let data = confirmParams.payment_method_data;
  if (elements) {
    const { error } = await elements.submit();
    if (error) return { error };
    data = merge(data, elements.paymentMethodData());
  }
  const { payment_method_data: _, expand: __, ...params } = confirmParams;
  const answer = await api.confirm(clientSecret, {
    ...params,
    return_url: params.return_url ?? window.location.href,
    ...(params.payment_method ? {} : { payment_method_data: data }),
  });
  elements?.useWallet(null);
  const done = await handleAction(api, kind, answer, elements?.appearance ?? {});
  if (done.intent && redirect === "always") return leave(returnAddress(kind, params.return_url, done.intent));
  return toResult(kind, done);
}

/**
 * @param {Kind} kind
 * @param {string} caller
 * @param {{[name: string]: any}} options
 * @returns {{elements?: Elements, clientSecret: string, confirmParams?: {[name: string]: any}, redirect?: string}}
 */
function checkOptions(kind, caller, options) {
  if (options === null || typeof options !== "object") {
    throw new IntegrationError(`Missing argument for ${caller}: you must pass an object.`);
  }
  const { elements, confirmParams, redirect } = options;
  if (elements !== undefined && !(elements instanceof Elements)) {
    throw new IntegrationError(`Invalid value for ${caller}: elements should be what stripe.elements() returned.`);
  }
  const clientSecret = options.clientSecret ?? elements?.clientSecret;
  if (parseClientSecret(clientSecret, caller).kind !== kind) {
    throw new IntegrationError(`Invalid value for ${caller}: clientSecret should be the one of a ${kind.object}.`);
  }
  if (redirect !== undefined && redirect !== "always" && redirect !== "if_required") {
    throw new IntegrationError(`Invalid value for ${caller}: redirect should be 'always' or 'if_required'.`);
  }
  if (redirect !== "if_required" && !confirmParams?.return_url) {
    throw new IntegrationError(`${caller}: the confirmParams.return_url argument is required unless redirect is 'if_required'.`);
  }
  if (elements && !elements.getElement("payment") && !elements.getElement("expressCheckout")) {
    throw new IntegrationError(`${caller}: could not retrieve data from the specified Element. Please make sure it is mounted.`);
  }
  return { elements, clientSecret, confirmParams, redirect };
}

/**
 * Merge the data that the page passes with the buyer's own, which wins.
 * @param {{[name: string]: any} | undefined} passed
 * @param {{[name: string]: any} | undefined} entered
 */
function merge(passed, entered) {
  if (!entered) return passed;
  const billing = { ...passed?.billing_details, ...entered.billing_details };
  return { ...passed, ...entered, ...(Object.keys(billing).length ? { billing_details: billing } : {}) };
}

/**
 * Do what the intent asks of the buyer: 3-D Secure in a dialog, or a page of the bank.
 * @param {ApiClient} api
 * @param {Kind} kind
 * @param {IntentAnswer} answer
 * @param {Appearance} appearance
 * @returns {Promise<IntentAnswer>}
 */
async function handleAction(api, kind, answer, appearance) {
  const { intent } = answer;
  if (intent?.status !== "requires_action") return answer;
  const action = intent.next_action;
  if (action.type === "redirect_to_url") return leave(action.redirect_to_url.url);
  const passed = (await askFor3ds(intent, appearance)) === "pass";
  await api.answerChallenge(action.use_stripe_sdk.stripe_js, passed);
  return judge(kind, await api.retrieve(intent.client_secret));
}

/**
 * Read from the intent what the bank made of the buyer's answer, also if another tab ended it meanwhile.
 * @param {Kind} kind
 * @param {IntentAnswer} answer
 * @returns {IntentAnswer}
 */
function judge(kind, answer) {
  const { intent } = answer;
  if (intent?.status === "requires_payment_method") return { error: lastError(kind, intent) };
  if (intent?.status === "requires_action") return { error: connectionError() }; // the bank was not reached
  if (intent?.status === "canceled") return { error: unexpectedState(kind, intent) };
  return answer;
}

/**
 * @param {Intent} intent
 * @param {Appearance} appearance
 */
function askFor3ds(intent, appearance) {
  return ask({
    source: "3-D Secure (simulated)",
    title: "Your bank asks you to confirm",
    amount: formatAmount(intent),
    text: "This dialog stands in for your bank. Simulated Stripe: no real money.",
    choices: [
      { label: "Complete authentication", value: "pass", main: true },
      { label: "Fail authentication", value: "fail" },
    ],
    appearance,
  });
}

/**
 * Build the error of an intent whose buyer or bank refused.
 * @param {Kind} kind
 * @param {Intent} intent
 * @returns {StripeError}
 */
function lastError(kind, intent) {
  const error = intent.last_payment_error ?? intent.last_setup_error ?? unexpectedState(kind, intent);
  const unauthenticated = error.code === `${kind.object}_authentication_failure`;
  return { ...error, ...(unauthenticated ? { message: AUTHENTICATION_FAILED } : {}), [kind.object]: intent };
}

/**
 * @param {Kind} kind
 * @param {Intent} intent
 * @returns {StripeError}
 */
const unexpectedState = (kind, intent) => ({
  type: "invalid_request_error",
  code: `${kind.object}_unexpected_state`,
  message: `The ${kind.object} has a status of ${intent.status}.`,
  [kind.object]: intent,
});

/**
 * @param {Kind} kind
 * @param {IntentAnswer} answer
 */
const toResult = (kind, answer) => (answer.error ? { error: answer.error } : { [kind.result]: answer.intent });

/**
 * Add to the return URL what Stripe adds.
 * @param {Kind} kind
 * @param {string} returnUrl
 * @param {Intent} intent
 */
function returnAddress(kind, returnUrl, intent) {
  const url = new URL(returnUrl, window.location.href);
  url.searchParams.set(kind.object, intent.id);
  url.searchParams.set(`${kind.object}_client_secret`, intent.client_secret);
  url.searchParams.set("redirect_status", "succeeded");
  return url.href;
}

/** @param {string} url */
function leave(url) {
  window.location.assign(url);
  return LEAVING;
}
