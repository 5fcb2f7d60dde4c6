import type { Subscription } from "@holdfast/checkout";
import { Money } from "./components/small";
import { formatDate, formatInterval, formatMoney } from "./money";
import { Lines, lineName } from "./OrdersReceipt";

type Discount = Subscription["discounts"][number];

/** Terms of a subscription as Stripe bills it now: sum, items, discounts, and what pays for it. */
export function SubscriptionTerms({ subscription }: { subscription: Subscription }) {
  const { amount, currency, interval, items, discounts } = subscription;
  const isOneFixedItem = items.length === 1 && amount != null;
  return (
    <>
      <p className="subscription-price">
        {amount == null ? "The amount varies" : <Money amount={amount} currency={currency} />} {termsOf(subscription)}
      </p>
      {!isOneFixedItem && <Lines items={items} currency={currency} termsOf={interval ? undefined : termsOf} />}
      {discounts.length > 0 && (
        <ul className="discounts" aria-label="Discounts">
          {discounts.map((discount) => (
            <li key={discount.id}>{discountText(discount, subscription)}</li>
          ))}
        </ul>
      )}
      {!CHARGES_NOTHING.has(subscription.status) && <p className="soft small">{paidWith(subscription)}</p>}
    </>
  );
}

const CHARGES_NOTHING: ReadonlySet<Subscription["status"]> = new Set([
  "pending",
  "activation_failed",
  "incomplete_expired",
  "canceled",
]);

function termsOf({ interval, intervalCount }: Subscription | Subscription["items"][number]): string {
  if (!interval || interval === "unknown" || !intervalCount) return "for each period";
  return formatInterval({ interval, intervalCount });
}

/** Text of a discount: "Welcome: 20% off Coffee until 20 December 2026". Some have no known terms, but a name. */
function discountText(discount: Discount, of: Subscription): string {
  const { name, percentOff, amountOff, currency, endsAt, itemId, duration } = discount;
  const percent = percentOff == null ? null : `${percentOff}%`;
  const off = amountOff == null ? percent : formatMoney(amountOff, currency ?? of.currency);
  const what = `${name || "Discount"}${off ? `: ${off} off` : ""}`;
  const item = itemId && of.items.find(({ id }) => id === itemId);
  const until = endsAt ? `until ${formatDate(endsAt)}` : duration === "once" && "once";
  const parts = [what, item && lineName(item), until];
  return parts.filter(Boolean).join(" ");
}

/** Stripe names no card here, only whether one was chosen for this subscription; the customer portal shows it. */
function paidWith({ collectionMethod, defaultPaymentMethodId }: Subscription): string {
  if (collectionMethod === "send_invoice") return "You pay each charge by an invoice that is sent to you.";
  return defaultPaymentMethodId
    ? "Charged to this subscription's own payment method."
    : "Charged to your default payment method.";
}
