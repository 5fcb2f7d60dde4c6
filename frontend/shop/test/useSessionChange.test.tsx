// @vitest-environment happy-dom
import type { UseCheckout } from "@holdfast/checkout/react";
import { act } from "react";
import { beforeEach, expect, test, vi } from "vitest";
import { useSessionChange } from "../src/checkout/useSessionChange";
import { fetchInSession, keepToken } from "../src/session";
import { renderHook } from "./harness/render";

beforeEach(() => keepToken(undefined));

async function watch(state: UseCheckout["state"]) {
  const startOver = vi.fn();
  await renderHook(() => useSessionChange({ state, startOver } as unknown as UseCheckout));
  return startOver;
}

async function expire(): Promise<void> {
  vi.stubGlobal("fetch", async () => new Response(null, { status: 401 }));
  await act(() => fetchInSession("/api", { headers: { Authorization: "Bearer ada" } }));
}

test.each(["payable", "editing"] as const)("a checkout that is %s begins anew for whoever signs in", async (state) => {
  const startOver = await watch(state);

  await act(async () => keepToken("ada"));

  expect(startOver).toHaveBeenCalledOnce();
});

test("a checkout that is placed stays", async () => {
  const startOver = await watch("placed");

  await act(async () => keepToken("ada"));

  expect(startOver).not.toHaveBeenCalled();
});

test("an expired sign-in ends a checkout that could be paid, and leaves the message of one that could not", async () => {
  keepToken("ada");
  const [payable, editing] = [await watch("payable"), await watch("editing")];

  await expire();

  expect(payable).toHaveBeenCalledOnce();
  expect(editing).not.toHaveBeenCalled();
});
