/** Steps of tests with a browser's page, without React. */

import { afterEach, beforeEach, expect, vi } from "vitest";
import { CheckoutFlow, ConfirmationFlow, createClient } from "../../src/index.js";
import { finishCheckout, forgetAttemptId, keepUnfinished, storeAttemptId } from "../../src/session.js";
import { Tabs } from "../../src/tabs.js";
import { FakeGateway } from "./gateway.js";

const realTimeout = setTimeout;

export const RETURN_URL = "http://shop.example/order-confirmation";

export function openPage(path = "/checkout"): void {
  (globalThis as unknown as { happyDOM: { setURL(url: string): void } }).happyDOM.setURL(`http://shop.example${path}`);
  history.replaceState(null, "");
}

export function clientOf(gateway: FakeGateway) {
  return createClient({ baseUrl: "http://gateway.example", fetch: gateway.fetch });
}

/** Open a checkout page. Each has tabs of its own, as each page of a browser has. */
export function openCheckout(gateway = new FakeGateway(), tabs = new Tabs()) {
  const placed: string[] = [];
  const flow = new CheckoutFlow(
    { client: clientOf(gateway), returnUrl: RETURN_URL, onPlaced: (id, intentId) => placed.push(`${id} ${intentId}`) },
    () => tabs,
  );
  const close = flow.start();
  closing.push(close, () => tabs.close());
  return {
    gateway,
    flow,
    placed,
    close,
    state: () => flow.getSnapshot().state,
    kind: () => flow.getSnapshot().message?.kind,
  };
}

/** Open another tab. */
export function otherTab(): Tabs {
  const tabs = new Tabs();
  closing.push(() => tabs.close());
  return tabs;
}

/** Begin a checkout in this tab before the page is opened. */
export function begunBefore(id: string): void {
  storeAttemptId(id);
  keepUnfinished(id);
}

/** Finish the checkout, as its confirmation does in this tab. */
export function finished(id: string): void {
  forgetAttemptId();
  finishCheckout(id);
}

export function openConfirmation(gateway = new FakeGateway(), tabs = new Tabs()) {
  let placed = 0;
  const flow = new ConfirmationFlow({ client: clientOf(gateway), onPlaced: () => placed++ }, () => tabs);
  const close = flow.start();
  closing.push(close, () => tabs.close());
  return {
    gateway,
    flow,
    close,
    placed: () => placed,
    state: () => flow.getSnapshot().state,
    kind: () => flow.getSnapshot().message?.kind,
  };
}

/** Let timers pass quickly until a promise is settled. */
export async function soon<T>(promise: Promise<T>): Promise<T> {
  let isSettled = false;
  const settled = () => {
    isSettled = true;
  };
  promise.then(settled, settled);
  await pass(() => isSettled);
  return promise;
}

/** Let timers pass quickly until a page is in a state. */
export async function until(page: { state(): string }, state: string): Promise<void> {
  await pass(() => page.state() === state);
  expect(page.state()).toBe(state);
}

/** Let timers pass quickly for a time that would be enough for something that must not happen. */
export async function aWhile(): Promise<void> {
  await pass(() => false, 100);
}

async function pass(isDone: () => boolean, steps = 2_000): Promise<void> {
  for (let step = 0; step < steps && !isDone(); step++) {
    await vi.advanceTimersByTimeAsync(50);
    await new Promise((resolve) => realTimeout(resolve));
  }
}

/** Return a promise, and what resolves it. */
export function deferred<T>(): { promise: Promise<T>; resolve(value: T): void } {
  let resolve: (value: T) => void = () => {};
  const promise = new Promise<T>((resolvePromise) => {
    resolve = resolvePromise;
  });
  return { promise, resolve };
}

/** Begin each test with an empty browser, whose timers pass quickly. */
export function freshBrowser(): void {
  beforeEach(() => {
    sessionStorage.clear();
    localStorage.clear();
    openPage();
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  });
  afterEach(() => {
    for (const close of closing.splice(0)) close();
    vi.useRealTimers();
    Reflect.deleteProperty(navigator, "locks");
  });
}

/** Everything in sessionStorage. */
export function stored(): Record<string, string> {
  return { ...sessionStorage };
}

const closing: (() => void)[] = [];
