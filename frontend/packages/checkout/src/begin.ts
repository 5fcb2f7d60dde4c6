/** The request that a checkout is begun with, and the key that makes its repetitions one. */

import type { CheckoutClient } from "./client.js";
import { problemTypeOf } from "./problems.js";
import type { Checkout, CheckoutRequest } from "./types.js";

/** A request as it is sent. Its repetitions must equal it in everything, `supersedes` included. */
interface Attempted {
  request: CheckoutRequest;
  content: string;
  idempotencyKey: string;
  supersedes: string | null;
  /** Checkouts that this tab may hold when it repeats the request: the one before it or none, and its own. */
  readonly holding: (string | null)[];
}

/** Begins checkouts: one key for one request, and a new one after any change. The key is kept in memory only. */
export class Beginner {
  #last: Attempted | null = null;
  #supersedes: string | null = null;
  /** The checkout that the buyer gave up. The next one replaces it, or goes on without it where it is not theirs. */
  #givenUp: { id: string | null } | null = null;

  /** The checkout that the last request replaces. */
  get supersedes(): string | null {
    return this.#supersedes;
  }

  /** Make the next request a new one, even if nothing in it changed. */
  forget(): void {
    this.#last = null;
    this.#supersedes = null;
  }

  /** Make the next request a new purchase. */
  startOver(givenUp: string | null): void {
    this.forget();
    this.#givenUp = { id: givenUp };
  }

  /**
   * Begin the checkout, or get the same one for an unchanged request.
   *
   * It replaces this tab's own checkout, and those that other tabs hold. A checkout that ended meanwhile and a used key
   * lead to one more request, with a new key. An old checkout that this buyer cannot see may be paid by whoever can: it
   * is passed over only after the buyer started over.
   */
  async begin(
    client: CheckoutClient,
    request: CheckoutRequest,
    own: string | null,
    heldElsewhere: string[],
  ): Promise<Checkout> {
    const held = new Set([own ?? this.#givenUp?.id ?? [], heldElsewhere].flat());
    const [superseded = null, ...unrelated] = held;
    for (const id of unrelated) await this.#end(client, request, id);
    const begun = await this.#begin(client, request, superseded);
    this.#givenUp = null;
    return begun;
  }

  /** End a checkout that is not of this tab's chain. What replaces it is known to nobody, and stays unpaid. */
  async #end(client: CheckoutClient, request: CheckoutRequest, id: string): Promise<void> {
    try {
      await this.#send(client, attempt(request, "", id));
    } catch (error) {
      if (problemTypeOf(error) !== "checkout_not_found" || !this.#givenUp) throw error;
    }
  }

  async #begin(client: CheckoutClient, request: CheckoutRequest, superseded: string | null): Promise<Checkout> {
    const content = JSON.stringify(request);
    // Another tab may have begun a checkout since an answer was lost. It is replaced, which needs a new key.
    if (this.#last?.content !== content || !this.#last.holding.includes(superseded))
      this.#last = attempt(request, content, superseded);
    try {
      return await this.#send(client, this.#last);
    } catch (error) {
      const type = problemTypeOf(error);
      if (type === "checkout_not_found" && this.#givenUp) this.#last = attempt(request, content, superseded, null);
      else if (type === "attempt_closed" || type === "idempotency_key_reused") {
        this.#last = attempt(request, content, superseded);
      } else throw error;
      return this.#send(client, this.#last);
    }
  }

  async #send(client: CheckoutClient, attempted: Attempted): Promise<Checkout> {
    const { request, idempotencyKey, supersedes, holding } = attempted;
    this.#supersedes = supersedes;
    const begun = await (supersedes
      ? client.supersede(supersedes, request, { idempotencyKey })
      : client.beginCheckout(request, { idempotencyKey }));
    holding.push(begun.checkoutAttemptId);
    return begun;
  }
}

function attempt(
  request: CheckoutRequest,
  content: string,
  held: string | null,
  supersedes: string | null = held,
): Attempted {
  return { request, content, idempotencyKey: randomUuid(), supersedes, holding: [held] };
}

/** Return a random UUID. Pages without HTTPS have no `crypto.randomUUID`. */
function randomUuid(): string {
  if (typeof crypto.randomUUID === "function") return crypto.randomUUID();
  const bytes = [...crypto.getRandomValues(new Uint8Array(16))];
  const hex = bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const variant = "89ab"[(bytes[8] ?? 0) % 4];
  return hex.replace(/^(.{8})(.{4}).(.{3}).(.{3})/, `$1-$2-4$3-${variant}$4-`);
}
