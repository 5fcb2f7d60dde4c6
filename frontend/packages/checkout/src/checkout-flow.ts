/** The checkout page's state: begin a checkout, pay it, and find out what became of it. Needs no React. */

import { confirmationUrl } from "./address.js";
import { Beginner, Overtaken } from "./begin.js";
import type { CheckoutClient } from "./client.js";
import type { MessageKind } from "./message-texts.js";
import { type MessageContext, type MessageTexts, messageFor, messageOf } from "./messages.js";
import { ENDED, type Findings, findOut, hiddenStatus, isUnpaid, UNPAID } from "./outcome.js";
import { pause, pauseMs } from "./pauses.js";
import { CheckoutProblem, placedIdOf, problemTypeOf } from "./problems.js";
import {
  finishCheckout,
  forgetAttemptId,
  keepUnfinished,
  storeAttemptId,
  storedAttemptId,
  unfinishedCheckout,
} from "./session.js";
import { Store } from "./store.js";
import { confirm, intentOf, isAnswerOfTheBank, outcomeOf, type StripeIntent, type StripeLike } from "./stripe.js";
import { isPlaced, type PlacedStatus, sharedTabs, type Tabs } from "./tabs.js";
import type { Checkout, CheckoutMessage, CheckoutRequest, CheckoutStatus } from "./types.js";

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
  /** Address of the confirmation of what was paid, in the state `placed`. */
  confirmationUrl: string | null;
}

const BLANK = { checkout: null, message: null, confirmationUrl: null };

export class CheckoutFlow extends Store<CheckoutSnapshot> {
  #options: CheckoutFlowOptions;
  readonly #tabs: () => Tabs;
  readonly #beginner = new Beginner();
  /** Checkout that replaced the one that is being paid here. */
  #replacedBy: string | null = null;
  /** The begin under way. Another one with the same request joins it. */
  #beginning: { content: string; done: Promise<void> } | null = null;
  #paying: { stripe: StripeLike; checkout: Checkout; wasElsewhere: boolean } | null = null;
  /** True after the unfinished checkout could not be looked up: nothing is said about the buyer's money then. */
  #mayHavePaid = false;
  /** The checkout of which this page knows that it is not paid. */
  #unpaidId: string | null = null;
  /** Raised by whatever makes answers to earlier requests irrelevant. */
  #turn = 0;
  #isMounted = false;
  /** The checkout that is shown as placed. */
  #placedId: string | null = null;

  constructor(options: CheckoutFlowOptions, tabs: () => Tabs = sharedTabs) {
    super({ ...BLANK, state: unfinishedCheckout() ? "resuming" : "editing" });
    this.#options = options;
    this.#tabs = tabs;
  }

  update(options: CheckoutFlowOptions): void {
    this.#options = options;
  }

  /** Look the unfinished checkout up, and listen to other tabs. Return what ends the listening. */
  readonly start = (): (() => void) => {
    this.#isMounted = true;
    const stop = this.#tabs().listen({
      began: (id) => this.#onBeganElsewhere(id),
      placed: (id, status) => this.#onPlacedElsewhere(id, status),
    });
    addEventListener("pageshow", this.#onPageShow);
    if (this.#state === "resuming" || this.#mayHavePaid) void this.#resume();
    if (this.#state === "checking") void this.#findOutcome();
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
    this.#paying = { stripe, checkout, wasElsewhere: false };
    this.#replacedBy = null;
    this.#unpaidId = null;
    storeAttemptId(checkout.checkoutAttemptId);
    void this.#watchConfirmation(turn, checkout);
    const url = confirmationUrl(this.#options.returnUrl, checkout.checkoutAttemptId);
    const result = await confirm(stripe, elements, checkout.intentType, url).catch(() => null);
    if (turn !== this.#turn || (!this.#isMounted && isOver(checkout))) return;
    const error = result?.error;
    if (error && isAnswerOfTheBank(error)) {
      this.#unpaidId = checkout.checkoutAttemptId;
      return this.#showPayable(this.#message(error));
    }
    const intent = result ? intentOf(result) : undefined;
    if (intent && !error && this.#settleByIntent(checkout, intent)) return;
    this.#paying.wasElsewhere = error?.code?.endsWith("_unexpected_state") ?? false;
    await this.#findOutcome();
  };

  /** Go back to the details. The checkout stays, and is replaced by the next one if anything changes. */
  readonly edit = (): void => {
    if (this.#state === "payable" || this.#state === "beginning") this.#showEditing();
  };

  /** Begin a new purchase. An unpaid checkout of this buyer is replaced by the next one, any other is left alone. */
  readonly startOver = (): void => {
    if (this.#isPaying) return;
    this.#mayHavePaid = false;
    if (this.#state === "placed" && this.#placedId) finishCheckout(this.#placedId);
    this.#beginner.startOver(this.#state === "placed" ? null : (unfinishedCheckout()?.id ?? null));
    forgetAttemptId();
    this.#showEditing();
  };

  /** Look the unfinished checkout up as whoever signed in or out, whose next checkout is a new one. */
  readonly lookAgain = (): void => {
    if (this.#isPaying) return;
    this.#beginner.startOver(null);
    this.#resumeOrEdit();
  };

  get #state(): CheckoutState {
    return this.getSnapshot().state;
  }

  get #isPaying(): boolean {
    return this.#state === "confirming" || this.#state === "checking";
  }

  #enter(state: CheckoutState): number {
    this.show({ ...BLANK, state });
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
    this.#enter(unfinishedCheckout() ? "resuming" : "editing");
    if (this.#state === "resuming") void this.#resume();
  }

  /**
   * Look the unfinished checkout up until it is known. Meanwhile the buyer may begin one that replaces it. The reason for
   * which that was refused stays on the page.
   */
  async #resume(refusal?: unknown): Promise<void> {
    const unfinished = unfinishedCheckout();
    if (!unfinished) {
      this.#mayHavePaid = false;
      forgetAttemptId();
      // Its confirmation may have been shown in another tab.
      return this.#showEditing(refusal ? this.#message(refusal, { isSilent: true }) : null);
    }
    const { id, isOld } = unfinished;
    const wasHere = storedAttemptId() === id;
    storeAttemptId(id);
    for (let asked = 0; ; asked++) {
      const turn = this.#turn;
      const found = await this.#options.client.checkoutStatus(id).catch((error: unknown) => ({ error }));
      if (turn !== this.#turn || !this.#isMounted) return;
      this.#mayHavePaid = false;
      if (!("error" in found)) return this.#showStatus(id, found.status, { wasHere, refusal });
      const type = problemTypeOf(found.error);
      if (type === "invalid_request" || (type === "checkout_not_found" && isOld)) {
        finishCheckout(id);
        forgetAttemptId();
        return this.#resume(refusal);
      }
      if (type === "checkout_not_found") return this.#showEditing(this.#messageOf("not_yours"));
      this.#mayHavePaid = true;
      const message = this.#message(found.error, { mayHavePaid: true });
      // The same message would be announced again, and begin its wait anew.
      if (!refusal && message.kind !== this.getSnapshot().message?.kind) this.#showEditing(message);
      const shown = this.#turn;
      await pause(pauseMs(asked));
      if (shown !== this.#turn || !this.#isMounted) return;
    }
  }

  /** Show a checkout that was not begun on this page, or cannot be paid on it any more. */
  #showStatus(
    id: string,
    status: CheckoutStatus["status"],
    { wasHere = true, refusal }: { wasHere?: boolean; refusal?: unknown } = {},
  ): void {
    // An open one may be paid in another tab at any time.
    if (status === "expired") this.#unpaidId = id;
    if (isPlaced(status)) this.#showPlaced(PLACED_MESSAGES[status], id);
    else if (refusal) this.#showEditing(this.#message(refusal, { isSilent: !UNPAID.has(status) }));
    else this.#showEditing(ENDED.has(status) && wasHere ? this.#messageOf(status) : null);
  }

  async #begin(turn: number, request: CheckoutRequest, expectedDueToday?: number): Promise<void> {
    const tabs = this.#tabs();
    try {
      const checkout = await tabs.exclusively(async () => {
        if (turn !== this.#turn && this.#state === "placed") throw new Overtaken();
        const isWanted = () => turn === this.#turn && this.#isMounted;
        const begun = await this.#beginner.begin(this.#options.client, request, isWanted);
        storeAttemptId(begun.checkoutAttemptId);
        tabs.began(begun.checkoutAttemptId);
        return begun;
      });
      this.#mayHavePaid = false;
      // One that was tried to pay on this page may wait at the bank.
      if (checkout.checkoutAttemptId !== this.#paying?.checkout.checkoutAttemptId)
        this.#unpaidId = checkout.checkoutAttemptId;
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
      // Another tab may have begun one since this request was sent.
      const earlier = unfinishedCheckout()?.id ?? this.#beginner.supersedes;
      const mayHavePaid = this.#mayHavePaid || (earlier !== null && earlier !== this.#unpaidId);
      this.#showEditing(this.#message(error, { isSilent: mayHavePaid }));
      if (!mayHavePaid || type === "checkout_not_found" || this.#beginner.hasGivenUp(earlier)) return;
      this.#mayHavePaid = true;
      return void this.#resume(error);
    }
    // What was paid may be a later checkout than the stored one, or another tab's. Its confirmation tells the tabs.
    const id = (error instanceof CheckoutProblem ? placedIdOf(error) : undefined) ?? this.#beginner.supersedes;
    if (id) {
      storeAttemptId(id);
      // Its confirmation may have been shown meanwhile.
      if ((unfinishedCheckout()?.id ?? null) === this.#beginner.supersedes) keepUnfinished(id);
    }
    this.#showPlaced(type, id);
  }

  #showPlaced(kind: MessageKind, id: string | null): void {
    this.#enter("placed");
    const { returnUrl } = this.#options;
    this.show({ message: this.#messageOf(kind), confirmationUrl: id ? confirmationUrl(returnUrl, id) : returnUrl });
    this.#beginner.forget();
    this.#mayHavePaid = false;
    this.#placedId = id;
  }

  /** Show what an intent's status means. Return false if that is not known from it. */
  #settleByIntent(checkout: Checkout, intent: StripeIntent): boolean {
    switch (outcomeOf(intent.status)) {
      case "placed":
        this.#finish(checkout, intent.id);
        return true;
      case "payable": {
        const needsAction = intent.status === "requires_action";
        this.#showPayable(this.#messageOf(needsAction ? "requires_action" : "payment_failed"));
        return true;
      }
      default:
        return false;
    }
  }

  #finish(checkout: Checkout, intentId: string | undefined): void {
    const id = checkout.checkoutAttemptId;
    storeAttemptId(id);
    this.#enter("placed");
    this.#placedId = id;
    this.#beginner.forget();
    const url = confirmationUrl(this.#options.returnUrl, id, intentId);
    this.show({ confirmationUrl: url });
    this.#options.onPlaced(id, intentId, url);
  }

  /** Ask Stripe and the gateway until one of them knows. Until then the buyer is not invited to pay. */
  async #findOutcome(): Promise<void> {
    if (!this.#paying) return;
    const { stripe, checkout, wasElsewhere } = this.#paying;
    const turn = ++this.#turn;
    this.show({ state: "checking", message: this.#messageOf("outcome_unknown") });
    let saidUnpaid = 0;
    for (let asked = 0; ; asked++) {
      const findings = await findOut(stripe, this.#options.client, checkout, wasElsewhere);
      if (turn !== this.#turn || !this.#isMounted) return;
      // The confirmation may still be on its way to Stripe: "not paid" is believed when it is said for some seconds.
      saidUnpaid = isUnpaid(findings) ? saidUnpaid + 1 : 0;
      if (this.#settle(checkout, findings, saidUnpaid)) return;
      await pause(pauseMs(asked));
    }
  }

  /** Show what was found out. Return false if it is not known yet. */
  #settle(checkout: Checkout, { intent, ...answer }: Findings, saidUnpaid: number): boolean {
    const wasElsewhere = this.#paying?.wasElsewhere ?? false;
    const isPaid = outcomeOf(intent?.status) === "placed";
    const status = answer.status === "not_found" ? hiddenStatus(intent) : answer.status;
    // Paid in another tab: the gateway's status says so, instead of thanks for a payment that was not made here.
    if (intent && isPaid && !wasElsewhere) this.#finish(checkout, intent.id);
    else if (status && isPlaced(status) && !wasElsewhere) this.#finish(checkout, undefined);
    else if (status && (isPlaced(status) || ENDED.has(status))) {
      this.#beginner.forget();
      this.#showStatus(checkout.checkoutAttemptId, status);
    } else if (answer.status === "not_found" && intent?.status === "canceled") {
      this.#beginner.forget();
      this.#showEditing(this.#messageOf("not_yours"));
    } else if ((intent?.status ?? status) === "requires_action") this.#showPayable(this.#messageOf("requires_action"));
    else if (saidUnpaid === SAID_UNPAID_TIMES) this.#showPayable(this.#messageOf("not_paid"));
    else return false;
    return true;
  }

  /** Ask the gateway beside a confirmation that takes long. While it can be paid the bank's dialog may be open. */
  async #watchConfirmation(turn: number, checkout: Checkout): Promise<void> {
    for (;;) {
      await pause(LONG_CONFIRMATION_MS);
      const isAnswered = () => turn !== this.#turn || this.#state !== "confirming" || !this.#isMounted;
      if (isAnswered()) return;
      const found = await this.#options.client.checkoutStatus(checkout.checkoutAttemptId).catch(() => null);
      if (isAnswered()) return;
      if (found && isPlaced(found.status)) this.#finish(checkout, undefined);
      else if (found && ENDED.has(found.status)) void this.#findOutcome();
    }
  }

  /** Go on where the browser shows this page again as it was left, for the bank's or for the confirmation. */
  readonly #onPageShow = (event: PageTransitionEvent): void => {
    if (!event.persisted) return;
    if (this.#isPaying && this.#paying) {
      // The answer that was waited for does not come. The confirmation may have been shown already.
      this.#paying.wasElsewhere = isOver(this.#paying.checkout);
      void this.#findOutcome();
    }
    if (this.#state === "placed") this.#resumeOrEdit();
  };

  #onBeganElsewhere(id: string): void {
    this.#beginner.forget();
    this.#replacedBy = id;
    // The answer to a begin under way comes too late. If the other is paid first there is nothing to pay here.
    if ((storedAttemptId() || this.#state === "beginning") && !this.#isPaying) storeAttemptId(id);
    if (this.#state === "payable") this.#showEditing(this.#messageOf("superseded"));
  }

  /** Show that another tab paid the checkout of this one. A tab that pays asks for itself. */
  #onPlacedElsewhere(id: string, status: PlacedStatus): void {
    if (this.#isPaying || this.#state === "placed" || storedAttemptId() !== id) return;
    forgetAttemptId();
    this.#showPlaced(PLACED_MESSAGES[status], id);
  }
}

/** Times that "not paid" is said before it is believed: with the pauses that is about five seconds. */
const SAID_UNPAID_TIMES = 4;
const LONG_CONFIRMATION_MS = 15_000;

/** Message of a checkout that this page finds placed. */
const PLACED_MESSAGES: Record<PlacedStatus, MessageKind> = {
  completed: "already_paid",
  needs_review: "needs_review",
  processing: "payment_processing",
};

/** Return true if a checkout's confirmation was shown, or another one replaced it. */
function isOver({ checkoutAttemptId }: Checkout): boolean {
  return unfinishedCheckout()?.id !== checkoutAttemptId;
}
