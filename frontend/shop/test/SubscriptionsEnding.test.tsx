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
