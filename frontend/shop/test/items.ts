import type { CatalogueItem } from "@holdfast/checkout";

/** Item of a catalogue. */
export function itemOf(priceId: string, unitAmount: number, recurring?: CatalogueItem["recurring"]): CatalogueItem {
  return {
    priceId,
    productId: `prod_${priceId}`,
    name: `Name of ${priceId}`,
    description: null,
    unitAmount,
    currency: "usd",
    type: recurring ? "recurring" : "one_time",
    ...(recurring && { recurring }),
  };
}

export const MONTHLY = { interval: "month", intervalCount: 1, trialDays: 0 } as const;
