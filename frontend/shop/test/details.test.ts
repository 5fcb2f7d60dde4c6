import { expect, test } from "vitest";
import { emptyDetails, sortViolations, TEST_DETAILS, toRequest, validate } from "../src/checkout/details";

const LINES = [{ priceId: "price_1", quantity: 2 }];

test("the test data of a demo need no correction", () => {
  expect(validate(TEST_DETAILS, { withAddress: true })).toEqual({});
});

test("each required field is named, and the address only where something is delivered", () => {
  const details = { ...emptyDetails("en-GB"), email: "not an address" };

  expect(Object.keys(validate(details, { withAddress: true }))).toEqual(["email", "name", "line1", "city"]);
  expect(Object.keys(validate(details, { withAddress: false }))).toEqual(["email", "name"]);
});

test("the country is that of the browser's language", () => {
  expect(emptyDetails("de-AT").country).toBe("AT");
});

test("a request has trimmed fields, and none that is empty", () => {
  const details = { ...TEST_DETAILS, name: " Ada ", phone: "  " };

  const request = toRequest(details, LINES, { withAddress: true, shippingOptionId: "shr_1" });

  expect(request).toEqual({
    items: LINES,
    contact: { email: "ada@example.com", name: "Ada" },
    shippingAddress: { line1: "12 St James's Square", city: "London", postalCode: "SW1Y 4JH", country: "GB" },
    shippingOptionId: "shr_1",
  });
});

test("a request without an address has no shipping option either", () => {
  const request = toRequest(TEST_DETAILS, LINES, { withAddress: false, shippingOptionId: "shr_1" });

  expect(Object.keys(request)).toEqual(["items", "contact"]);
});

test("the gateway's violations go to their fields, and the rest is kept", () => {
  const city = { field: "shippingAddress.city", message: "must not be empty" };
  const items = { field: "items[0].priceId", message: "is not for sale" };
  const unknown = { field: "contact.constructor", message: "is not known" };

  const { errors, other } = sortViolations([city, items, unknown]);

  expect(errors).toEqual({ city: "Town or city must not be empty." });
  expect(other).toEqual([items, unknown]);
});
