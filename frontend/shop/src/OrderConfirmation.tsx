import type { Purchase } from "@holdfast/checkout";
import { type UseOrderConfirmation, useOrderConfirmation } from "@holdfast/checkout/react";
import { type ReactNode, useEffect, useState } from "react";
import { type CartLine, cart } from "./cart";
import { client } from "./client";
import { Button } from "./components/Button";
import { StatusBadge } from "./components/small";
import { PurchaseReceipt, ReceiptSkeleton } from "./OrderConfirmationReceipt";
import { Link, Page, useSearch } from "./router";
import { SignInAction } from "./SignIn";
import { type Session, useIdentity, useSession } from "./session";
import "./styles/confirmation.css";

/** Outcome of a checkout, with a way forward from each of its states. */
export default function OrderConfirmation() {
  const session = useSession();
  // Whoever signs in may see more or less, and back and forward may lead to another confirmation: it is looked up anew.
  const checkout = new URLSearchParams(useSearch()).get("checkout");
  return <Confirmation key={`${useIdentity()} ${checkout}`} session={session} />;
}

function Confirmation({ session }: { session: Session }) {
  const [isPlaced, setPlaced] = useState(false);
  const confirmation = useOrderConfirmation({ client, onPlaced: () => setPlaced(true) });
  const { state, checkoutAttemptId, purchase, message, refresh } = confirmation;
  // biome-ignore lint/correctness/useExhaustiveDependencies: once, with what is known then
  useEffect(() => {
    if (isPlaced) cart.bought(checkoutAttemptId, purchase ? linesOf(purchase) : undefined);
  }, [isPlaced]);
  const isToOrderAgain = state === "payment_failed" && !cart.isOf(checkoutAttemptId);
  const isJustNow = useIsJustNow(state);
  const title = message?.title ?? "One moment";
  const told = isToOrderAgain ? ORDER_AGAIN : message?.text;
  const text = isJustNow ? JUST_NOW[state] : (told ?? JUST_NOW[state]);
  return (
    <Page
      narrow
      title={title}
      lead={
        <span role="status">
          <span className="visually-hidden">{title}. </span>
          {text}
        </span>
      }
    >
      <div key={state} className="stack confirmation" data-state={state} aria-busy={state === "loading"}>
        {message && !purchase && state !== "not_found" && <MoneyBadge money={message.money} />}
        {state === "loading" && <ReceiptSkeleton />}
        {purchase && <PurchaseReceipt purchase={purchase} lookAgain={refresh} />}
        <div className="row no-print">
          {isToOrderAgain ? <MainLink to="/">Go to the shop</MainLink> : waysForward(confirmation, session)}
        </div>
        {REFERENCED.has(state) && checkoutAttemptId && (
          <p className="soft small">
            Reference for the shop: <span className="reference">{checkoutAttemptId.slice(0, 8)}</span>
          </p>
        )}
      </div>
    </Page>
  );
}

/** Text of a debit that the bank refused after its lines were taken out of the cart. */
const ORDER_AGAIN =
  "Your bank did not carry out the payment, so nothing was ordered. You have not been charged. If you still want it, order it again in the shop.";

function linesOf({ order, subscriptions }: Purchase): CartLine[] {
  return [...(order?.items ?? []), ...subscriptions.flatMap(({ boughtItems }) => boughtItems)];
}

type State = UseOrderConfirmation["state"];

/** Texts for the first seconds of states that are usually over soon. */
const JUST_NOW: Partial<Record<State, string>> = {
  loading: "We are looking up your order.",
  processing: "We are confirming it with your bank. This usually takes a few seconds. Do not pay again.",
};
const JUST_NOW_MS = 10_000;

function useIsJustNow(state: State): boolean {
  const [settled, setSettled] = useState<State | null>(null);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(state), JUST_NOW_MS);
    return () => clearTimeout(timer);
  }, [state]);
  return state in JUST_NOW && settled !== state;
}

/** States about which a buyer may want to ask the shop, whose logs have the first characters of the id. */
const REFERENCED: ReadonlySet<State> = new Set(["processing", "needs_review", "unavailable"]);

const MONEY = {
  charged: <StatusBadge tone="ok">Payment received</StatusBadge>,
  pending: <StatusBadge tone="warn">Payment under way</StatusBadge>,
  not_charged: <StatusBadge tone="none">Not charged</StatusBadge>,
};

function MoneyBadge({ money }: { money: keyof typeof MONEY }) {
  return <p>{MONEY[money]}</p>;
}

function waysForward({ state, purchase, refresh }: UseOrderConfirmation, session: Session): ReactNode {
  switch (state) {
    case "loading":
      return null;
    case "completed":
      return (
        <>
          {session === "signed_in" && purchase?.order && <PageLink to="/orders">See your orders</PageLink>}
          {session === "signed_in" && purchase?.subscriptions.length !== 0 && (
            <PageLink to="/subscriptions">See your subscriptions</PageLink>
          )}
          <PageLink to="/">Continue shopping</PageLink>
          <Button onClick={() => print()}>Print</Button>
        </>
      );
    case "processing":
      return (
        <>
          <Button onClick={refresh}>Check now</Button>
          <PageLink to="/">Continue shopping</PageLink>
        </>
      );
    case "needs_review":
      return <PageLink to="/">Continue shopping</PageLink>;
    case "open":
    case "requires_action":
    case "payment_failed":
      return <MainLink to="/checkout">Back to checkout</MainLink>;
    case "expired":
      return <MainLink to="/checkout">Check out again</MainLink>;
    case "superseded":
      return <MainLink to="/checkout">Go to your newer checkout</MainLink>;
    case "not_found":
      return (
        <>
          {session === "signed_in" ? <MainLink to="/orders">See your orders</MainLink> : <SignInAction />}
          <PageLink to="/">Go to the shop</PageLink>
        </>
      );
    case "unavailable":
      return (
        <Button variant="primary" onClick={refresh}>
          Try again
        </Button>
      );
  }
}

function MainLink(props: { to: string; children: ReactNode }) {
  return <Link className="button button-primary" {...props} />;
}

function PageLink(props: { to: string; children: ReactNode }) {
  return <Link className="button button-secondary" {...props} />;
}
