import type { Checkout, ShippingOption } from "@holdfast/checkout";
import { Art } from "../Art";
import { openCart } from "../CartDialog";
import type { PricedLine } from "../cart";
import { Button } from "../components/Button";
import { Money } from "../components/small";
import { TotalSums } from "../components/TotalSums";
import { formatInterval } from "../money";
import type { Totals } from "../totals";

interface SummaryProps {
  lines: PricedLine[];
  totals: Totals;
  shipping: ShippingOption | undefined;
  /** The checkout that was begun: its sums are those that are paid. */
  checkout: Checkout | null;
  canChange: boolean;
}

export function Summary({ lines, totals, shipping, checkout, canChange }: SummaryProps) {
  const shown = checkout ? { ...totals, dueToday: checkout.amountDueToday, recurring: checkout.recurring } : totals;
  return (
    <aside className="card summary" aria-labelledby="summary-title">
      <div className="spread">
        <h2 id="summary-title">Your order</h2>
        {canChange && (
          <Button variant="quiet" size="small" onClick={openCart}>
            Change
          </Button>
        )}
      </div>
      <ul className="summary-lines">
        {lines.map(({ item, quantity }) => (
          <li key={item.priceId}>
            <Art item={item} />
            <div>
              <p className="summary-name">{item.name}</p>
              <p className="small soft">
                {quantity} × <Money amount={item.unitAmount} currency={item.currency} />{" "}
                {item.recurring && formatInterval(item.recurring)}
              </p>
            </div>
            <Money amount={item.unitAmount * quantity} currency={item.currency} />
          </li>
        ))}
      </ul>
      <TotalSums totals={shown} lines={lines} shippingName={shipping?.name} />
    </aside>
  );
}
