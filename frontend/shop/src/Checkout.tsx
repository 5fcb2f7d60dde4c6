/** Checkout in two steps: details, which begin a checkout, and its payment. */

import type { Catalogue } from "@holdfast/checkout";
import { type UseCheckout, useCheckout } from "@holdfast/checkout/react";
import { useEffect, useRef, useState } from "react";
import { GoneNotice } from "./CartDialog";
import { type CartLine, cart, priceLines, useCart } from "./cart";
import { countryName } from "./checkout/countries";
import { DetailsStep } from "./checkout/DetailsStep";
import { type Choices, type Details, emptyDetails, TEST_DETAILS } from "./checkout/details";
import { Summary } from "./checkout/Summary";
import { useSessionChange } from "./checkout/useSessionChange";
import { client } from "./client";
import { Alert, MessageAlert } from "./components/Alert";
import { Button } from "./components/Button";
import { EmptyState, Loading, Skeleton } from "./components/small";
import { isTestMode, useCatalogue, useConfig } from "./data";
import { Link, navigate, Page } from "./router";
import { StripeCheckoutForm } from "./StripeCheckoutForm";
import { needsShipping, totalsOf } from "./totals";
import "./styles/checkout.css";

export default function Checkout() {
  const catalogue = useCatalogue();
  const config = useConfig();
  const retry = () => {
    catalogue.reload();
    config.reload();
  };
  return (
    <Page title="Checkout">
      {catalogue.data && config.data ? (
        <Steps catalogue={catalogue.data} reload={catalogue.reload} isTest={isTestMode(config.data)} />
      ) : catalogue.failed || config.failed ? (
        <Alert tone="bad" title="The checkout did not load" actions={<Button onClick={retry}>Try again</Button>}>
          <p className="alert-text">Your cart is kept. If you paid already, your payment is safe: do not pay again.</p>
        </Alert>
      ) : (
        <StepsLoading />
      )}
    </Page>
  );
}

interface StepsProps {
  catalogue: Catalogue;
  reload(): void;
  isTest: boolean;
}

function Steps({ catalogue: newest, reload, isTest }: StepsProps) {
  const flow = useCheckout({
    client,
    returnUrl: `${location.origin}/order-confirmation`,
    // Back leads to the shop then, not to a checkout that is paid.
    onPlaced: (_id, _intentId, url) => navigate(url, { replace: true }),
  });
  const { lines, catalogue } = useShown({ lines: useCart(), catalogue: newest }, UNDER_WAY.includes(flow.state));
  const options = [...catalogue.shippingOptions].sort((a, b) => a.amount - b.amount);
  const [details, setDetails] = useState<Details>(() => (isTest ? TEST_DETAILS : emptyDetails()));
  const [choices, setChoices] = useState<Choices>({ withAddress: true, shippingOptionId: undefined });
  const { priced, gone } = priceLines(lines, catalogue);
  const hasChanged = useCartChange(flow, JSON.stringify(priced.map(({ item, quantity }) => [item.priceId, quantity])));
  useFreshPrices(flow, reload);
  useSessionChange(flow);

  const isPaying = flow.state === "payable" || UNDER_WAY.includes(flow.state);
  const [hasBegun, setBegun] = useState(false);
  if (isPaying && !hasBegun) setBegun(true);
  const isSent = needsShipping(priced);
  const shipping = isSent ? (options.find(({ id }) => id === choices.shippingOptionId) ?? options[0]) : undefined;
  const totals = totalsOf(priced, shipping);

  if (flow.state === "placed") return <Placed flow={flow} />;
  if (!totals) return <NothingToPay goneIds={gone.map(({ priceId }) => priceId)} />;
  return (
    <div className="checkout">
      <div className="stack checkout-steps">
        <GoneNotice priceIds={gone.map(({ priceId }) => priceId)} />
        {hasChanged && (
          <Alert tone="warn" title="Your cart has changed">
            <p className="alert-text">You have not been charged. Continue to payment for the new sum.</p>
          </Alert>
        )}
        <Progress isPaying={isPaying} />
        {isPaying && flow.checkout ? (
          <PaymentStep flow={flow} details={details} choices={choices} />
        ) : (
          <DetailsStep
            flow={flow}
            lines={priced}
            options={isSent ? options : []}
            dueToday={totals.dueToday}
            details={details}
            onDetails={setDetails}
            choices={{ ...choices, shippingOptionId: shipping?.id }}
            onChoices={setChoices}
            isReturn={hasBegun}
          />
        )}
      </div>
      <Summary
        lines={priced}
        totals={totals}
        shipping={shipping}
        checkout={isPaying ? flow.checkout : null}
        canChange={flow.state === "editing" || flow.state === "payable"}
      />
    </div>
  );
}

const UNDER_WAY: UseCheckout["state"][] = ["confirming", "checking"];

interface Shown {
  lines: CartLine[];
  catalogue: Catalogue;
}

/** Cart and catalogue to show. While the payment is under way they stay, whatever happens to the cart in another tab. */
function useShown(newest: Shown, isUnderWay: boolean): Shown {
  const [shown, setShown] = useState(newest);
  if (isUnderWay || (shown.lines === newest.lines && shown.catalogue === newest.catalogue)) return shown;
  setShown(newest);
  return newest;
}

/** Go back to the details when the cart changes, here or in another tab: the checkout is for the cart as it was. */
function useCartChange({ state, checkout, edit }: UseCheckout, lines: string): boolean {
  const begun = useRef(lines);
  const noted = useRef<string>(null);
  const [hasChanged, setChanged] = useState(false);
  useEffect(() => {
    if (state === "editing" || state === "resuming") begun.current = lines;
    if (state === "beginning") setChanged(false);
    if (state !== "payable" || !checkout) return;
    if (begun.current !== lines) {
      edit();
      setChanged(true);
    } else if (noted.current !== checkout.checkoutAttemptId) {
      // Once: after a decline another tab may have begun the next one.
      noted.current = checkout.checkoutAttemptId;
      cart.begun(checkout.checkoutAttemptId);
    }
  }, [state, checkout, lines, edit]);
  return hasChanged;
}

const OUTDATED = ["price_changed", "item_gone", "cart_not_for_sale"];

/** Load the catalogue again when the gateway sells something else than what is shown. */
function useFreshPrices({ message }: UseCheckout, reload: () => void): void {
  const kind = message?.kind;
  useEffect(() => {
    if (kind && OUTDATED.includes(kind)) reload();
  }, [kind, reload]);
}

function Progress({ isPaying }: { isPaying: boolean }) {
  return (
    <ol className="progress" aria-label="Steps">
      <li aria-current={isPaying ? undefined : "step"}>Details</li>
      <li aria-current={isPaying ? "step" : undefined}>Payment</li>
    </ol>
  );
}

function PaymentStep({ flow, details, choices }: { flow: UseCheckout; details: Details; choices: Choices }) {
  const heading = useRef<HTMLHeadingElement>(null);
  // A message takes the focus itself.
  // biome-ignore lint/correctness/useExhaustiveDependencies: only when the step appears
  useEffect(() => {
    if (!flow.message) heading.current?.focus();
  }, []);
  const { name, email, line1, city, country } = details;
  return (
    <>
      <section className="card entered" aria-label="Your details">
        <p>
          {name}, {email}
        </p>
        {choices.withAddress && (
          <p className="soft">{[line1, city, countryName(country, navigator.language)].join(", ")}</p>
        )}
        <Button variant="quiet" size="small" aria-disabled={flow.state !== "payable"} onClick={flow.edit}>
          Edit details
        </Button>
      </section>
      <section className="card stack" aria-labelledby="payment-title">
        <h2 id="payment-title" ref={heading} tabIndex={-1}>
          Payment
        </h2>
        {flow.checkout && <StripeCheckoutForm checkout={flow.checkout} flow={flow} />}
      </section>
    </>
  );
}

/** Paid already, here or in another tab: no way to pay it again, and the ways on. */
function Placed({ flow: { message, confirmationUrl, startOver } }: { flow: UseCheckout }) {
  useCart();
  if (!message) return <Loading what="your confirmation" />;
  const placedId = confirmationUrl && new URL(confirmationUrl, location.href).searchParams.get("checkout");
  const goOn = () => {
    cart.bought(placedId);
    startOver();
  };
  return (
    <MessageAlert
      message={message}
      actions={
        <>
          <Link className="button button-primary" to={confirmationUrl ?? "/order-confirmation"}>
            See the confirmation
          </Link>
          {cart.hasMoreThan(placedId) ? (
            <Button onClick={goOn}>Buy what is in the cart</Button>
          ) : (
            <Button
              onClick={() => {
                goOn();
                navigate("/");
              }}
            >
              Shop for something else
            </Button>
          )}
        </>
      }
    />
  );
}

function NothingToPay({ goneIds }: { goneIds: string[] }) {
  return (
    <div className="stack">
      <GoneNotice priceIds={goneIds} />
      <EmptyState
        title="Your cart is empty"
        action={
          <Link className="button button-primary" to="/">
            See what is on sale
          </Link>
        }
      >
        There is nothing to pay.
      </EmptyState>
    </div>
  );
}

function StepsLoading() {
  return (
    <div className="checkout">
      <Loading what="the checkout" />
      <div className="stack checkout-steps">
        <Skeleton className="skeleton-form" />
      </div>
      <Skeleton className="skeleton-summary" />
    </div>
  );
}
