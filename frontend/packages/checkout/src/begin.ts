/** The request that a checkout is begun with, and the key that makes its repetitions one. */

import type { CheckoutClient } from "./client.js";
import { problemTypeOf } from "./problems.js";
import { keepUnfinished, type Unfinished, unfinishedCheckout } from "./session.js";
import type { Checkout, CheckoutRequest } from "./types.js";

/** A request as it is sent. Its repetitions must equal it in everything, `supersedes` included. */
interface Attempted {
  request: CheckoutRequest;
  content: string;
  idempotencyKey: string;
  supersedes: string | null;
  /** Unfinished checkouts with which the request is a repetition: the one before it or none, and its own. */
  readonly holding: (string | null)[];
}

/** Another page began or paid a checkout of this cart, so that this one is not needed. */
export class Overtaken extends Error {}

/** Begins checkouts: one key for one request, and a new one after any change. The key is kept in memory only. */
export class Beginner {
  #last: Attempted | null = null;
  #supersedes: string | null = null;
  /** The checkout that the buyer gave up. The next one replaces it, or goes on without it where it is not theirs. */
  #givenUp: string | null = null;

  /** The checkout that the last request replaces. */
  get supersedes(): string | null {
    return this.#supersedes;
  }

  hasGivenUp(id: string | null): boolean {
    return id !== null && id === this.#givenUp;
  }

  /** Make the next request a new one, even if nothing in it changed. */
  forget(): void {
    this.#last = null;
    this.#supersedes = null;
  }

  /** Make the next request a new one, which may pass over a checkout that the buyer gave up. */
  startOver(givenUp: string | null): void {
    this.forget();
    this.#givenUp = givenUp;
  }

  /**
   * Begin the checkout, or get the same one for an unchanged request. It replaces the browser's unfinished one, and once
   * more what another tab began meanwhile: the lock does not prevent that where it was not granted in time. Throws
   * Overtaken if it is not wanted any more then.
   */
  async begin(client: CheckoutClient, request: CheckoutRequest, isWanted: () => boolean): Promise<Checkout> {
    for (;;) {
      const replaced = unfinishedCheckout();
      const begun = await this.#begin(client, request, replaced);
      const now = unfinishedCheckout()?.id;
      if (!now || now === replaced?.id || now === begun.checkoutAttemptId) {
        keepUnfinished(begun.checkoutAttemptId);
        return begun;
      }
      if (!isWanted()) throw new Overtaken();
    }
  }

  /**
   * Begin a checkout that replaces the unfinished one.
   *
   * A checkout that ended meanwhile and a used key lead to one more request, with a new key. A checkout that this buyer
   * cannot see may be paid by whoever can: it is passed over only if the buyer gave it up, or if the gateway may have
   * forgotten it.
   */
  async #begin(client: CheckoutClient, request: CheckoutRequest, unfinished: Unfinished | null): Promise<Checkout> {
    const content = JSON.stringify(request);
    const superseded = unfinished?.id ?? null;
    const mayPassOver = unfinished?.isOld || this.hasGivenUp(superseded);
    // Another tab may have begun a checkout since an answer was lost. It is replaced, which needs a new key.
    if (this.#last?.content !== content || !this.#last.holding.includes(superseded))
      this.#last = attempt(request, content, superseded);
    try {
      return await this.#send(client, this.#last);
    } catch (error) {
      const type = problemTypeOf(error);
      if (type === "checkout_not_found" && mayPassOver) this.#last = attempt(request, content, superseded, null);
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
