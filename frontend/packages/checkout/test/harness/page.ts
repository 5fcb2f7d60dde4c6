/** Steps of tests with a browser's page, without React. */

import { vi } from "vitest";
import { CheckoutFlow, type CheckoutState, ConfirmationFlow, createClient } from "../../src/index.js";
import { Tabs } from "../../src/tabs.js";
import { FakeGateway } from "./gateway.js";

export const RETURN_URL = "http://shop.example/order-confirmation";

export function openPage(path = "/checkout"): void {
  (globalThis as unknown as { happyDOM: { setURL(url: string): void } }).happyDOM.setURL(`http://shop.example${path}`);
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
  return {
    gateway,
    flow,
    placed,
    close,
    state: () => flow.getSnapshot().state,
    kind: () => flow.getSnapshot().message?.kind,
  };
}

export function openConfirmation(gateway = new FakeGateway(), tabs = new Tabs()) {
  let placed = 0;
  const flow = new ConfirmationFlow({ client: clientOf(gateway), onPlaced: () => placed++ }, () => tabs);
  const close = flow.start();
  return {
    gateway,
    flow,
    close,
    placed: () => placed,
    state: () => flow.getSnapshot().state,
    kind: () => flow.getSnapshot().message?.kind,
  };
}

export async function until(
  page: { state(): string },
  state: CheckoutState | ReturnType<ConfirmationFlow["getSnapshot"]>["state"],
) {
  await vi.waitUntil(() => page.state() === state, { timeout: 3_000, interval: 5 });
}

/** Everything in sessionStorage. */
export function stored(): Record<string, string> {
  return { ...sessionStorage };
}
