// @vitest-environment happy-dom
import type { Subscription } from "@holdfast/checkout";
import { act } from "react";
import { expect, test, vi } from "vitest";
import { SubscriptionPortal } from "../src/SubscriptionsPortal";
import { render } from "./harness/render";

const URL_OF_PORTAL = "https://billing.stripe.com/p/session/test_1";

/** Press the button with a gateway that answers so. Return the page, what was asked, and where it went. */
async function press(status: number, body: object) {
  const asked: string[] = [];
  vi.stubGlobal("fetch", async (url: string, init: RequestInit) => {
    asked.push(`${init.method} ${url}`);
    return Response.json(body, { status });
  });
  const assign = vi.spyOn(location, "assign").mockImplementation(() => {});
  const page = await render(<SubscriptionPortal subscription={{ id: "s1", status: "active" } as Subscription} />);
  await act(async () => page.querySelector("button")?.click());
  return { page, asked, wentTo: assign.mock.calls.flat() };
}

test("the button goes to the portal, whose address is kept nowhere", async () => {
  const { page, asked, wentTo } = await press(200, { url: URL_OF_PORTAL });

  expect(asked).toEqual(["POST /api/subscriptions/s1/portal"]);
  expect(wentTo).toEqual([URL_OF_PORTAL]);
  expect(page.innerHTML + JSON.stringify({ ...localStorage, ...sessionStorage })).not.toContain("billing.stripe.com");
});

test.each([
  [404, "subscription_not_found", "Sign in"],
  [409, "portal_not_configured", "Contact the shop"],
  [409, "customer_deleted", "Contact the shop"],
])("a refusal %i %s is told in words, and the button works again", async (status, type, words) => {
  const { page, wentTo } = await press(status, { type: `urn:holdfast:problem:${type}` });

  expect(page.querySelector("[role=alert]")?.textContent).toContain(words);
  expect(page.querySelector("button")?.getAttribute("aria-busy")).toBeNull();
  expect(wentTo).toEqual([]);
});

test.each([
  ["is pending", "pending"],
  ["could not be started", "activation_failed"],
  ["was ended before it was created there", "canceled"],
])("Stripe has no subscription that %s to manage", async (_, status) => {
  const items = [{ priceId: "price_1", id: null }];
  const page = await render(
    <SubscriptionPortal subscription={{ id: "s1", status, items } as unknown as Subscription} />,
  );

  expect(page.textContent).toBe("");
});
