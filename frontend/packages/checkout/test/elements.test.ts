import { expect, test } from "vitest";
import { addressOf, contactOf } from "../src/elements.js";

test("an Address Element's value becomes contact and address", () => {
  const value = {
    name: "Ada Lovelace",
    firstName: "Ada",
    lastName: "Lovelace",
    phone: "+44 20",
    address: { line1: "1 Quay", line2: null, city: "London", state: "", postal_code: "SW1Y 4JH", country: "GB" },
  };

  expect(contactOf(value, { email: "ada@example.com" })).toEqual({
    email: "ada@example.com",
    name: "Ada Lovelace",
    phone: "+44 20",
  });
  expect(addressOf(value.address)).toEqual({
    line1: "1 Quay",
    city: "London",
    postalCode: "SW1Y 4JH",
    country: "GB",
  });
});

test.each([
  ["one word", [{ name: "Ada", email: "a@b.io" }], "Ada"],
  ["two fields", [{ name: "", firstName: "Ada", lastName: "Lovelace" }], "Ada Lovelace"],
  ["a first name only", [{ firstName: " Ada ", lastName: "" }], "Ada"],
  ["the recipient where the payer has none", [{ name: "" }, { name: "Ada" }], "Ada"],
  ["nobody, so that the gateway names the field", [undefined, { name: null }], ""],
])("a wallet's name of %s", (_, details, name) => {
  expect(contactOf(...details).name).toBe(name);
});

test("what a wallet does not know is left out, and what is needed stays blank", () => {
  const address = { line1: "", line2: "", city: " ", state: null, postal_code: "", country: "ie" };

  expect(contactOf({ name: "", email: "", phone: "" })).toEqual({ email: "", name: "" });
  expect(contactOf({ name: "\u200b\u3164", phone: "\ufeff \u2060" })).toEqual({ email: "", name: "" });
  expect(addressOf(address)).toEqual({ line1: "", country: "IE" });
});

test.each([
  ["12 Main St\nApt 4", "", { line1: "12 Main St", line2: "Apt 4" }],
  ["12 Main St\r\n", "Apt 4", { line1: "12 Main St", line2: "Apt 4" }],
  ["c/o Ada\n 12 Main St ", "Apt 4", { line1: "c/o Ada", line2: "12 Main St, Apt 4" }],
  ["", "Apt 4", { line1: "", line2: "Apt 4" }],
])("a wallet's street %j has its lines apart", (line1, line2, lines) => {
  expect(addressOf({ line1, line2, country: "us" })).toEqual({ ...lines, country: "US" });
});
