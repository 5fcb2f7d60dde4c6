// @vitest-environment happy-dom
import { expect, test } from "vitest";
import { OrderReceipt, type OrderSummary } from "../src/OrdersReceipt";
import { render } from "./harness/render";

test("a receipt adds the adjustment of an order up to what was paid", async () => {
  const page = await render(<OrderReceipt order={{ ...ORDER, adjustmentAmount: -490 }} />);
  const without = await render(<OrderReceipt order={ORDER} />);

  expect(page.textContent).toMatch(/Adjustment-\$4\.90.*Total paid\$15\.00/);
  expect(without.textContent).not.toContain("Adjustment");
});

const ORDER: OrderSummary = {
  id: "o1",
  number: "H-1",
  checkoutAttemptId: "a1",
  status: "paid",
  totalAmount: 1500,
  currency: "usd",
  items: [],
  createdAt: "2026-11-27T09:00:00Z",
};
