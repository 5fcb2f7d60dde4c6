/** The checkout page's state: begin a checkout, pay it, and find out what became of it. Needs no React. */

import { confirmationUrl } from "./address.js";
import { Beginner } from "./begin.js";
import type { CheckoutClient } from "./client.js";
import type { MessageKind } from "./message-texts.js";
import { type MessageContext, type MessageTexts, messageFor, messageOf } from "./messages.js";
import { pause } from "./pauses.js";
import { CheckoutProblem, problemTypeOf } from "./problems.js";
import { forgetAttemptId, storeAttemptId, storedAttemptId } from "./session.js";
import { Store } from "./store.js";
import {
  intentOf,
  outcomeOf,
  type StripeError,
  type StripeIntent,
  type StripeLike,
  type StripeResult,
} from "./stripe.js";
import { sharedTabs, type Tabs } from "./tabs.js";
import type { Checkout, CheckoutMessage, CheckoutRequest, CheckoutStatus, Purchase } from "./types.js";

export interface CheckoutFlowOptions {
  client: CheckoutClient;
  /** URL of the confirmation page. `?checkout=<checkoutAttemptId>` is added. */
  returnUrl: string;
  /**
   * Called once when the payment needs no redirect and was accepted or is processing: show the confirmation. `url` is
   * that page's address with both ids.
   */
  onPlaced(checkoutAttemptId: string, intentId: string | undefined, url: string): void;
  /** The shop's own texts of messages. */
  texts?: MessageTexts | undefined;
}

export type CheckoutState = "resuming" | "editing" | "beginning" | "payable" | "confirming" | "checking" | "placed";

export interface CheckoutSnapshot {
  state: CheckoutState;
  checkout: Checkout | null;
  message: CheckoutMessage | null;
}

export class CheckoutFlow extends Store<CheckoutSnapshot> {
  #options: CheckoutFlowOptions;
  readonly #tabs: () => Tabs;
  readonly #beginner = new Beginner();
  /** Checkout that replaced the one that is being paid here. */
  #replacedBy: string | null = null;
  /** The begin under way. Another one with the same request joins it. */
  #beginning: { content: string; done: Promise<void> } | null = null;
  #paying: { stripe: StripeLike; checkout: Checkout } | null = null;
  /** Raised by whatever makes answers to earlier requests irrelevant. */
  #turn = 0;
  #isMounted = false;

  constructor(options: CheckoutFlowOptions, tabs: () => Tabs = sharedTabs) {
    super({ state: storedAttemptId() ? "resuming" : "editing", checkout: null, message: null });
    this.#options = options;
    this.#tabs = tabs;
  }

  update(options: CheckoutFlowOptions): void {
    this.#options = options;
  }

  /** Look the stored checkout up, and listen to other tabs. Return what ends the listening. */
  readonly start = (): (() => void) => {
    this.#isMounted = true;
    const stop = this.#tabs().listen({
      isPaying: () => this.#isPaying,
      began: (id) => this.#onBeganElsewhere(id),
      placed: (ids) => this.#onPlacedElsewhere(ids),
    });
    addEventListener("pageshow", this.#onPageShow);
    if (this.#state === "resuming") void this.#resume();
    return () => {
      this.#isMounted = false;
      removeEventListener("pageshow", this.#onPageShow);
      stop();
    };
  };

  readonly begin = (request: CheckoutRequest, { expectedDueToday }: { expectedDueToday?: number } = {}) => {
    if (!["resuming", "editing", "beginning", "payable"].includes(this.#state)) return Promise.resolve();
    const content = JSON.stringify(request);
    const before = this.#beginning;
    if (before?.content === content && this.#state === "beginning") return before.done;
    const turn = this.#enter("beginning");
    const work = () => this.#begin(turn, request, expectedDueToday);
    const done = (before ? before.done.then(work) : work()).finally(() => {
      if (this.#beginning?.done === done) this.#beginning = null;
    });
    this.#beginning = { content, done };
    return done;
  };

  readonly pay = async (stripe: StripeLike, elements: unknown): Promise<void> => {
    const checkout = this.getSnapshot().checkout;
    if (this.#state !== "payable" || !checkout) return;
    this.show({ state: "confirming", message: null });
    const turn = ++this.#turn;
    this.#paying = { stripe, checkout };
    this.#replacedBy = null;
    storeAttemptId(checkout.checkoutAttemptId);
    const result = await this.#confirm(stripe, elements, checkout).catch(() => null);
    if (turn !== this.#turn) return;
    const error = result?.error;
    if (error && isAnswerOfTheBank(error)) return this.#showPayable(this.#message(error));
    const intent = result ? intentOf(result) : undefined;
    if (intent && !error && this.#settleByIntent(checkout, intent)) return;
    await this.#findOutcome(stripe, checkout, error?.code?.endsWith("_unexpected_state") ?? false);
  };

  /** Go back to the details. The checkout stays, and is replaced by the next one if anything changes. */
  readonly edit = (): void => {
    if (this.#state === "payable" || this.#state === "beginning") this.#showEditing();
  };

  /** Begin a new purchase. An unpaid checkout of this buyer is replaced by the next one, any other is left alone. */
  readonly startOver = (): void => {
    if (this.#isPaying) return;
    this.#beginner.startOver(this.#state === "placed" ? null : storedAttemptId());
    forgetAttemptId();
    this.#showEditing();
  };

  get #state(): CheckoutState {
    return this.getSnapshot().state;
  }

  get #isPaying(): boolean {
    return this.#state === "confirming" || this.#state === "checking";
  }

  #enter(state: CheckoutState): number {
    this.show({ state, checkout: null, message: null });
    return ++this.#turn;
  }

  #message(subject: unknown, context: MessageContext = {}): CheckoutMessage {
    return messageFor(subject, { texts: this.#options.texts, ...context });
  }

  #messageOf(kind: MessageKind): CheckoutMessage {
    return messageOf(kind, { texts: this.#options.texts });
  }

  #showEditing(message: CheckoutMessage | null = null): void {
    this.#enter("editing");
    this.show({ message });
  }

  /** Offer to pay again, unless another tab replaced the checkout meanwhile. */
  #showPayable(message: CheckoutMessage): void {
    if (this.#replacedBy) {
      storeAttemptId(this.#replacedBy);
      this.#showEditing(this.#messageOf("superseded"));
    } else this.show({ state: "payable", message });
  }

  #resumeOrEdit(): void {
    this.#enter(storedAttemptId() ? "resuming" : "editing");
    if (this.#state === "resuming") void this.#resume();
  }

  async #resume(): Promise<void> {
    const turn = this.#turn;
    const id = storedAttemptId();
    const found = id ? await this.#options.client.checkoutStatus(id).catch(problemTypeOf) : "invalid_request";
    if (turn !== this.#turn || this.#state !== "resuming") return;
    if (found === "invalid_request") forgetAttemptId();
    // Where the question failed, the next checkout replaces this one: the gateway knows whether it is paid.
    if (typeof found === "string")
      this.#showEditing(found === "checkout_not_found" ? this.#messageOf("not_yours") : null);
    else this.#showStatus(found);
  }

  /** Show a checkout that was not begun on this page, or cannot be paid on it any more. */
  #showStatus({ status }: CheckoutStatus): void {
    const placed = PLACED_MESSAGES[status];
    if (placed) this.#showPlaced(placed);
    else this.#showEditing(status === "expired" || status === "superseded" ? this.#messageOf(status) : null);
  }

  async #begin(turn: number, request: CheckoutRequest, expectedDueToday?: number): Promise<void> {
    const tabs = this.#tabs();
    try {
      const checkout = await tabs.exclusively(async () => {
        const heldElsewhere = await tabs.heldElsewhere();
        const begun = await this.#beginner.begin(this.#options.client, request, storedAttemptId(), heldElsewhere);
        storeAttemptId(begun.checkoutAttemptId);
        tabs.began(begun.checkoutAttemptId);
        return begun;
      });
      if (turn !== this.#turn) return;
      const hasChanged = expectedDueToday !== undefined && expectedDueToday !== checkout.amountDueToday;
      this.show({ state: "payable", checkout, message: hasChanged ? this.#messageOf("price_changed") : null });
    } catch (error) {
      if (turn === this.#turn) this.#showRefusal(error);
    }
  }

  #showRefusal(error: unknown): void {
    const type = problemTypeOf(error);
    if (type !== "already_paid" && type !== "payment_processing") {
      this.#showEditing(this.#message(error));
      return;
    }
    // The confirmation is that of what was paid: it may be a later checkout than the stored one, or another tab's.
    const purchase = error instanceof CheckoutProblem ? error.purchase : undefined;
    const id = (purchase && attemptIdOf(purchase)) ?? this.#beginner.supersedes;
    if (id) storeAttemptId(id);
    if (id && type === "already_paid") this.#announcePlaced(id);
    this.#showPlaced(type);
  }

  #showPlaced(kind: MessageKind): void {
    this.#enter("placed");
    this.show({ message: this.#messageOf(kind) });
    this.#beginner.forget();
  }

  /** Tell the other tabs, which may hold the checkout or the one that it replaced. */
  #announcePlaced(id: string): void {
    const { supersedes } = this.#beginner;
    this.#tabs().placed(supersedes ? [id, supersedes] : [id]);
  }

  async #confirm(stripe: StripeLike, elements: unknown, checkout: Checkout): Promise<StripeResult> {
    const options = {
      elements,
      confirmParams: { return_url: confirmationUrl(this.#options.returnUrl, checkout.checkoutAttemptId) },
      redirect: "if_required",
    } as never;
    return checkout.intentType === "setup" ? stripe.confirmSetup(options) : stripe.confirmPayment(options);
  }

  /** Show what an intent's status means. Return false if that is not known from it. */
  #settleByIntent(checkout: Checkout, intent: StripeIntent, kind: MessageKind = "payment_failed"): boolean {
    switch (outcomeOf(intent.status)) {
      case "placed":
        this.#finish(checkout, intent.id);
        return true;
      case "payable": {
        const needsAction = intent.status === "requires_action";
        this.#showPayable(this.#messageOf(needsAction ? "requires_action" : kind));
        return true;
      }
      default:
        return false;
    }
  }

  #finish(checkout: Checkout, intentId: string | undefined): void {
    const id = checkout.checkoutAttemptId;
    this.#announcePlaced(id);
    this.#enter("placed");
    this.#beginner.forget();
    this.#options.onPlaced(id, intentId, confirmationUrl(this.#options.returnUrl, id, intentId));
  }

  /** Ask Stripe and the gateway until one of them knows. Until then the buyer is not invited to pay. */
  async #findOutcome(stripe: StripeLike, checkout: Checkout, wasElsewhere: boolean): Promise<void> {
    this.show({ state: "checking", message: this.#messageOf("outcome_unknown") });
    for (let asked = 0; this.#isMounted; asked++) {
      if (await this.#askOutcome(stripe, checkout, wasElsewhere, asked === 0)) return;
      await pause(asked);
    }
  }

  async #askOutcome(stripe: StripeLike, checkout: Checkout, wasElsewhere: boolean, isFirst: boolean): Promise<boolean> {
    const intent = await retrieve(stripe, checkout);
    // The confirmation may still be on its way to Stripe: "not paid" is believed when it is said again.
    if (isFirst && (intent?.status === "requires_payment_method" || intent?.status === "requires_confirmation"))
      return false;
    // Paid in another tab: the gateway's status says so, instead of thanks for a payment that was not made here.
    const wasPaidElsewhere = wasElsewhere && outcomeOf(intent?.status) === "placed";
    if (intent && !wasPaidElsewhere && this.#settleByIntent(checkout, intent, "not_paid")) return true;
    const found = await this.#options.client.checkoutStatus(checkout.checkoutAttemptId).catch(() => null);
    if (!found || (isFirst && found.status === "open")) return false;
    return this.#settleByStatus(checkout, found, wasElsewhere);
  }

  #settleByStatus(checkout: Checkout, found: CheckoutStatus, wasElsewhere: boolean): boolean {
    switch (found.status) {
      case "open":
      case "payment_failed":
        this.#showPayable(this.#messageOf("not_paid"));
        return true;
      case "requires_action":
        this.#showPayable(this.#messageOf("requires_action"));
        return true;
      case "completed":
      case "processing":
      case "needs_review":
        if (wasElsewhere) this.#showStatus(found);
        else this.#finish(checkout, undefined);
        return true;
      case "expired":
      case "superseded":
        this.#beginner.forget();
        this.#showStatus(found);
        return true;
      default:
        return false;
    }
  }

  /** Go on where the browser shows this page again as it was left, for the bank's or for the confirmation. */
  readonly #onPageShow = (event: PageTransitionEvent): void => {
    if (!event.persisted) return;
    if (this.#state === "confirming" && this.#paying) {
      this.#turn++; // the answer that was waited for does not come
      void this.#findOutcome(this.#paying.stripe, this.#paying.checkout, false);
    }
    if (this.#state === "placed") this.#resumeOrEdit();
  };

  #onBeganElsewhere(id: string): void {
    this.#beginner.forget();
    this.#replacedBy = id;
    if (this.#state === "payable") this.#showEditing(this.#messageOf("superseded"));
  }

  #onPlacedElsewhere(ids: string[]): void {
    const [paidId] = ids;
    const own = storedAttemptId();
    if (!paidId || !own || !ids.includes(own)) return;
    if (this.#state !== "payable" && this.#state !== "editing") return;
    storeAttemptId(paidId);
    this.#showPlaced("already_paid");
  }
}

/** Message of a checkout that this page finds placed. */
const PLACED_MESSAGES: Partial<Record<CheckoutStatus["status"], MessageKind>> = {
  completed: "already_paid",
  needs_review: "needs_review",
  processing: "payment_processing",
};

/** True if an error says that nothing was paid, and that the same checkout can be paid again. */
function isAnswerOfTheBank(error: StripeError): boolean {
  return error.type === "card_error" || error.type === "validation_error" || isAuthenticationFailure(error);
}

function isAuthenticationFailure(error: StripeError): boolean {
  return error.code?.endsWith("_intent_authentication_failure") ?? false;
}

async function retrieve(stripe: StripeLike, checkout: Checkout): Promise<StripeIntent | undefined> {
  const { intentType, clientSecret } = checkout;
  try {
    return intentOf(
      await (intentType === "setup"
        ? stripe.retrieveSetupIntent(clientSecret)
        : stripe.retrievePaymentIntent(clientSecret)),
    );
  } catch {
    return undefined;
  }
}

function attemptIdOf(purchase: Purchase): string | undefined {
  return purchase.order?.checkoutAttemptId ?? purchase.subscriptions[0]?.checkoutAttemptId;
}
