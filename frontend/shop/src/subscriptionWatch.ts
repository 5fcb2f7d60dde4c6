import type { Subscription } from "@holdfast/checkout";
import { useEffect, useEffectEvent, useState } from "react";
import { owesPayment, settlesSoon } from "./subscriptionStatus";

const PAUSES_SECONDS = [0, 1, 2, 3, 5, 8, 13, 20];
const LAST_PAUSE_SECONDS = 30;

interface SubscriptionWatch {
  /** The buyer has paid the open invoice, and the payment is on its way. */
  isPaid: boolean;
  /** Say that it is paid or, if the bank has refused it since, that it is not. The same function at every render. */
  onPaid(isPaid: boolean): void;
}

/**
 * Look again at a subscription while its status is about to change: until it is set up, until the buyer can pay its
 * open invoice, and after they paid until the payment has arrived. At one that is paused it looks once.
 */
export function useSubscriptionWatch(subscription: Subscription, lookAgain: () => void): SubscriptionWatch {
  const [hasPaid, setPaid] = useState(false);
  const look = useEffectEvent(lookAgain);
  const isPaused = subscription.status === "paused";
  // Lists show no payment, and only few pauses have one.
  const mayOwe = isPaused && !subscription.payment;
  useEffect(() => {
    if (!mayOwe) return;
    const timer = setTimeout(() => look());
    return () => clearTimeout(timer);
  }, [mayOwe]);
  const isPaid = hasPaid && owesPayment(subscription);
  // The payment is not offered any more, and the pause ends soon.
  const awaited = isPaid || (hasPaid && isPaused) || settlesSoon(subscription);
  useEffect(() => {
    if (awaited) return withGrowingPauses(() => look());
  }, [awaited]);
  return { isPaid, onPaid: setPaid };
}

/** Call a function with growing pauses until the returned one is called. */
function withGrowingPauses(call: () => void): () => void {
  let timer: ReturnType<typeof setTimeout>;
  const next = (round: number) => {
    timer = setTimeout(
      () => {
        call();
        next(round + 1);
      },
      1000 * (PAUSES_SECONDS[round] ?? LAST_PAUSE_SECONDS),
    );
  };
  next(0);
  return () => clearTimeout(timer);
}
