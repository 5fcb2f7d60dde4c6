/** Amounts in Stripe's minor units, and dates, as text of the buyer's locale. */

/**
 * Decimals of Stripe's amounts where they are not two. ISK and UGX have two here although nothing is priced in their
 * hundredths, so that Stripe's rule decides the sum and Intl only how it looks.
 * Source: https://docs.stripe.com/currencies#minor-units
 */
const DECIMALS: Record<string, number> = {
  ...Object.fromEntries("bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf".split(" ").map((c) => [c, 0])),
  ...Object.fromEntries("bhd jod kwd omr tnd".split(" ").map((c) => [c, 3])),
};

export function formatMoney(minorUnits: number, currency: string, locale?: string): string {
  const style = { style: "currency", currency } as const;
  const decimals = DECIMALS[currency.toLowerCase()] ?? 2;
  const usual = new Intl.NumberFormat(locale, style).resolvedOptions().maximumFractionDigits ?? decimals;
  const isWhole = minorUnits % 10 ** decimals === 0;
  return new Intl.NumberFormat(locale, {
    ...style,
    minimumFractionDigits: isWhole ? Math.min(usual, decimals) : decimals,
    maximumFractionDigits: decimals,
  }).format(minorUnits / 10 ** decimals);
}

export interface Terms {
  interval: string;
  intervalCount: number;
  trialDays?: number;
}

/** Billing interval as text: "per month", "every 3 weeks". */
export function formatInterval({ interval, intervalCount }: Terms): string {
  return intervalCount === 1 ? `per ${interval}` : `every ${intervalCount} ${interval}s`;
}

export function formatDate(iso: string, locale?: string): string {
  return new Intl.DateTimeFormat(locale, { dateStyle: "long" }).format(new Date(iso));
}

export function formatDateTime(iso: string, locale?: string): string {
  return new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" }).format(new Date(iso));
}
