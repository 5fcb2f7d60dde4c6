import { type CheckoutMessage, messageFor, type Subscription } from "@holdfast/checkout";
import { useState } from "react";
import { client } from "./client";
import { MessageAlert } from "./components/Alert";
import { Button } from "./components/Button";

/** True if Stripe has it. One that was ended before it was created there is "canceled", and has no item of Stripe's. */
function isAtStripe({ status, items }: Subscription): boolean {
  if (status === "canceled") return items.some(({ id }) => id);
  return status !== "pending" && status !== "activation_failed";
}

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
  if (!isAtStripe(subscription)) return null;
  return (
    <div className="stack-s">
      {message && <MessageAlert message={message} />}
      <Button size="small" busy={busy} onClick={open}>
        Manage payment
      </Button>
    </div>
  );
}
