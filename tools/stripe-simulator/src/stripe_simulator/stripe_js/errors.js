// @ts-check
"use strict";

/**
 * An error in Stripe's shape.
 * @typedef {{type: string, code?: string, decline_code?: string, message: string, [field: string]: unknown}} StripeError
 */

/** A mistake of whoever wrote the page. It is thrown; whatever a buyer or the network does is returned. */
class IntegrationError extends Error {
  /** @param {string} message */
  constructor(message) {
    super(message);
    this.name = "IntegrationError";
  }
}

/** @param {string} feature */
const notModelled = (feature) => new IntegrationError(`The simulated Stripe.js does not model ${feature}.`);

/** @returns {StripeError} */
const connectionError = () => ({
  type: "api_connection_error",
  message:
    "We are experiencing issues connecting to our payments provider. You have not been charged. Please check your " +
    "internet connection and try again.",
});

/**
 * Describe input that no request was sent for.
 * @param {string} code
 * @param {string} message
 * @returns {StripeError}
 */
const validationError = (code, message) => ({ type: "validation_error", code, message });
