/** The demo's signed-in user. A real shop hands over the token of its own sign-in. */

import { useSyncExternalStore } from "react";

const KEY = "demo-token";

/** expired: the gateway refused the token, and the buyer is a guest until the next sign-in. */
export type Session = "guest" | "signed_in" | "expired";

const listeners = new Set<() => void>();
let expired = false;

/** The token. A browser that refuses storage has none. */
export function token(): string | undefined {
  try {
    return localStorage.getItem(KEY) ?? undefined;
  } catch {
    return undefined;
  }
}

export function keepToken(value: string | undefined): void {
  store(value);
  expired = false;
  notify();
}

function store(value: string | undefined): void {
  try {
    if (value) localStorage.setItem(KEY, value);
    else localStorage.removeItem(KEY);
  } catch {
    // The buyer stays a guest.
  }
}

/** Sign in as one of the demo's customers. The address comes from `/api/config`. */
export async function signIn(demoSignInUrl: string, user = "ada"): Promise<void> {
  const response = await fetch(demoSignInUrl, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ user }),
  });
  if (!response.ok) throw new Error(`sign-in was answered ${response.status}`);
  keepToken(((await response.json()) as { token: string }).token);
}

/** `fetch` that forgets the token that it was given, once the gateway refuses it. */
export async function fetchInSession(input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
  const response = await fetch(input, init);
  const sent = new Headers(init?.headers).get("Authorization");
  // The buyer may have signed in again meanwhile: only the refused token is forgotten.
  if (response.status === 401 && sent && sent === `Bearer ${token()}`) {
    store(undefined);
    expired = true;
    notify();
  }
  return response;
}

/** The session, in every tab. */
export function useSession(): Session {
  return useSyncExternalStore(subscribe, session);
}

/** Identity of the session, in every tab. Each sign-in has its own, so that nobody sees what another one loaded. */
export function useIdentity(): string {
  return useSyncExternalStore(subscribe, () => token() ?? session());
}

function session(): Session {
  if (token()) return "signed_in";
  return expired ? "expired" : "guest";
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  window.addEventListener("storage", listener);
  return () => {
    listeners.delete(listener);
    window.removeEventListener("storage", listener);
  };
}

function notify(): void {
  for (const listener of listeners) listener();
}
