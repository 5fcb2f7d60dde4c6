// @vitest-environment happy-dom
import { describe, expect, test, vi } from "vitest";
import { aWhile, deferred, freshBrowser, otherTab, soon } from "./harness/page.js";

freshBrowser();

describe("notes", () => {
  test.each([
    { type: "held", id: "a1" },
    { type: "placed", ids: ["a1"] },
  ])("of another version are passed over", async (note) => {
    const heard: unknown[] = [];
    const hear = (...told: unknown[]) => void heard.push(told);
    otherTab().listen({ began: hear, placed: hear });
    const channel = new BroadcastChannel("holdfast-checkout");

    channel.postMessage(note);
    channel.postMessage({ type: "began", id: "a2" });
    await aWhile();
    channel.close();

    expect(heard).toEqual([["a2"]]);
  });

  test("are not needed where the browser refuses them", () => {
    vi.stubGlobal(
      "BroadcastChannel",
      class {
        constructor() {
          throw new DOMException("The operation is insecure.", "SecurityError");
        }
      },
    );

    expect(() => otherTab().began("a1")).not.toThrow();
    vi.unstubAllGlobals();
  });
});

describe("the lock", () => {
  function withLocks(request: (name: string, options: { signal: AbortSignal }, run: () => unknown) => unknown) {
    Object.defineProperty(navigator, "locks", { configurable: true, value: { request } });
  }

  test("lets one tab work at a time", async () => {
    let before: Promise<unknown> = Promise.resolve();
    withLocks((_name, _options, run) => {
      before = before.then(run);
      return before;
    });
    const first = deferred<string>();
    const order: string[] = [];
    const work = (name: string, until: Promise<string>) => async () => {
      order.push(`${name} begins`);
      await until;
      order.push(`${name} ends`);
    };

    const both = Promise.all([
      otherTab().exclusively(work("first", first.promise)),
      otherTab().exclusively(work("second", Promise.resolve("done"))),
    ]);
    await aWhile();
    first.resolve("done");
    await soon(both);

    expect(order).toEqual(["first begins", "first ends", "second begins", "second ends"]);
  });

  test("that is not granted in time keeps nobody from buying", async () => {
    withLocks(async () => {
      throw new DOMException("timed out", "TimeoutError");
    });

    expect(await otherTab().exclusively(async () => "bought")).toBe("bought");
  });

  test("hides no failure of the work, and does not repeat it", async () => {
    withLocks((_name, _options, run) => run());
    let worked = 0;

    const failing = otherTab().exclusively(async () => {
      worked++;
      throw new Error("refused");
    });

    await expect(failing).rejects.toThrow("refused");
    expect(worked).toBe(1);
  });
});
