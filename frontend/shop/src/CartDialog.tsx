/** The cart, over whichever page is open. */

import { useEffect, useRef } from "react";
import { Art } from "./Art";
import { cart, countItems, type PricedLine, priceLines, useCart } from "./cart";
import { Alert } from "./components/Alert";
import { Button } from "./components/Button";
import { Quantity } from "./components/Quantity";
import { Loading, Money } from "./components/small";
import { TotalSums } from "./components/TotalSums";
import { knownName, useCatalogue } from "./data";
import { formatInterval } from "./money";
import { navigate, usePath } from "./router";
import { needsShipping, totalsOf } from "./totals";

const ID = "cart";
const TITLE_ID = "cart-title";

export function openCart(): void {
  (document.getElementById(ID) as HTMLDialogElement | null)?.showModal();
}

/** For buttons that go away when they are pressed. */
function focusTitle(): void {
  document.getElementById(TITLE_ID)?.focus();
}

export function CartDialog() {
  const dialog = useRef<HTMLDialogElement>(null);
  const path = usePath();
  const close = () => dialog.current?.close();
  // biome-ignore lint/correctness/useExhaustiveDependencies: the cart closes when the page changes
  useEffect(close, [path]);
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape closes a dialog by itself
    <dialog
      ref={dialog}
      id={ID}
      className="cart"
      aria-labelledby={TITLE_ID}
      onClick={(event) => event.target === dialog.current && close()}
    >
      <div className="cart-body">
        <div className="cart-head">
          <h2 id={TITLE_ID} tabIndex={-1}>
            Your cart
          </h2>
          <Button variant="quiet" onClick={close}>
            Close
          </Button>
        </div>
        <Contents onLeave={close} />
      </div>
    </dialog>
  );
}

function Contents({ onLeave }: { onLeave(): void }) {
  const lines = useCart();
  const { data, failed, reload } = useCatalogue();
  const leave = (to: string) => {
    onLeave();
    navigate(to);
  };
  if (lines.length === 0) {
    return (
      <div className="stack">
        <p className="soft">It is empty. Whatever you add stays here, also after you close the shop.</p>
        <Button onClick={() => leave("/")}>See what is on sale</Button>
      </div>
    );
  }
  if (failed) {
    return (
      <Alert tone="bad" title="The prices did not load" actions={<Button onClick={reload}>Try again</Button>}>
        <p className="alert-text">Your cart is kept.</p>
      </Alert>
    );
  }
  if (!data) return <Loading what="the prices" />;
  const { priced, gone } = priceLines(lines, data);
  const totals = totalsOf(priced);
  return (
    <>
      <GoneNotice priceIds={gone.map((line) => line.priceId)} />
      <ul className="cart-lines">
        {priced.map((line) => (
          <CartLine key={line.item.priceId} {...line} />
        ))}
      </ul>
      {totals && (
        <div className="cart-foot">
          <TotalSums totals={totals} lines={priced} />
          {needsShipping(priced) && <p className="small soft">Shipping is added at the checkout.</p>}
          <Button variant="primary" size="wide" onClick={() => leave("/checkout")}>
            Checkout · {countItems(priced)} {countItems(priced) === 1 ? "item" : "items"}
          </Button>
        </div>
      )}
    </>
  );
}

function CartLine({ item, quantity }: PricedLine) {
  return (
    <li className="cart-line">
      <Art item={item} />
      <div className="stack-s">
        <h3>{item.name}</h3>
        <p className="small soft">
          <Money amount={item.unitAmount} currency={item.currency} />{" "}
          {item.recurring ? formatInterval(item.recurring) : "each"}
        </p>
        <div className="row">
          <Quantity of={item.name} value={quantity} onChange={(value) => cart.set(item.priceId, value)} />
          <Button
            variant="quiet"
            size="small"
            aria-label={`Remove ${item.name}`}
            onClick={() => {
              cart.remove([item.priceId]);
              focusTitle();
            }}
          >
            Remove
          </Button>
        </div>
      </div>
      <p className="cart-line-sum">
        <Money amount={item.unitAmount * quantity} currency={item.currency} />
      </p>
    </li>
  );
}

/** Lines that are not on sale any more stay out of every sum, and are named until the buyer has seen it. */
export function GoneNotice({ priceIds }: { priceIds: string[] }) {
  if (priceIds.length === 0) return null;
  const named = priceIds.map(knownName).filter((name) => name !== undefined);
  const title = named.length === priceIds.length ? named.join(", ") : `${priceIds.length} of the things in your cart`;
  return (
    <Alert
      tone="warn"
      title={`No longer on sale: ${title}`}
      actions={
        <Button size="small" onClick={() => cart.remove(priceIds)}>
          Take it out
        </Button>
      }
    >
      <p className="alert-text">It is not part of the sum, and you will not be charged for it.</p>
    </Alert>
  );
}
