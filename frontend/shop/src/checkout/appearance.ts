/** Look of Stripe's elements, from the tokens of the page. */

import type { Appearance } from "@stripe/stripe-js";
import { useMemo, useSyncExternalStore } from "react";

const dark = matchMedia("(prefers-color-scheme: dark)");

function subscribe(listener: () => void): () => void {
  dark.addEventListener("change", listener);
  return () => dark.removeEventListener("change", listener);
}

function readAppearance(isDark: boolean): Appearance {
  const style = getComputedStyle(document.documentElement);
  const token = (name: string) => style.getPropertyValue(name).trim();
  return {
    theme: isDark ? "night" : "stripe",
    variables: {
      colorPrimary: token("--edge"),
      colorBackground: token("--surface"),
      colorText: token("--ink"),
      colorTextSecondary: token("--ink-soft"),
      colorTextPlaceholder: token("--ink-soft"),
      colorDanger: token("--bad"),
      fontFamily: token("--font"),
      borderRadius: "8px",
    },
  };
}

/** Appearance in the buyer's colour scheme; it follows when that changes. */
export function useAppearance(): Appearance {
  const isDark = useSyncExternalStore(subscribe, () => dark.matches);
  return useMemo(() => readAppearance(isDark), [isDark]);
}
