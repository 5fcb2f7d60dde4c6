/** Small pieces that every page uses. */

import type { ReactNode } from "react";
import { formatMoney } from "../money";

export function Money({ amount, currency }: { amount: number; currency: string }) {
  return <span className="amount">{formatMoney(amount, currency)}</span>;
}

/** Place of something that is loading. The class gives it the size of what will come. */
export function Skeleton({ className = "" }: { className?: string }) {
  return <span className={`skeleton ${className}`} aria-hidden="true" />;
}

/** Text for screen readers while skeletons are shown. */
export function Loading({ what }: { what: string }) {
  return (
    <p className="visually-hidden" role="status">
      Loading {what} …
    </p>
  );
}

export function EmptyState({ title, children, action }: { title: string; children?: ReactNode; action?: ReactNode }) {
  return (
    <div className="empty">
      <h2>{title}</h2>
      {children && <p className="soft">{children}</p>}
      {action}
    </div>
  );
}

export function StatusBadge({
  tone,
  children,
}: {
  tone: "ok" | "warn" | "bad" | "info" | "none";
  children: ReactNode;
}) {
  return <span className={tone === "none" ? "badge" : `badge badge-${tone}`}>{children}</span>;
}

export interface Sum {
  label: ReactNode;
  amount: number;
  currency: string;
  suffix?: string;
  total?: boolean;
}

/** List of sums, the last of them usually a total. */
export function Sums({ sums }: { sums: Sum[] }) {
  return (
    <dl className="sums">
      {sums.map(({ label, amount, currency, suffix, total }, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the list is static
        <div key={index} className={total ? "sums-total" : undefined}>
          <dt>{label}</dt>
          <dd>
            <Money amount={amount} currency={currency} /> {suffix}
          </dd>
        </div>
      ))}
    </dl>
  );
}
