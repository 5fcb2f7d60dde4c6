// @vitest-environment happy-dom
import type { UseCheckout } from "@holdfast/checkout/react";
import { act } from "react";
import { beforeEach, expect, test, vi } from "vitest";
import { useSessionChange } from "../src/checkout/useSessionChange";
import { fetchInSession, keepToken } from "../src/session";
import { renderHook } from "./harness/render";

beforeEach(() => keepToken(undefined));

async function watch(state: UseCheckout["state"]) {
  const lookAgain = vi.fn();
  await renderHook(() => useSessionChange({ state, lookAgain } as unknown as UseCheckout));
  return lookAgain;
}

async function expire(): Promise<void> {
  vi.stubGlobal("fetch", async () => new Response(null, { status: 401 }));
  await act(() => fetchInSession("/api", { headers: { Authorization: "Bearer ada" } }));
}

test.each(["payable", "editing"] as const)(
  "a checkout that is %s is looked up again for whoever signs in",
  async (state) => {
    const lookAgain = await watch(state);

    await act(async () => keepToken("ada"));

    expect(lookAgain).toHaveBeenCalledOnce();
  },
);

test("a checkout that is placed stays", async () => {
  const lookAgain = await watch("placed");

  await act(async () => keepToken("ada"));

  expect(lookAgain).not.toHaveBeenCalled();
});

test("an expired sign-in looks a checkout that could be paid up again, and leaves the message of one that could not", async () => {
  keepToken("ada");
  const [payable, editing] = [await watch("payable"), await watch("editing")];

  await expire();

  expect(payable).toHaveBeenCalledOnce();
  expect(editing).not.toHaveBeenCalled();
});
