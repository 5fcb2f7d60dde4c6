import type { Purchase, Subscription } from "@holdfast/checkout";
import { Money, type Sum, Sums } from "./components/small";
import "./styles/receipt.css";

export type OrderSummary = NonNullable<Purchase["order"]>;

type Line = OrderSummary["items"][number] | Subscription["items"][number];

/** Short name of what was bought: "2 × Mug and 1 more". */
export function nameOf([first, ...others]: Line[]): string {
  if (!first) return "";
  const name = (first.quantity ?? 1) > 1 ? `${first.quantity} × ${first.name}` : first.name;
  return others.length ? `${name} and ${others.length} more` : name;
}

/** Lines of an order or of a subscription. */
export function Lines({ items, currency }: { items: Line[]; currency: string }) {
  return (
    <ul className="lines">
      {items.map(({ priceId, name, quantity, unitAmount }) => (
        <li key={priceId}>
          <span className="line-name">{name}</span>
          {quantity != null && unitAmount != null && quantity > 1 && (
            <span className="soft small">
              {quantity} × <Money amount={unitAmount} currency={currency} />
            </span>
          )}
          {quantity != null && unitAmount != null && <Money amount={unitAmount * quantity} currency={currency} />}
        </li>
      ))}
    </ul>
  );
}

/** Lines and sums of an order. */
export function OrderReceipt({ order }: { order: OrderSummary }) {
  return (
    <div className="stack">
      <Lines items={order.items} currency={order.currency} />
      <Sums sums={sumsOf(order)} />
    </div>
  );
}

function sumsOf({ currency, shippingOption, totalAmount, refundedAmount, disputedAmount }: OrderSummary): Sum[] {
  const sums: Sum[] = [];
  if (shippingOption) sums.push({ label: `${shippingOption.name} shipping`, amount: shippingOption.amount, currency });
  sums.push({ label: "Total paid", amount: totalAmount, currency, total: true });
  if (refundedAmount) sums.push({ label: "Refunded", amount: -refundedAmount, currency });
  if (disputedAmount) sums.push({ label: "Disputed", amount: -disputedAmount, currency });
  return sums;
}
