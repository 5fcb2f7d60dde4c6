// @vitest-environment happy-dom
import { beforeEach, expect, test } from "vitest";
import { cart, parseCart, priceLines, withQuantity } from "../src/cart";
import { itemOf } from "./items";

beforeEach(() => {
  cart.bought();
  cart.empty();
});

function stored(): unknown {
  return JSON.parse(localStorage.getItem("cart") ?? "null");
}

test.each([
  ["nothing", null],
  ["broken JSON", "[{"],
  ["another type", '{"priceId":"price_1","quantity":1}'],
  ["lines that are none", '[null,3,{"priceId":4,"quantity":1}]'],
  [
    "impossible quantities",
    '[{"priceId":"a","quantity":0},{"priceId":"b","quantity":1.5},{"priceId":"c","quantity":1e9}]',
  ],
])("a storage with %s is an empty cart", (_, text) => {
  expect(parseCart(text)).toEqual([]);
});

test("whatever else is stored with a line is left out", () => {
  expect(parseCart('[{"priceId":"price_1","quantity":2,"unitAmount":1}]')).toEqual([
    { priceId: "price_1", quantity: 2 },
  ]);
});

test("a line keeps its place when its quantity changes, and goes at zero", () => {
  const lines = [
    { priceId: "a", quantity: 1 },
    { priceId: "b", quantity: 1 },
  ];

  expect(withQuantity(lines, "a", 5).map(({ priceId }) => priceId)).toEqual(["a", "b"]);
  expect(withQuantity(lines, "a", 0)).toEqual([{ priceId: "b", quantity: 1 }]);
});

test("adding twice sums up, and the storage gets ids and quantities only", () => {
  cart.add("a");
  cart.add("a", 2);

  expect(stored()).toEqual([{ priceId: "a", quantity: 3 }]);
});

test("buying now again after a step back buys no more", () => {
  cart.atLeast("a", 2);
  cart.atLeast("a", 2);

  expect(stored()).toEqual([{ priceId: "a", quantity: 2 }]);
});

test("another tab's change is this tab's cart", () => {
  cart.add("a");
  const newValue = '[{"priceId":"b","quantity":1}]';

  dispatchEvent(new StorageEvent("storage", { key: "cart", newValue }));
  cart.add("b");

  expect(stored()).toEqual([{ priceId: "b", quantity: 2 }]);
});

test("what was bought leaves the cart, and what was added meanwhile stays", () => {
  cart.set("a", 2);
  cart.set("b", 1);
  cart.begun();
  cart.add("a");
  cart.add("c");

  cart.bought();

  expect(stored()).toEqual([
    { priceId: "a", quantity: 1 },
    { priceId: "c", quantity: 1 },
  ]);
});

test("the purchase says what was bought, where it is known", () => {
  cart.set("a", 2);
  cart.set("b", 1);
  cart.begun();

  cart.bought([{ priceId: "b", quantity: 1 }]);

  expect(stored()).toEqual([{ priceId: "a", quantity: 2 }]);
});

test("the next cart is not taken for the one that was bought", () => {
  cart.add("a");
  cart.begun();
  expect(cart.isBegun()).toBe(true);
  cart.bought();
  cart.add("a");

  cart.bought();
  cart.bought([{ priceId: "a", quantity: 1 }]);

  expect(cart.isBegun()).toBe(false);
  expect(stored()).toEqual([{ priceId: "a", quantity: 1 }]);
});

test("a line that the catalogue has not is gone, and not priced", () => {
  const lines = [
    { priceId: "a", quantity: 1 },
    { priceId: "gone", quantity: 1 },
  ];

  const { priced, gone } = priceLines(lines, { items: [itemOf("a", 100)], shippingOptions: [] });

  expect(priced.map(({ item }) => item.priceId)).toEqual(["a"]);
  expect(gone).toEqual([{ priceId: "gone", quantity: 1 }]);
});
