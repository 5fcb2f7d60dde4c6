// @vitest-environment happy-dom
import type { Subscription } from "@holdfast/checkout";
import { act } from "react";
import { expect, test, vi } from "vitest";
import { SubscriptionEnding } from "../src/SubscriptionsEnding";
import { render } from "./harness/render";

test("that a payment is at the bank is told in words, and the button works again", async () => {
  const body = { type: "urn:holdfast:problem:payment_processing" };
  vi.stubGlobal("fetch", async () => Response.json(body, { status: 409 }));
  const subscription = { id: "s1", status: "incomplete" } as Subscription;
  const page = await render(<SubscriptionEnding subscription={subscription} onChange={() => {}} />);

  await act(async () => page.querySelector<HTMLButtonElement>("dialog .button-danger")?.click());

  const words = "End the subscription once the payment has arrived";
  expect(page.querySelector("[role=status]")?.textContent).toContain(words);
  expect(page.querySelector("button")?.getAttribute("aria-busy")).toBeNull();
});

const SOON = "2026-12-02T12:00:00Z";
const PERIOD_END = "2026-12-20T12:00:00Z";
const LATER = "2027-03-01T12:00:00Z";

function ending(changes: object) {
  const active = { id: "s1", status: "active", items: [], currentPeriodEnd: PERIOD_END, ...changes };
  return render(<SubscriptionEnding subscription={active as unknown as Subscription} onChange={() => {}} />);
}

test.each<[string, object, string, RegExp]>([
  ["that is active", {}, "on December 20, 2026, and nothing more will be charged. Until then", /overdue/],
  ["that is overdue", { status: "past_due" }, "the overdue payment may still be charged", /nothing more/],
  ["that is billed by use", { items: [{ quantity: null }] }, "what you use until then is charged", /nothing more/],
  ["of a status newer than the shop, maybe paid", { status: "unknown" }, "It ends on December 20, 2026", /at once/],
  [
    "of different intervals, which Stripe ends with the first",
    { currentPeriodEnd: LATER, items: [{ currentPeriodEnd: LATER }, { currentPeriodEnd: PERIOD_END }] },
    "It ends on December 20, 2026",
    /March/,
  ],
  ["that the shop ends later", { cancelAt: LATER }, "It ends on December 20, 2026", /March/],
])("the question tells what becomes of a subscription %s", async (_, changes, words, never) => {
  const question = (await ending(changes)).querySelector("dialog p")?.textContent;

  expect(question).toContain(words);
  expect(question).not.toMatch(never);
});

test("one that the shop ends before its period is not ended later by its buyer", async () => {
  expect((await ending({ cancelAt: SOON })).textContent).toBe("");
});
