// @vitest-environment happy-dom
import { beforeEach, expect, test, vi } from "vitest";
import { fetchInSession, keepToken, token } from "../src/session";

function answer(status: number): void {
  vi.stubGlobal("fetch", async () => new Response(null, { status }));
}

function send(sent: string): Promise<Response> {
  return fetchInSession("/api/orders", { headers: new Headers({ Authorization: `Bearer ${sent}` }) });
}

beforeEach(() => keepToken("ada"));

test("a refused token is forgotten", async () => {
  answer(401);

  await send("ada");

  expect(token()).toBeUndefined();
});

test("a refusal of an older token leaves a newer one", async () => {
  answer(401);

  await send("expired");

  expect(token()).toBe("ada");
});

test("other failures leave the token", async () => {
  answer(503);

  await send("ada");

  expect(token()).toBe("ada");
});

test("a browser that refuses storage has a guest", () => {
  vi.spyOn(localStorage, "getItem").mockImplementation(refuse);
  vi.spyOn(localStorage, "setItem").mockImplementation(refuse);

  keepToken("ada");

  expect(token()).toBeUndefined();
  vi.restoreAllMocks();
});

function refuse(): never {
  throw new DOMException("denied", "SecurityError");
}
