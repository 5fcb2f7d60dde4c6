/** Storage of the checkout's id in `sessionStorage`: the id alone, under one key. */

const KEY = "checkoutAttemptId";

/** Return the stored id. A browser that refuses storage has none. */
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
