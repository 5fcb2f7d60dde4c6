import { type CheckoutMessage, CheckoutProblem, messageFor, type Subscription } from "@holdfast/checkout";
import { useRef, useState } from "react";
import { client } from "./client";
import { MessageAlert } from "./components/Alert";
import { Button } from "./components/Button";
import { formatDate } from "./money";
import { chargesGoOn, endsLater, hasEnded, hasPeriod, lastCharges, periodEnd } from "./subscriptionStatus";

type Mode = "at_period_end" | "now" | "undo";

interface SubscriptionEndingProps {
  subscription: Subscription;
  onChange(subscription: Subscription): void;
}

/** Buttons that end a subscription, with a question before, or let it go on. */
export function SubscriptionEnding({ subscription, onChange }: SubscriptionEndingProps) {
  const question = useRef<HTMLDialogElement>(null);
  const [busy, setBusy] = useState(false);
  const [message, setMessage] = useState<CheckoutMessage | null>(null);
  const change = async (mode: Mode) => {
    setBusy(true);
    setMessage(null);
    try {
      const changed = await client.cancelSubscription(subscription.id, mode);
      // The button goes with the subscription, so the focus goes on to its card.
      if (hasEnded(changed)) question.current?.closest("li")?.focus();
      onChange(changed);
    } catch (problem) {
      setMessage(messageFor(isAtTheBank(problem) ? "subscription_payment_processing" : problem));
    }
    setBusy(false);
  };
  const mode = hasPeriod(subscription) ? "at_period_end" : "now";
  // An end that the shop has set is not taken back here, but the buyer may end it earlier.
  const goesOn = !subscription.endsWithPeriod;

  // Nor does its buyer end it later than the shop does.
  if (hasEnded(subscription) || (goesOn && endsLater(subscription) && !chargesGoOn(subscription))) return null;
  return (
    <div className="stack-s">
      {message && <MessageAlert message={message} />}
      {/* One button for both, so that the focus stays on it. */}
      <div className="row">
        <Button size="small" busy={busy} onClick={() => (goesOn ? question.current?.showModal() : void change("undo"))}>
          {goesOn ? "End subscription" : "Keep subscription"}
        </Button>
        {busy && mode === "now" && <span className="soft small">This can take half a minute.</span>}
      </div>
      <dialog className="dialog" ref={question} aria-labelledby={`end-${subscription.id}`}>
        <form method="dialog" className="stack">
          <h2 id={`end-${subscription.id}`}>End this subscription?</h2>
          <p>{consequence(subscription, mode)}</p>
          {/* The dialog's first button gets the focus. */}
          <div className="row">
            <button type="submit" className="button button-secondary">
              Keep it
            </button>
            <button type="submit" className="button button-danger" onClick={() => void change(mode)}>
              {mode === "now" ? "End now" : "End subscription"}
            </button>
          </div>
        </form>
      </dialog>
    </div>
  );
}

function isAtTheBank(problem: unknown): boolean {
  return problem instanceof CheckoutProblem && problem.type === "payment_processing";
}

function consequence(subscription: Subscription, mode: Mode): string {
  const { status } = subscription;
  if (mode === "now") {
    return status === "unpaid" || status === "paused"
      ? "It ends at once, and nothing more will be charged."
      : "It ends at once, for good. It has not been paid yet, and nothing will be charged.";
  }
  const end = periodEnd(subscription);
  const when = end ? `on ${formatDate(end)}` : "with the period that is paid";
  return `It ends ${when}, and ${lastCharges(subscription)}. Until then it stays yours, and you can change your mind.`;
}
