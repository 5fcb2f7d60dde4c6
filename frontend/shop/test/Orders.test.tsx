// @vitest-environment happy-dom
import { act } from "react";
import { expect, test, vi } from "vitest";
import Orders from "../src/Orders";
import { keepToken } from "../src/session";
import { render } from "./harness/render";

test("the orders of one user leave the page when another one signs in", async () => {
  vi.stubGlobal("fetch", async (_: string, init?: RequestInit) => {
    const isAda = new Headers(init?.headers).get("Authorization") === "Bearer ada";
    if (!isAda) return new Promise(() => {});
    return Response.json({ orders: [ORDER] });
  });
  keepToken("ada");
  const page = await render(<Orders />);
  const before = page.textContent;

  await act(async () => keepToken("bob"));

  expect(before).toContain("H-1");
  expect(page.textContent).not.toContain("H-1");
});

const ORDER = {
  id: "o1",
  number: "H-1",
  status: "paid",
  currency: "usd",
  createdAt: "2026-11-27T09:00:00Z",
  contact: { name: "Ada", email: "ada@example.com" },
  items: [],
  totals: { items: 0, shipping: 0, total: 0 },
};
