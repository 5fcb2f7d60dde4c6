import type { PricedLine } from "../cart";
import { formatInterval } from "../money";
import { needsShipping, type RecurringSum, type Totals } from "../totals";
import { Money, type Sum, Sums } from "./small";

interface TotalSumsProps {
  totals: Totals;
  lines: PricedLine[];
  shippingName?: string | undefined;
}

/** Sum that is due today, and those that come again. */
export function TotalSums({ totals, lines, shippingName }: TotalSumsProps) {
  const { currency, items, shipping, dueToday, recurring } = totals;
  const sums: Sum[] = [];
  if (needsShipping(lines)) sums.push({ label: "Things to keep", amount: items, currency });
  for (const each of recurring.filter(({ trialDays }) => !trialDays)) {
    sums.push({ label: `First payment, ${formatInterval(each)}`, amount: each.amount, currency });
  }
  if (shippingName) sums.push({ label: `${shippingName} shipping`, amount: shipping, currency });
  sums.push({ label: "Due today", amount: dueToday, currency, total: true });
  return (
    <div className="stack-s">
      <Sums sums={sums} />
      {recurring.map((each) => (
        <p key={`${each.interval} ${each.intervalCount} ${each.trialDays}`} className="small soft">
          <RecurringText sum={each} />
        </p>
      ))}
    </div>
  );
}

/** "Then $14.00 per month", or when a trial ends. */
export function RecurringText({ sum }: { sum: RecurringSum }) {
  return (
    <>
      {sum.trialDays > 0 ? `After ${sum.trialDays} free days ` : "Then "}
      <Money amount={sum.amount} currency={sum.currency} /> {formatInterval(sum)}, until you cancel.
    </>
  );
}
