import type { Purchase } from "@holdfast/checkout";
import { Loading, Skeleton } from "./components/small";
import { formatDate } from "./money";
import { OrderStatus } from "./OrdersCard";
import { OrderReceipt, type OrderSummary } from "./OrdersReceipt";
import { SubscriptionCard } from "./SubscriptionsCard";
import { useSession } from "./session";

/** Everything that was bought: the order, the subscriptions, or both. */
export function PurchaseReceipt({ purchase, lookAgain }: { purchase: Purchase; lookAgain(): void }) {
  const { order, subscriptions = [] } = purchase;
  return (
    <>
      {order && <OrderSlip order={order} />}
      {subscriptions.length > 0 && (
        <section className="stack" aria-labelledby="subscriptions">
          <h2 id="subscriptions">{subscriptions.length === 1 ? "Your subscription" : "Your subscriptions"}</h2>
          {subscriptions.map((subscription) => (
            <SubscriptionCard key={subscription.id} subscription={subscription} lookAgain={lookAgain} heading="h3" />
          ))}
          <WayToEnd portalUrl={purchase.customerPortalUrl} />
        </section>
      )}
    </>
  );
}

function OrderSlip({ order }: { order: OrderSummary }) {
  return (
    <section className="slip" aria-labelledby="order">
      <div className="slip-head">
        <h2 id="order">
          <span className="slip-label">Order</span> <span className="order-number">{order.number}</span>
        </h2>
        <span className="soft small">{formatDate(order.createdAt)}</span>
        <OrderStatus status={order.status} />
      </div>
      <div className="slip-body">
        <OrderReceipt order={order} />
      </div>
    </section>
  );
}

/** A guest ends subscriptions in Stripe's customer portal, a signed-in buyer here. */
function WayToEnd({ portalUrl }: { portalUrl: string | null | undefined }) {
  const session = useSession();
  if (session === "signed_in" || !portalUrl) return null;
  return (
    <p className="soft">
      To end a subscription, open the <a href={portalUrl}>customer portal</a>. It sends a link to your email address.
    </p>
  );
}

/** Place of an order slip, of the same size as a short one, so that nothing jumps. */
export function ReceiptSkeleton() {
  return (
    <div className="slip">
      <Loading what="your order" />
      <div className="slip-head">
        <Skeleton className="slip-skeleton-head" />
      </div>
      <div className="slip-body stack">
        <Skeleton />
        <Skeleton />
        <Skeleton className="slip-skeleton-total" />
      </div>
    </div>
  );
}
