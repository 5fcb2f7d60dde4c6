/** The demo's signed-in user. A real shop hands over the token of its own sign-in. */

const KEY = "demo-token";

export function token(): string | undefined {
  return localStorage.getItem(KEY) ?? undefined;
}

export function keepToken(value: string | undefined): void {
  if (value) localStorage.setItem(KEY, value);
  else localStorage.removeItem(KEY);
}
