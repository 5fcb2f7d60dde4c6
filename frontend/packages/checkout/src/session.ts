/**
 * Storage of checkouts' ids: in `sessionStorage` the one that this tab shows, in `localStorage` the unfinished one of the
 * browser.
 *
 * A checkout is unfinished until its confirmation is shown. Tabs share the cart and may be closed while they pay, so each
 * next checkout replaces the unfinished one, or finds it paid.
 */

const KEY = "checkoutAttemptId";
/** The gateway knows a finished checkout for 35 days. */
const KNOWN_FOR_MS = 30 * 24 * 3_600_000;

/** Return the id that this tab shows. A browser that refuses storage has none. */
export function storedAttemptId(): string | null {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null;
  }
}

export function storeAttemptId(id: string): void {
  try {
    sessionStorage.setItem(KEY, id);
  } catch {
    // The id is in the confirmation page's address too.
  }
}

export function forgetAttemptId(): void {
  try {
    sessionStorage.removeItem(KEY);
  } catch {
    // Nothing was stored.
  }
}

export interface Unfinished {
  id: string;
  /** True if the gateway may have forgotten it, paid or not. */
  isOld: boolean;
}

/** The unfinished checkout of this page, where the browser refuses to store it. */
let refused: Unfinished | null = null;

/** Return what `sessionStorage` has, which has room of its own, where `localStorage` is full. */
function unfinishedOfTab(): Unfinished | null {
  const id = storedAttemptId();
  if (!id) return null;
  const trial = `${KEY}-trial`;
  try {
    localStorage.setItem(trial, id + id);
    localStorage.removeItem(trial);
    return null;
  } catch {
    return { id, isOld: false };
  }
}

/** Return the checkout that was begun last in this browser, unless its confirmation was shown. */
export function unfinishedCheckout(): Unfinished | null {
  try {
    const { id, begunAt } = JSON.parse(localStorage.getItem(KEY) ?? "{}") ?? {};
    if (typeof id === "string") return { id, isOld: !(Date.now() - begunAt < KNOWN_FOR_MS) };
  } catch {
    // The browser refuses, or somebody else has written there.
  }
  return refused ?? unfinishedOfTab();
}

export function keepUnfinished(id: string): void {
  try {
    localStorage.setItem(KEY, JSON.stringify({ id, begunAt: Date.now() }));
    refused = null;
  } catch {
    refused = { id, isOld: false };
    forgetUnfinished();
  }
}

/** Note that a checkout is finished. Another one may have been begun since. */
export function finishCheckout(id: string): void {
  if (unfinishedCheckout()?.id !== id) return;
  refused = null;
  forgetUnfinished();
}

function forgetUnfinished(): void {
  try {
    localStorage.removeItem(KEY);
  } catch {
    // Nothing was stored.
  }
}
