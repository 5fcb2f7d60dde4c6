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
}

/** Begins checkouts: one key for one request, and a new one after any change. The key is kept in memory only. */
export class Beginner {
  #last: Attempted | null = null;

  /** The checkout that the last request replaces. */
  get supersedes(): string | null {
    return this.#last?.supersedes ?? null;
  }

  /** Make the next request a new one, even if nothing in it changed. */
  forget(): void {
    this.#last = null;
  }

  /**
   * Begin the checkout, or get the same one for an unchanged request.
   *
   * `findSuperseded` returns the checkout that a new request replaces. A checkout that ended meanwhile, a used key and
   * a lost old checkout lead to one more request, with a new key.
   */
  async begin(
    client: CheckoutClient,
    request: CheckoutRequest,
    findSuperseded: () => Promise<string | null>,
  ): Promise<Checkout> {
    const content = JSON.stringify(request);
    if (this.#last?.content !== content) this.#last = attempt(request, content, await findSuperseded());
    const attempted = this.#last;
    try {
      return await send(client, attempted);
    } catch (error) {
      const type = problemTypeOf(error);
      if (type === "checkout_not_found" && attempted.supersedes) this.#last = attempt(request, content, null);
      else if (type === "attempt_closed" || type === "idempotency_key_reused") {
        this.#last = attempt(request, content, await findSuperseded());
      } else throw error;
      return send(client, this.#last);
    }
  }
}

function attempt(request: CheckoutRequest, content: string, supersedes: string | null): Attempted {
  return { request, content, idempotencyKey: crypto.randomUUID(), supersedes };
}

function send(client: CheckoutClient, { request, idempotencyKey, supersedes }: Attempted): Promise<Checkout> {
  return supersedes
    ? client.supersede(supersedes, request, { idempotencyKey })
    : client.beginCheckout(request, { idempotencyKey });
}
