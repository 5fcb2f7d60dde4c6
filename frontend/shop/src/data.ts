/** Config and catalogue: loaded once, shared by all pages, and asked again after a failure. */

import type { Catalogue, Config } from "@holdfast/checkout";
import { useEffect, useSyncExternalStore } from "react";
import { client } from "./client";

export interface Loaded<T> {
  data: T | null;
  failed: boolean;
  reload(): void;
}

/** `read` is told if it is asked again: then a cached answer may be what was wrong. */
function createResource<T>(read: (again: boolean) => Promise<T>): () => Loaded<T> {
  let current: Loaded<T>;
  let loading = false;
  const listeners = new Set<() => void>();
  const set = (next: Partial<Loaded<T>>) => {
    current = { ...current, ...next };
    for (const listener of listeners) listener();
  };
  const reload = () => {
    if (loading) return;
    loading = true;
    const again = current.data !== null || current.failed;
    set({ failed: false });
    read(again)
      .then(
        (data) => set({ data, failed: false }),
        () => set({ failed: true }),
      )
      .finally(() => {
        loading = false;
      });
  };
  current = { data: null, failed: false, reload };
  const subscribe = (listener: () => void) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  };
  return () => {
    const state = useSyncExternalStore(subscribe, () => current);
    useEffect(() => {
      if (!current.data && !current.failed) reload();
      const retry = () => current.failed && reload();
      addEventListener("online", retry);
      return () => removeEventListener("online", retry);
    }, []);
    return state;
  };
}

export const useConfig: () => Loaded<Config> = createResource(() => client.config());
const names = new Map<string, string>();

export const useCatalogue: () => Loaded<Catalogue> = createResource(async (again) => {
  const catalogue = await client.catalogue({ fresh: again });
  for (const { priceId, name } of catalogue.items) names.set(priceId, name);
  return catalogue;
});

/** Name of a price that was on sale when the catalogue was last loaded on this page, also if it is gone now. */
export function knownName(priceId: string): string | undefined {
  return names.get(priceId);
}

/** True with Stripe's test keys: no money moves, so the checkout is filled in and the footer says so. */
export function isTestMode(config: Config | null): boolean {
  return config?.publishableKey.startsWith("pk_test_") ?? false;
}
