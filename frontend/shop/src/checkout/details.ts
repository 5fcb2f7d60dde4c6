/** Details that the buyer enters: their checks, and the request that they become. */

import { addressOf, type CheckoutRequest, contactOf, type FieldError } from "@holdfast/checkout";
import type { CartLine } from "../cart";

export interface Details {
  email: string;
  name: string;
  phone: string;
  line1: string;
  line2: string;
  city: string;
  state: string;
  postalCode: string;
  country: string;
}

export type FieldName = keyof Details;
export type Errors = Partial<Record<FieldName, string>>;

export const LABELS: Record<FieldName, string> = {
  email: "E-mail",
  name: "Full name",
  phone: "Phone",
  line1: "Street and number",
  line2: "Flat, floor, company",
  city: "Town or city",
  state: "State or region",
  postalCode: "Postcode",
  country: "Country",
};

export const TEST_DETAILS: Details = {
  email: "ada@example.com",
  name: "Ada Lovelace",
  phone: "",
  line1: "12 St James's Square",
  line2: "",
  city: "London",
  state: "",
  postalCode: "SW1Y 4JH",
  country: "GB",
};

/** Empty details, in the country that the browser's language names. */
export function emptyDetails(language = navigator.language): Details {
  const blank = Object.fromEntries(Object.keys(TEST_DETAILS).map((name) => [name, ""])) as unknown as Details;
  return { ...blank, country: new Intl.Locale(language).region ?? "GB" };
}

/** Errors by field. The gateway checks the same and more; its answer is shown at the same places. */
export function validate(details: Details, { withAddress }: { withAddress: boolean }): Errors {
  const errors: Errors = {};
  if (!details.email.trim()) errors.email = "Enter your e-mail address.";
  else if (!/^\S+@\S+\.\S+$/.test(details.email.trim())) errors.email = "Enter an address like ada@example.com.";
  if (!details.name.trim()) errors.name = "Enter your name.";
  if (!withAddress) return errors;
  if (!details.line1.trim()) errors.line1 = "Enter a street and number.";
  if (!details.city.trim()) errors.city = "Enter a town or city.";
  if (!details.country) errors.country = "Choose a country.";
  return errors;
}

/** Violations of the gateway by field of the form, and those that belong to no field. */
export function sortViolations(violations: FieldError[]): { errors: Errors; other: FieldError[] } {
  const errors: Errors = {};
  const other: FieldError[] = [];
  for (const violation of violations) {
    const name = violation.field.replace(/^(contact|shippingAddress)\./, "");
    if (name !== violation.field && Object.hasOwn(LABELS, name))
      errors[name as FieldName] = `${LABELS[name as FieldName]} ${violation.message}.`;
    else other.push(violation);
  }
  return { errors, other };
}

export interface Choices {
  /** False only for a cart of subscriptions, which the gateway takes without an address. */
  withAddress: boolean;
  shippingOptionId: string | undefined;
}

export function toRequest(
  details: Details,
  items: CartLine[],
  { withAddress, shippingOptionId }: Choices,
): CheckoutRequest {
  return {
    items: items.map(({ priceId, quantity }) => ({ priceId, quantity })),
    contact: contactOf(details),
    ...(withAddress && { shippingAddress: addressOf({ ...details, postal_code: details.postalCode }) }),
    ...(withAddress && shippingOptionId && { shippingOptionId }),
  };
}
