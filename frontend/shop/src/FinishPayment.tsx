import type { CheckoutMessage } from "@holdfast/checkout";
import { Elements, PaymentElement, useElements, useStripe } from "@stripe/react-stripe-js";
import { type FormEvent, useEffect, useState } from "react";
import { useAppearance } from "./checkout/appearance";
import { Alert, MessageAlert } from "./components/Alert";
import { Button } from "./components/Button";
import { Skeleton } from "./components/small";
import { isChargeOver, payFirstCharge } from "./firstCharge";
import { useStripeJs } from "./stripe";

interface FinishPaymentProps {
  clientSecret: string;
  checkoutAttemptId: string;
  /** Called when nothing is left to pay here: it is paid, or at the bank. */
  onDone(): void;
}

/** Form for the first charge of a subscription that was declined or needs the buyer. */
export default function FinishPayment(props: FinishPaymentProps) {
  const { stripe, failed, retry } = useStripeJs();
  const appearance = useAppearance();
  if (failed) {
    return (
      <Alert tone="bad" title="The payment form did not load" actions={<Button onClick={retry}>Try again</Button>}>
        <p className="alert-text">You have not been charged. Check your connection and try again.</p>
      </Alert>
    );
  }
  return (
    <Elements stripe={stripe} options={{ clientSecret: props.clientSecret, appearance }}>
      <PaymentForm {...props} />
    </Elements>
  );
}

function PaymentForm({ clientSecret, checkoutAttemptId, onDone }: FinishPaymentProps) {
  const stripe = useStripe();
  const elements = useElements();
  const [ready, setReady] = useState(false);
  const [busy, setBusy] = useState(false);
  const [message, setMessage] = useState<CheckoutMessage | null>(null);

  // It may be at the bank since before this page was loaded.
  useEffect(() => {
    if (stripe) void isChargeOver(stripe, clientSecret).then((isOver) => isOver && onDone());
  }, [stripe, clientSecret, onDone]);

  const pay = async (event: FormEvent) => {
    event.preventDefault();
    if (!stripe || !elements || busy) return;
    setBusy(true);
    setMessage(null);
    const returnUrl = `${location.origin}/order-confirmation?checkout=${checkoutAttemptId}`;
    const failure = await payFirstCharge({ stripe, elements, clientSecret, returnUrl }, setMessage);
    setMessage(failure);
    setBusy(false);
    if (!failure) onDone();
  };

  return (
    <form className="stack finish-payment" onSubmit={pay}>
      <div className="finish-payment-box">
        {!ready && <Skeleton />}
        <PaymentElement onReady={() => setReady(true)} />
      </div>
      {message && <MessageAlert message={message} />}
      <Button type="submit" variant="primary" busy={busy} aria-disabled={!ready}>
        Pay and start the subscription
      </Button>
    </form>
  );
}
