/** Fake of Stripe.js: a test says what each call answers. */

import type { StripeError, StripeLike, StripeResult } from "../../src/index.js";

type Answer = StripeResult | Error | Promise<StripeResult>;

export class FakeStripe implements StripeLike {
  readonly confirmed: { confirmParams: { return_url: string } }[] = [];
  readonly calls: string[] = [];
  confirms: (() => Answer)[] = [() => intent("succeeded")];
  retrieves: (() => Answer)[] = [() => intent("succeeded")];

  async confirmPayment(options: never): Promise<StripeResult> {
    return this.#confirm("confirmPayment", options);
  }

  async confirmSetup(options: never): Promise<StripeResult> {
    return this.#confirm("confirmSetup", options);
  }

  async retrievePaymentIntent(): Promise<StripeResult> {
    this.calls.push("retrievePaymentIntent");
    return next(this.retrieves);
  }

  async retrieveSetupIntent(): Promise<StripeResult> {
    this.calls.push("retrieveSetupIntent");
    return next(this.retrieves);
  }

  #confirm(name: string, options: never): Promise<StripeResult> | StripeResult {
    this.calls.push(name);
    this.confirmed.push(options);
    return next(this.confirms);
  }
}

export function intent(status: string): StripeResult {
  return { paymentIntent: { id: "pi_1", status } };
}

export function failed(error: StripeError): StripeResult {
  return { error };
}

function next(queue: (() => Answer)[]): Promise<StripeResult> | StripeResult {
  const answer = (queue.length > 1 ? queue.shift() : queue[0])?.();
  if (!answer || answer instanceof Error) throw answer ?? new Error("no answer of Stripe");
  return answer;
}
