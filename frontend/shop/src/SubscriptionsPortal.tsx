import { type CheckoutMessage, messageFor, type Subscription } from "@holdfast/checkout";
import { useState } from "react";
import { client } from "./client";
import { MessageAlert } from "./components/Alert";
import { Button } from "./components/Button";

/** Statuses of subscriptions that Stripe does not have. */
const WITHOUT_PORTAL: ReadonlySet<Subscription["status"]> = new Set(["pending", "activation_failed"]);

/** Button to Stripe's customer portal: payment method, invoices, and whatever else the shop allows there. */
export function SubscriptionPortal({ subscription }: { subscription: Subscription }) {
  const [busy, setBusy] = useState(false);
  const [message, setMessage] = useState<CheckoutMessage | null>(null);
  const open = async () => {
    setBusy(true);
    setMessage(null);
    try {
      // The address is a login, so it is kept nowhere.
      location.assign((await client.openCustomerPortal(subscription.id)).url);
    } catch (problem) {
      setMessage(messageFor(problem));
    }
    // The browser may come back to this page as it was left.
    setBusy(false);
  };
  if (WITHOUT_PORTAL.has(subscription.status)) return null;
  return (
    <div className="stack-s">
      {message && <MessageAlert message={message} />}
      <Button size="small" busy={busy} onClick={open}>
        Manage payment
      </Button>
    </div>
  );
}
