import type { Purchase, Subscription } from "@holdfast/checkout";
import { Money, type Sum, Sums } from "./components/small";
import { knownName } from "./data";
import "./styles/receipt.css";

export type OrderSummary = NonNullable<Purchase["order"]>;

/** A line of an order, or an item of a subscription, whose quantity and amount may depend on use. */
type Line = OrderSummary["items"][number] | Subscription["items"][number];

/** Name of a product, also of one that the shop has deleted since. */
export function lineName({ name, priceId }: Line): string {
  return name || knownName(priceId) || "A product that is not sold any more";
}

/** Short name of what was bought: "2 × Mug and 1 more". */
export function nameOf([first, ...others]: Line[]): string {
  if (!first) return "";
  const name = (first.quantity ?? 1) > 1 ? `${first.quantity} × ${lineName(first)}` : lineName(first);
  return others.length ? `${name} and ${others.length} more` : name;
}

interface LinesProps<T extends Line> {
  items: T[];
  currency: string;
  /** Text of an item's own billing interval, where the items have different ones. */
  termsOf?: ((item: T) => string) | undefined;
}

/** Lines of an order or of a subscription. */
export function Lines<T extends Line>({ items, currency, termsOf }: LinesProps<T>) {
  return (
    <ul className="lines">
      {items.map((item) => (
        <li key={("id" in item && item.id) || item.priceId}>
          <span className="line-name">
            {lineName(item)}
            {termsOf && <span className="soft small"> {termsOf(item)}</span>}
          </span>
          <LineAmount item={item} currency={currency} />
        </li>
      ))}
    </ul>
  );
}

function LineAmount({ item, currency }: { item: Line; currency: string }) {
  const { quantity, unitAmount } = item;
  if (quantity == null || unitAmount == null) {
    return <span className="soft small">{quantity == null ? "by use" : `${quantity} ×, amount varies`}</span>;
  }
  return (
    <>
      {quantity > 1 && (
        <span className="soft small">
          {quantity} × <Money amount={unitAmount} currency={currency} />
        </span>
      )}
      <Money amount={unitAmount * quantity} currency={currency} />
    </>
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

function sumsOf(order: OrderSummary): Sum[] {
  const { currency, shippingOption, adjustmentAmount, totalAmount, refundedAmount, disputedAmount } = order;
  const sums: Sum[] = [];
  if (shippingOption) sums.push({ label: `${shippingOption.name} shipping`, amount: shippingOption.amount, currency });
  if (adjustmentAmount) sums.push({ label: "Adjustment", amount: adjustmentAmount, currency });
  sums.push({ label: "Total paid", amount: totalAmount, currency, total: true });
  if (refundedAmount) sums.push({ label: "Refunded", amount: -refundedAmount, currency });
  if (disputedAmount) sums.push({ label: "Disputed", amount: -disputedAmount, currency });
  return sums;
}
