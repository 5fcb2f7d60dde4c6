// @vitest-environment happy-dom
import type { Subscription } from "@holdfast/checkout";
import { act } from "react";
import { beforeEach, expect, test, vi } from "vitest";
import { useSubscriptionWatch } from "../src/subscriptionWatch";
import { renderHook } from "./harness/render";

const PAYMENT = { clientSecret: "pi_1_secret" };

beforeEach(() => {
  vi.useFakeTimers();
});

/** Watch a subscription. Return its watch, and how often it was looked at within some seconds. */
async function watch(state: Pick<Subscription, "status" | "payment">) {
  let looks = 0;
  const current = await renderHook(() =>
    useSubscriptionWatch(state as Subscription, () => {
      looks++;
    }),
  );
  const looksWithin = async (seconds: number) => {
    looks = 0;
    await act(() => vi.advanceTimersByTimeAsync(seconds * 1000));
    return looks;
  };
  return { looksWithin, isPaid: () => current().isPaid, pay: () => act(async () => current().onPaid(true)) };
}

test.each(["pending", "incomplete", "past_due", "unpaid"] as const)(
  "a subscription that is %s is looked at again, less and less",
  async (status) => {
    const { looksWithin } = await watch({ status });

    expect(await looksWithin(60)).toBe(8);
    expect(await looksWithin(60)).toBe(2);
  },
);

test("a subscription that is paused is looked at once: lists do not tell if a failed payment paused it", async () => {
  const { looksWithin } = await watch({ status: "paused" });

  expect(await looksWithin(60)).toBe(1);
});

test.each(["active", "activation_failed", "canceled"] as const)("one that is %s is left alone", async (status) => {
  const { looksWithin } = await watch({ status });

  expect(await looksWithin(60)).toBe(0);
});

test.each(["incomplete", "past_due", "paused"] as const)(
  "an open invoice of one that is %s is left alone until the buyer has paid it",
  async (status) => {
    const { looksWithin, pay, isPaid } = await watch({ status, payment: PAYMENT });

    expect(await looksWithin(60)).toBe(0);
    await pay();

    expect(isPaid()).toBe(true);
    expect(await looksWithin(5)).toBeGreaterThan(0);
  },
);
