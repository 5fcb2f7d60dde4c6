import type { Subscription } from "@holdfast/checkout";
import { lazy, type ReactNode, Suspense, useEffect, useRef, useState } from "react";
import { Skeleton, StatusBadge } from "./components/small";
import { formatDate } from "./money";
import { nameOf } from "./OrdersReceipt";
import { SubscriptionTerms } from "./SubscriptionsTerms";
import {
  chargesGoOn,
  endOf,
  endsLater,
  hasEnded,
  owesPayment,
  PAID,
  periodEnd,
  statusWords,
} from "./subscriptionStatus";
import { useSubscriptionWatch } from "./subscriptionWatch";

// Few buyers need it, and it brings Stripe's wrappers.
const FinishPayment = lazy(() => import("./FinishPayment"));

interface SubscriptionCardProps {
  subscription: Subscription;
  /** Read the subscription again, because its status may have changed. */
  lookAgain(): void;
  heading: "h2" | "h3";
  children?: ReactNode;
}

/** A subscription with its dates and sums, and the way to pay its open invoice. */
export function SubscriptionCard({ subscription, lookAgain, heading: Heading, children }: SubscriptionCardProps) {
  const card = useRef<HTMLElement>(null);
  const { isPaid, onPaid } = useSubscriptionWatch(subscription, lookAgain);
  // The form goes, so the focus goes on to what the payment has changed.
  useEffect(() => {
    if (isPaid) card.current?.focus();
  }, [isPaid]);
  const { label, tone, text } = isPaid ? PAID : statusWords(subscription);
  return (
    <article className="card stack subscription" ref={card} tabIndex={-1}>
      <div className="spread">
        <Heading className="subscription-name">{nameOf(subscription.items)}</Heading>
        <StatusBadge tone={tone}>{label}</StatusBadge>
      </div>
      <SubscriptionTerms subscription={subscription} />
      <p className="soft" role="status">
        {text}
      </p>
      <div className="spread subscription-foot">
        <Dates subscription={subscription} />
        {children}
      </div>
      {owesPayment(subscription) && (
        <OpenPayment subscription={subscription} isPaid={isPaid} onPaid={onPaid} lookAgain={lookAgain} />
      )}
    </article>
  );
}

interface OpenPaymentProps {
  subscription: Subscription;
  isPaid: boolean;
  onPaid(isPaid: boolean): void;
  lookAgain(): void;
}

/** Time in which a payment that can be offered is there. */
const OFFERED_WITHIN_MS = 10_000;

/** Form of the open invoice's payment. Its place is kept while it is looked up and loads. */
function OpenPayment(props: OpenPaymentProps) {
  const { payment } = props.subscription;
  const isOffered = Boolean(payment);
  const [isLate, setLate] = useState(false);
  useEffect(() => {
    if (isOffered) return setLate(false);
    const timer = setTimeout(() => setLate(true), OFFERED_WITHIN_MS);
    return () => clearTimeout(timer);
  }, [isOffered]);
  const place = props.isPaid ? null : <Skeleton className="finish-payment-place" />;
  if (!payment) return isLate && !props.isPaid ? <NotOffered /> : place;
  return (
    <Suspense fallback={place}>
      {/* Stripe's elements keep the secret that they were made with. */}
      <FinishPayment key={payment.clientSecret} clientSecret={payment.clientSecret} {...props} />
    </Suspense>
  );
}

/** A bank debit is at the bank for days, and then the gateway offers no second payment of it. */
function NotOffered() {
  return (
    <p className="soft" role="status">
      It cannot be paid here at the moment. A payment may be at the bank already: you do not have to do anything, and
      this page looks again.
    </p>
  );
}

function Dates({ subscription }: { subscription: Subscription }) {
  return (
    <dl className="facts">
      {datesOf(subscription).map(([label, iso]) => (
        <div key={label}>
          <dt>{label}</dt>
          <dd>{formatDate(iso)}</dd>
        </div>
      ))}
    </dl>
  );
}

function datesOf(subscription: Subscription): [string, string][] {
  const { status, trialEnd, endedAt, createdAt, pauseCollection } = subscription;
  const dates: [string, string | null | undefined][] = [["Ordered", createdAt]];
  const ends = endsLater(subscription);
  if (hasEnded(subscription)) dates.push(["Ended", endedAt]);
  else if (pauseCollection) dates.push(["Payments resume", pauseCollection.resumesAt]);
  else if (ends && !chargesGoOn(subscription)) dates.push(["Trial ends", status === "trialing" ? trialEnd : null]);
  else if (status === "trialing") dates.push(["First charge", trialEnd ?? periodEnd(subscription)]);
  else if (status === "active") dates.push(["Next charge", periodEnd(subscription)]);
  if (ends) dates.push(["Ends", endOf(subscription)]);
  return dates.filter((each): each is [string, string] => Boolean(each[1]));
}
