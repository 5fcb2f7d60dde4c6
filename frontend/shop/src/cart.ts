/** Cart of this browser: price ids and quantities in localStorage, the same in all tabs. */

import type { Catalogue, CatalogueItem } from "@holdfast/checkout";
import { useSyncExternalStore } from "react";

export interface CartLine {
  priceId: string;
  quantity: number;
}

const KEY = "cart";
const BEGUN_KEY = "cart-begun";
export const MAX_QUANTITY = 99;

/** Read stored lines. Anything that is not a cart is an empty cart: the storage is open to whoever sits at the browser. */
export function parseCart(text: string | null): CartLine[] {
  try {
    const lines: unknown = JSON.parse(text ?? "[]");
    return Array.isArray(lines) ? lines.filter(isLine).map(({ priceId, quantity }) => ({ priceId, quantity })) : [];
  } catch {
    return [];
  }
}

function isLine(line: unknown): line is CartLine {
  const { priceId, quantity } = (line ?? {}) as Partial<CartLine>;
  return typeof priceId === "string" && Number.isInteger(quantity) && isQuantity(quantity as number);
}

function isQuantity(quantity: number): boolean {
  return quantity >= 1 && quantity <= MAX_QUANTITY;
}

/** Lines with the quantity of one price changed; 0 removes it, and a new price goes to the end. */
export function withQuantity(lines: CartLine[], priceId: string, quantity: number): CartLine[] {
  const bounded = Math.min(Math.max(Math.trunc(quantity), 0), MAX_QUANTITY);
  const known = lines.some((line) => line.priceId === priceId);
  const next = known
    ? lines.map((line) => (line.priceId === priceId ? { priceId, quantity: bounded } : line))
    : [...lines, { priceId, quantity: bounded }];
  return next.filter((line) => line.quantity > 0);
}

export interface PricedLine {
  item: CatalogueItem;
  quantity: number;
}

/** Lines that are on sale, with their items, and those that are not any more. */
export function priceLines(lines: CartLine[], catalogue: Catalogue): { priced: PricedLine[]; gone: CartLine[] } {
  const items = new Map(catalogue.items.map((item) => [item.priceId, item]));
  const priced: PricedLine[] = [];
  const gone: CartLine[] = [];
  for (const line of lines) {
    const item = items.get(line.priceId);
    if (item) priced.push({ item, quantity: line.quantity });
    else gone.push(line);
  }
  return { priced, gone };
}

/** Lines without those that were bought. What was added meanwhile stays. */
export function without(lines: CartLine[], bought: CartLine[]): CartLine[] {
  return bought.reduce((left, { priceId, quantity }) => {
    const held = left.find((line) => line.priceId === priceId);
    return held ? withQuantity(left, priceId, held.quantity - quantity) : left;
  }, lines);
}

function read(): CartLine[] {
  try {
    return parseCart(localStorage.getItem(KEY));
  } catch {
    return []; // the browser refuses storage: the cart lasts as long as the page
  }
}

function write(lines: CartLine[]): void {
  try {
    if (lines.length) localStorage.setItem(KEY, JSON.stringify(lines));
    else localStorage.removeItem(KEY);
  } catch {
    // The page has it.
  }
}

/** The cart that the last checkout was begun with: what a payment under way buys is not known otherwise. */
interface Begun {
  checkoutAttemptId: string | null;
  lines: CartLine[];
}

const NOTHING_BEGUN: Begun = { checkoutAttemptId: null, lines: [] };
let begunHere = NOTHING_BEGUN;

function readBegun(): Begun {
  try {
    const text = localStorage.getItem(BEGUN_KEY);
    if (text === null) return begunHere; // a full storage takes nothing, but can be read
    const { checkoutAttemptId, lines } = (JSON.parse(text) ?? NOTHING_BEGUN) as Partial<Begun>;
    return { checkoutAttemptId: checkoutAttemptId ?? null, lines: parseCart(JSON.stringify(lines ?? [])) };
  } catch {
    return begunHere;
  }
}

function writeBegun(begun: Begun): void {
  begunHere = begun;
  try {
    localStorage.removeItem(BEGUN_KEY); // a full storage must not keep the one before
    localStorage.setItem(BEGUN_KEY, JSON.stringify(begun));
  } catch {
    // The page has it.
  }
}

let current = read();
const listeners = new Set<() => void>();

function show(lines: CartLine[]): void {
  current = lines;
  for (const listener of listeners) listener();
}

function keep(lines: CartLine[]): void {
  write(lines);
  show(lines);
}

// Another tab changed the cart, or cleared the storage (key is null then).
addEventListener("storage", ({ key, newValue }) => {
  if (key === KEY || key === null) show(parseCart(newValue));
});
// No event comes to a page that the browser keeps to show it again.
addEventListener("pageshow", ({ persisted }) => persisted && show(read()));

export const cart = {
  add: (priceId: string, quantity = 1) => {
    const held = current.find((line) => line.priceId === priceId)?.quantity ?? 0;
    keep(withQuantity(current, priceId, held + quantity));
  },
  /** For "Buy now": pressing it again, or after a step back, buys no more than was asked for. */
  atLeast: (priceId: string, quantity: number) => {
    const held = current.find((line) => line.priceId === priceId)?.quantity ?? 0;
    keep(withQuantity(current, priceId, Math.max(held, quantity)));
  },
  set: (priceId: string, quantity: number) => keep(withQuantity(current, priceId, quantity)),
  remove: (priceIds: string[]) => keep(current.filter((line) => !priceIds.includes(line.priceId))),
  empty: () => keep([]),
  /** Note that a checkout was begun with the cart as it is. */
  begun: (checkoutAttemptId: string) => writeBegun({ checkoutAttemptId, lines: current }),
  /** True if the cart is still the one that this checkout was begun with: nothing was taken out for it. */
  isOf: (checkoutAttemptId: string | null) => readBegun().checkoutAttemptId === checkoutAttemptId,
  /** True if something is left beside what this checkout was begun with. */
  hasMoreThan: (checkoutAttemptId: string | null) => {
    const begun = readBegun();
    return (begun.checkoutAttemptId === checkoutAttemptId ? without(current, begun.lines) : current).length > 0;
  },
  /**
   * Take out what was bought: the lines of the purchase or, where they are not known, those that the checkout was begun
   * with. It is done once for each checkout: what is in the cart afterwards is the next cart.
   */
  bought: (checkoutAttemptId: string | null, lines?: CartLine[]) => {
    const begun = readBegun();
    if (checkoutAttemptId === null || begun.checkoutAttemptId !== checkoutAttemptId) return;
    writeBegun(NOTHING_BEGUN);
    keep(without(current, lines ?? begun.lines));
  },
};

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function useCart(): CartLine[] {
  return useSyncExternalStore(subscribe, () => current);
}

export function countItems(lines: { quantity: number }[]): number {
  return lines.reduce((sum, line) => sum + line.quantity, 0);
}
