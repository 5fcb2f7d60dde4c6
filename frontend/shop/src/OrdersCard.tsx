import type { Order } from "@holdfast/checkout";
import type { ComponentProps } from "react";
import { Money, StatusBadge } from "./components/small";
import { formatDate } from "./money";
import { nameOf, OrderReceipt, type OrderSummary } from "./OrdersReceipt";

interface StatusWords {
  label: string;
  tone: ComponentProps<typeof StatusBadge>["tone"];
}

const STATUS: Record<OrderSummary["status"], StatusWords> = {
  paid: { label: "Paid", tone: "ok" },
  partially_refunded: { label: "Partly refunded", tone: "info" },
  refunded: { label: "Refunded", tone: "info" },
  disputed: { label: "Disputed", tone: "bad" },
  unknown: { label: "Status unknown", tone: "none" },
};

export function OrderStatus({ status }: { status: OrderSummary["status"] }) {
  const { label, tone } = STATUS[status];
  return <StatusBadge tone={tone}>{label}</StatusBadge>;
}

/** An order of the signed-in buyer, folded to one line until it is opened. */
export function OrderCard({ order }: { order: Order }) {
  return (
    <details className="card order">
      <summary className="order-summary">
        <h2 className="order-number">{order.number}</h2>
        <OrderStatus status={order.status} />
        <span className="soft small">
          {formatDate(order.createdAt)} · {nameOf(order.items)}
        </span>
        <Money amount={order.totalAmount} currency={order.currency} />
      </summary>
      <div className="stack order-body">
        <OrderReceipt order={order} />
        <BuyerDetails order={order} />
      </div>
    </details>
  );
}

function BuyerDetails({ order: { contact, shippingAddress } }: { order: Order }) {
  return (
    <dl className="facts">
      <div>
        <dt>Contact</dt>
        <dd>
          <TextLines lines={[contact.name, contact.email, contact.phone]} />
        </dd>
      </div>
      {shippingAddress && (
        <div>
          <dt>Shipped to</dt>
          <dd>
            <TextLines lines={addressLines(shippingAddress)} />
          </dd>
        </div>
      )}
    </dl>
  );
}

function addressLines(address: NonNullable<Order["shippingAddress"]>): (string | null | undefined)[] {
  const { line1, line2, city, state, postalCode, country } = address;
  const place = [city, state, postalCode].filter(Boolean).join(", ");
  return [line1, line2, place, new Intl.DisplayNames(undefined, { type: "region" }).of(country)];
}

function TextLines({ lines }: { lines: (string | null | undefined)[] }) {
  return lines.filter(Boolean).map((line) => (
    <span className="text-line" key={line}>
      {line}
    </span>
  ));
}
