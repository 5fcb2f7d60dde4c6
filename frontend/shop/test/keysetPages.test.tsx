// @vitest-environment happy-dom
import { act } from "react";
import { expect, test } from "vitest";
import { useKeysetPages } from "../src/keysetPages";
import { renderHook } from "./harness/render";

test("a page that failed is asked for again, and the pages before it stay", async () => {
  const asked: (string | undefined)[] = [];
  let fails = false;
  const load = async (cursor: string | undefined) => {
    asked.push(cursor);
    if (fails) throw new Error("offline");
    return cursor ? { items: [{ id: "b" }] } : { items: [{ id: "a" }], nextCursor: "2" };
  };
  const pages = await renderHook(() => useKeysetPages(load));
  asked.length = 0;

  fails = true;
  await act(async () => pages().more?.());
  const failed = { state: pages().state, items: pages().items };
  const money = pages().message?.money;
  fails = false;
  await act(async () => pages().more?.());

  expect(failed).toEqual({ state: "failed", items: [{ id: "a" }] });
  expect(money).toBe("pending"); // the buyer may come from paying
  expect(asked).toEqual(["2", "2"]);
  expect(pages().items).toEqual([{ id: "a" }, { id: "b" }]);
  expect(pages().more).toBeUndefined();
});
