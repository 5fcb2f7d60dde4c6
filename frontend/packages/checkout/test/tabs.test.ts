// @vitest-environment happy-dom
import { describe, expect, test } from "vitest";
import { aWhile, deferred, freshBrowser, otherTab, soon } from "./harness/page.js";

freshBrowser();

describe("the checkout that another tab holds", () => {
  test("is known to a tab that asks", async () => {
    otherTab("a1");
    otherTab("b1");
    otherTab("a1");

    expect(await soon(otherTab().heldElsewhere())).toEqual(["a1", "b1"]);
  });

  test("is none where nobody answers", async () => {
    otherTab(null);

    expect(await soon(otherTab().heldElsewhere())).toEqual([]);
  });

  test("is not told once it is placed, also to a tab that was opened later", async () => {
    const other = otherTab("a1");
    other.placed(["a1"]);

    expect(await soon(otherTab().heldElsewhere())).toEqual([]);
  });

  test("is not believed of a tab that has not heard that it is placed", async () => {
    const tab = otherTab();
    tab.placed(["a1"]);
    await aWhile();
    otherTab("a1");

    expect(await soon(tab.heldElsewhere())).toEqual([]);
  });

  test("is replaced by a new one in every tab that holds any, whatever its page shows", async () => {
    const [first, second, none] = [{ id: "a1" }, { id: "b1" }, { id: null }];
    otherTab(null, first);
    otherTab(null, second);
    otherTab(null, none);

    otherTab().began("a2");
    await aWhile();

    expect([first.id, second.id, none.id]).toEqual(["a2", "a2", null]);
  });

  test("is kept by a tab that pays it", async () => {
    const own = { id: "a1" };
    otherTab(null, own).listen({ isPaying: () => true, began: () => {}, placed: () => {} });

    otherTab().began("a2");
    await aWhile();

    expect(own.id).toBe("a1");
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
