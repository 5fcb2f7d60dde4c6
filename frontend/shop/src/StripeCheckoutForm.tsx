/**
 * Step 2: Stripe's elements for the client secret of a checkout.
 *
 * The browser's storage gets the `checkoutAttemptId` and nothing else; `useCheckout` writes it before the payment is
 * confirmed. The client secret stays in memory, and contact and address do not come here at all.
 */

import type { Checkout } from "@holdfast/checkout";
import type { UseCheckout } from "@holdfast/checkout/react";
import { Elements, ExpressCheckoutElement, PaymentElement, useElements, useStripe } from "@stripe/react-stripe-js";
import { type FormEvent, useEffect, useState } from "react";
import { useAppearance } from "./checkout/appearance";
import { Alert, MessageAlert } from "./components/Alert";
import { Button } from "./components/Button";
import { Loading } from "./components/small";
import { formatMoney } from "./money";
import { focusHeading, navigate } from "./router";
import { useStripeJs } from "./stripe";

interface StripeCheckoutFormProps {
  checkout: Checkout;
  flow: UseCheckout;
}

export function StripeCheckoutForm({ checkout, flow }: StripeCheckoutFormProps) {
  const { stripe, failed, retry } = useStripeJs();
  const appearance = useAppearance();
  const [reloads, setReloads] = useState(0);
  const { clientSecret } = checkout;
  if (failed) return <NotLoaded onRetry={retry} />;
  if (!stripe) return <ElementsLoading />;
  return (
    <Elements key={`${clientSecret} ${reloads}`} stripe={stripe} options={{ clientSecret, appearance }}>
      <PaymentForm checkout={checkout} flow={flow} onReload={() => setReloads(reloads + 1)} />
    </Elements>
  );
}

/** Express buttons have their place until it is known that there are none; the rest waits for that, so that nothing jumps. */
type Express = "unknown" | "none" | "shown";
const EXPRESS_WITHIN_MS = 10_000;

function PaymentForm({ checkout, flow, onReload }: StripeCheckoutFormProps & { onReload(): void }) {
  const stripe = useStripe();
  const elements = useElements();
  const [express, setExpress] = useState<Express>("unknown");
  const [element, setElement] = useState<"loading" | "ready" | "failed">("loading");
  // What was said before the form came stands above it. What comes later stands below, so that the form does not jump.
  const [opening] = useState(flow.message);
  useEffect(() => {
    const timer = setTimeout(() => setExpress((known) => (known === "unknown" ? "none" : known)), EXPRESS_WITHIN_MS);
    return () => clearTimeout(timer);
  }, []);
  const isReady = element === "ready" && express !== "unknown";
  const isBusy = flow.state !== "payable";
  const pay = () => {
    if (stripe && elements) void flow.pay(stripe, elements);
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (isReady && !isBusy) pay();
  };
  if (element === "failed") return <NotLoaded onRetry={onReload} />;
  return (
    <form className="payment" onSubmit={submit} aria-busy={isBusy}>
      {flow.message === opening && <PaymentMessage flow={flow} />}
      <div className="payment-box">
        {!isReady && <ElementsLoading />}
        <div className={isReady ? "payment-elements" : "payment-elements payment-hidden"}>
          <div className={express === "none" ? "payment-none" : "payment-express"}>
            <ExpressCheckoutElement
              options={{ buttonHeight: 48 }}
              onReady={({ availablePaymentMethods }) => setExpress(availablePaymentMethods ? "shown" : "none")}
              onLoadError={() => setExpress("none")}
              onConfirm={(event) => {
                // The wallet's window would wait for an answer.
                if (isBusy || !stripe) event.paymentFailed();
                else pay();
              }}
            />
            <p className="payment-or">or</p>
          </div>
          <PaymentElement
            options={{ layout: "tabs" }}
            onReady={() => setElement("ready")}
            onLoadError={() => setElement("failed")}
          />
          <Button type="submit" variant="primary" size="wide" className="payment-button" busy={isBusy}>
            {labelOf(flow.state, checkout)}
          </Button>
        </div>
      </div>
      {flow.message !== opening && <PaymentMessage flow={flow} />}
    </form>
  );
}

function labelOf(state: UseCheckout["state"], { amountDueToday, currency }: Checkout): string {
  if (state === "confirming") return "Paying …";
  if (state === "checking") return "Checking your payment …";
  return amountDueToday > 0 ? `Pay ${formatMoney(amountDueToday, currency)}` : "Start subscription";
}

/** The Pay button is the way to try again. Only other ways forward need a button of their own. */
function PaymentMessage({ flow }: { flow: UseCheckout }) {
  const { message, edit, startOver } = flow;
  if (!message) return null;
  const action = {
    edit_details: <Button onClick={edit}>Edit details</Button>,
    start_over: <Button onClick={startOver}>Begin again</Button>,
    view_confirmation: <Button onClick={() => navigate("/order-confirmation")}>See the confirmation</Button>,
  }[message.action as string];
  return <MessageAlert message={message} actions={action} />;
}

function NotLoaded({ onRetry }: { onRetry(): void }) {
  const retry = () => {
    onRetry();
    focusHeading();
  };
  return (
    <Alert tone="bad" title="The payment form did not load" focus actions={<Button onClick={retry}>Try again</Button>}>
      <p className="alert-text">
        You have not been charged. Check your connection; a blocker of scripts may be in the way, too.
      </p>
    </Alert>
  );
}

function ElementsLoading() {
  return (
    <div className="payment-loading">
      <Loading what="the payment form" />
      <span className="skeleton" />
      <span className="skeleton" />
      <span className="skeleton" />
      <span className="skeleton" />
    </div>
  );
}
