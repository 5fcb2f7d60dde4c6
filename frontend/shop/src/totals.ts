/** Sums of a cart as the gateway will compute them. Its answer decides; these are shown until it comes. */

import type { CatalogueItem, Checkout, ShippingOption } from "@holdfast/checkout";
import type { PricedLine } from "./cart";

export type RecurringSum = Checkout["recurring"][number];

export interface Totals {
  currency: string;
  items: number;
  shipping: number;
  /** One-time lines, shipping, and first charges of subscriptions without a trial. */
  dueToday: number;
  recurring: RecurringSum[];
}

/** Sums of the lines, or null for an empty cart. A catalogue has one currency. */
export function totalsOf(lines: PricedLine[], shipping?: ShippingOption): Totals | null {
  const first = lines[0];
  if (!first) return null;
  const recurring = recurringSums(lines);
  const items = sum(lines.filter(({ item }) => !item.recurring));
  const firstCharges = recurring.filter(({ trialDays }) => !trialDays).reduce((total, { amount }) => total + amount, 0);
  const shippingAmount = shipping?.amount ?? 0;
  return {
    currency: first.item.currency,
    items,
    shipping: shippingAmount,
    dueToday: items + shippingAmount + firstCharges,
    recurring,
  };
}

function sum(lines: PricedLine[]): number {
  return lines.reduce((total, { item, quantity }) => total + item.unitAmount * quantity, 0);
}

function recurringSums(lines: PricedLine[]): RecurringSum[] {
  const groups = new Map<string, RecurringSum>();
  for (const { item, quantity } of lines) {
    if (!item.recurring) continue;
    const key = intervalKey(item.recurring);
    const group = groups.get(key) ?? { ...item.recurring, amount: 0, currency: item.currency };
    groups.set(key, { ...group, amount: group.amount + item.unitAmount * quantity });
  }
  return [...groups.values()];
}

function intervalKey({ interval, intervalCount, trialDays }: NonNullable<CatalogueItem["recurring"]>): string {
  return `${intervalCount} ${interval} ${trialDays}`;
}

/** Needs an address: something is sent once. Subscriptions alone may go without, as the gateway allows. */
export function needsShipping(lines: PricedLine[]): boolean {
  return lines.some(({ item }) => !item.recurring);
}
