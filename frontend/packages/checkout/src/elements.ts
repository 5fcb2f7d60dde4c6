/**
 * Contact and address of a checkout, from what Stripe's elements hand over: the Address Element's `value`, and
 * `billingDetails` and `shippingAddress` of the Express Checkout Element's confirm event.
 *
 * They hand over "" or null for what the buyer has not, and wallets know only one word of some names, or none.
 * Sources: https://docs.stripe.com/js/elements_object/get_value_address_element,
 * https://docs.stripe.com/js/elements_object/express_checkout_element_confirm_event,
 * https://github.com/woocommerce/woocommerce-gateway-stripe/issues/5913
 */

import type { CheckoutRequest } from "./types.js";

type Text = string | null | undefined;

export interface ElementAddress {
  line1?: Text;
  line2?: Text;
  city?: Text;
  state?: Text;
  postal_code?: Text;
  country?: Text;
}

export interface ElementDetails {
  name?: Text;
  firstName?: Text;
  lastName?: Text;
  email?: Text;
  phone?: Text;
}

/**
 * Return the contact, each of its fields from the first of the details that has it. A name or e-mail that none has is
 * "", which the gateway refuses by the field's name: ask the buyer for it.
 */
export function contactOf(...details: (ElementDetails | null | undefined)[]): CheckoutRequest["contact"] {
  const first = (read: (each: ElementDetails) => Text) =>
    details.map((each) => each && trimmed(read(each))).find((text) => text);
  const phone = first((each) => each.phone);
  return {
    email: first((each) => each.email) ?? "",
    name: first((each) => trimmed(each.name) ?? [each.firstName, each.lastName].map(trimmed).join(" ")) ?? "",
    ...(phone && { phone }),
  };
}

/** Return the shipping address, without what is blank. The gateway refuses a blank `line1` or `country` by its name. */
export function addressOf(address: ElementAddress): NonNullable<CheckoutRequest["shippingAddress"]> {
  const [city, state, postalCode] = [address.city, address.state, address.postal_code].map(trimmed);
  // Apple Pay hands over a street of two lines as one text: https://github.com/stripe/stripe-react-native/issues/531
  const [line1 = "", ...below] = (address.line1 ?? "").split(/[\r\n]+/).filter(trimmed);
  const line2 = [...below, address.line2].map(trimmed).filter(Boolean).join(", ");
  return {
    line1: line1.trim(),
    ...(line2 && { line2 }),
    ...(city && { city }),
    ...(state && { state }),
    ...(postalCode && { postalCode }),
    country: trimmed(address.country)?.toUpperCase() ?? "",
  };
}

/** White space and what takes no place, such as U+200B: https://www.unicode.org/reports/tr44/#Default_Ignorable_Code_Point */
const BLANK = /^[\s\p{Default_Ignorable_Code_Point}]*$/u;

function trimmed(text: Text): string | undefined {
  return text && !BLANK.test(text) ? text.trim() : undefined;
}
