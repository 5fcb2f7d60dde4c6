// @ts-check
"use strict";

/** Test cards that the form offers to fill in (https://docs.stripe.com/testing). */
const TEST_CARDS = [
  { label: "Success", values: { number: "4242 4242 4242 4242" } },
  { label: "Declined", values: { number: "4000 0000 0000 0002" } },
  { label: "Insufficient funds", values: { number: "4000 0000 0000 9995" } },
  { label: "3-D Secure", values: { number: "4000 0000 0000 3220" } },
];

const BRANDS = [
  { name: "Visa", starts: /^4/ },
  { name: "Mastercard", starts: /^(5[1-5]|2[2-7])/ },
  { name: "Amex", starts: /^3[47]/, groups: [4, 6, 5], cvc: 4 },
  { name: "Discover", starts: /^6/ },
];

/** @param {string} text */
const digitsOf = (text) => text.replace(/\D/g, "");

/** @param {string} number */
function brandOf(number) {
  const found = BRANDS.find((brand) => brand.starts.test(digitsOf(number)));
  return { name: "", groups: [4, 4, 4, 4], cvc: 3, ...found };
}

/** @param {string} text */
function formatNumber(text) {
  const { groups } = brandOf(text);
  let rest = digitsOf(text).slice(0, groups.reduce((sum, size) => sum + size, 0));
  const parts = [];
  for (const size of groups) {
    if (rest) parts.push(rest.slice(0, size));
    rest = rest.slice(size);
  }
  return parts.join(" ");
}

/** @param {string} text */
function formatExpiry(text) {
  let digits = digitsOf(text);
  if (/^[2-9]/.test(digits)) digits = `0${digits}`;
  // "12 / 2034", as password managers fill it in.
  if (digits.length === 6) digits = digits.slice(0, 2) + digits.slice(4);
  digits = digits.slice(0, 4);
  return digits.length > 2 ? `${digits.slice(0, 2)} / ${digits.slice(2)}` : digits;
}

/** @param {string} number */
function passesLuhn(number) {
  const digits = [...digitsOf(number)].reverse().map(Number);
  const sum = digits.reduce((total, digit, place) => {
    const doubled = place % 2 ? digit * 2 : digit;
    return total + (doubled > 9 ? doubled - 9 : doubled);
  }, 0);
  return sum % 10 === 0;
}

/**
 * @param {string} value
 * @returns {StripeError | null}
 */
function checkNumber(value) {
  const { groups } = brandOf(value);
  if (digitsOf(value).length < groups.reduce((sum, size) => sum + size, 0)) {
    return validationError("incomplete_number", "Your card number is incomplete.");
  }
  return passesLuhn(value) ? null : validationError("invalid_number", "Your card number is invalid.");
}

/**
 * @param {string} value
 * @returns {StripeError | null}
 */
function checkExpiry(value) {
  const digits = digitsOf(value);
  if (digits.length < 4) {
    return validationError("incomplete_expiry", "Your card's expiration date is incomplete.");
  }
  const { month, year } = readExpiry(value);
  const now = new Date();
  if (month < 1 || month > 12) {
    return validationError("invalid_expiry_month", "Your card's expiration date is invalid.");
  }
  if (year < now.getFullYear()) {
    return validationError("invalid_expiry_year_past", "Your card's expiration year is in the past.");
  }
  if (year === now.getFullYear() && month < now.getMonth() + 1) {
    return validationError("invalid_expiry_month_past", "Your card's expiration date is in the past.");
  }
  return null;
}

/** @param {string} value */
function readExpiry(value) {
  const digits = digitsOf(value);
  return { month: Number(digits.slice(0, 2)), year: 2000 + Number(digits.slice(2)) };
}

/** The expiry date that the form begins with: December, four years from now. */
const futureExpiry = () => `12 / ${String(new Date().getFullYear() + 4).slice(2)}`;
