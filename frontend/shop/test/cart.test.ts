// @vitest-environment happy-dom
import { beforeEach, expect, test, vi } from "vitest";
import { cart, parseCart, priceLines, withQuantity } from "../src/cart";
import { itemOf } from "./items";

beforeEach(() => {
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
  cart.begun("a1");
  cart.add("a");
  cart.add("c");

  cart.bought("a1");

  expect(stored()).toEqual([
    { priceId: "a", quantity: 1 },
    { priceId: "c", quantity: 1 },
  ]);
});

test("the purchase says what was bought, where it is known", () => {
  cart.set("a", 2);
  cart.set("b", 1);
  cart.begun("a1");

  cart.bought("a1", [{ priceId: "b", quantity: 1 }]);

  expect(stored()).toEqual([{ priceId: "a", quantity: 2 }]);
});

test("the next cart is not taken for the one that was bought", () => {
  cart.add("a");
  cart.begun("a1");
  expect(cart.hasMoreThan("a1")).toBe(false);
  cart.bought("a1");
  cart.add("a");

  cart.bought("a1");
  cart.bought("a1", [{ priceId: "a", quantity: 1 }]);

  expect(cart.hasMoreThan("a1")).toBe(true);
  expect(stored()).toEqual([{ priceId: "a", quantity: 1 }]);
});

test("the confirmation of another checkout leaves the cart, and what is noted of its checkout", () => {
  cart.add("a");
  cart.begun("a2");

  cart.bought("a1");
  expect(stored()).toEqual([{ priceId: "a", quantity: 1 }]);

  cart.bought("a2");
  expect(stored()).toBeNull();
});

const denied = () => {
  throw new Error("denied");
};

/** Return a storage that has an earlier purchase's note, and no room for a longer one. */
function full(): object {
  const held = new Map([["cart-begun", JSON.stringify({ checkoutAttemptId: null, lines: [] })]]);
  return {
    getItem: (key: string) => held.get(key) ?? null,
    removeItem: (key: string) => held.delete(key),
    setItem: denied,
  };
}

test.each([
  ["refuses storage", { getItem: denied, setItem: denied, removeItem: denied }],
  ["has no room left", full()],
])("what was bought leaves the cart of a browser that %s", (_what, storage) => {
  vi.stubGlobal("localStorage", storage);
  cart.add("a");
  cart.begun("a1");

  cart.bought("a1");

  expect(cart.hasMoreThan(null)).toBe(false);
  vi.unstubAllGlobals();
});

test("a page that the browser shows again has the cart as it is now", () => {
  cart.add("a");
  localStorage.removeItem("cart"); // bought on another page, of which this one was not told

  dispatchEvent(Object.assign(new Event("pageshow"), { persisted: true }));
  cart.add("b");

  expect(stored()).toEqual([{ priceId: "b", quantity: 1 }]);
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
