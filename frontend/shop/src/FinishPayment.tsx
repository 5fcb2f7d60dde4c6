import type { CheckoutMessage, Subscription } from "@holdfast/checkout";
import { Elements, PaymentElement, useElements, useStripe } from "@stripe/react-stripe-js";
import { type FormEvent, useEffect, useRef, useState } from "react";
import { useAppearance } from "./checkout/appearance";
import { Alert, MessageAlert } from "./components/Alert";
import { Button } from "./components/Button";
import { Skeleton } from "./components/small";
import { chargeState, payOpenInvoice } from "./openInvoice";
import { useStripeJs } from "./stripe";

interface FinishPaymentProps {
  subscription: Subscription;
  clientSecret: string;
  isPaid: boolean;
  /** Called with true when it is paid or at the bank, and with false when the bank has refused it since. */
  onPaid(isPaid: boolean): void;
  lookAgain(): void;
}

/** Form for a subscription's open invoice, the first or a later one. Nothing while it is paid. */
export default function FinishPayment(props: FinishPaymentProps) {
  const { subscription, clientSecret, isPaid, onPaid } = props;
  const { stripe, failed, retry } = useStripeJs();
  const appearance = useAppearance();
  // Stripe is asked with each look at the subscription: the charge may be at the bank since before this page was
  // loaded, and a bank may refuse a debit days later.
  // biome-ignore lint/correctness/useExhaustiveDependencies: each look asks
  useEffect(() => {
    if (stripe) void chargeState(stripe, clientSecret).then((state) => state && onPaid(state === "paid"));
  }, [stripe, clientSecret, subscription, onPaid]);

  if (isPaid) return null;
  if (failed) {
    return (
      <Alert tone="bad" title="The payment form did not load" actions={<Button onClick={retry}>Try again</Button>}>
        <p className="alert-text">Check your connection and try again.</p>
      </Alert>
    );
  }
  return (
    <Elements stripe={stripe} options={{ clientSecret, appearance }}>
      <PaymentForm {...props} />
    </Elements>
  );
}

function PaymentForm({ subscription, clientSecret, onPaid, lookAgain }: FinishPaymentProps) {
  const stripe = useStripe();
  const elements = useElements();
  const [ready, setReady] = useState(false);
  const [busy, setBusy] = useState(false);
  const [message, setMessage] = useState<CheckoutMessage | null>(null);
  const leaving = useRef<AbortController>(null);
  useEffect(() => {
    const controller = new AbortController();
    leaving.current = controller;
    return () => controller.abort();
  }, []);

  const pay = async (event: FormEvent) => {
    event.preventDefault();
    const left = leaving.current?.signal;
    if (!stripe || !elements || busy || !left) return;
    setBusy(true);
    setMessage(null);
    const returnUrl = `${location.origin}/order-confirmation?checkout=${subscription.checkoutAttemptId}`;
    const outcome = await payOpenInvoice({ stripe, elements, clientSecret, returnUrl }, setMessage, left);
    setBusy(false);
    if (outcome === "paid") return onPaid(true);
    setMessage(outcome);
    if (outcome.kind === "open_invoice_ended") lookAgain();
  };

  return (
    <form className="stack finish-payment" onSubmit={pay}>
      <div className="finish-payment-box">
        {!ready && <Skeleton />}
        <PaymentElement onReady={() => setReady(true)} />
      </div>
      {message && <MessageAlert message={message} />}
      <Button type="submit" variant="primary" busy={busy} aria-disabled={!ready}>
        {subscription.status === "incomplete" ? "Pay and start the subscription" : "Pay the overdue amount"}
      </Button>
    </form>
  );
}
