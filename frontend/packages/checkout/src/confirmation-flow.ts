/** The confirmation page's state: complete the checkout, and wait until its payment is decided. Needs no React. */

import { type Arrival, readArrival, removeIntent, showInAddress } from "./address.js";
import type { CheckoutClient } from "./client.js";
import type { MessageKind } from "./message-texts.js";
import { type MessageTexts, messageFor, messageOf } from "./messages.js";
import { isAway, onReturn, pauseMs } from "./pauses.js";
import { problemTypeOf } from "./problems.js";
import { finishCheckout, forgetAttemptId, storedAttemptId } from "./session.js";
import { Store } from "./store.js";
import { isPlaced, type PlacedStatus, sharedTabs, type Tabs } from "./tabs.js";
import type { CheckoutMessage, CheckoutStatus, Purchase, Subscription } from "./types.js";

export interface ConfirmationFlowOptions {
  client: CheckoutClient;
  /**
   * Called when the purchase is placed: take what this checkout bought out of the cart, once for each id. It is called
   * again when the same confirmation is opened again.
   */
  onPlaced?: ((checkoutAttemptId: string) => void) | undefined;
  /** The shop's own texts of messages. */
  texts?: MessageTexts | undefined;
}

export type ConfirmationState = "loading" | "not_found" | "unavailable" | CheckoutStatus["status"];

export interface ConfirmationSnapshot {
  state: ConfirmationState;
  checkoutAttemptId: string | null;
  purchase: Purchase | null;
  message: CheckoutMessage | null;
}

export class ConfirmationFlow extends Store<ConfirmationSnapshot> {
  #options: ConfirmationFlowOptions;
  readonly #tabs: () => Tabs;
  #arrival: Arrival = { checkoutAttemptId: null, intent: null };
  #asked = 0;
  #isAnnounced = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Raised by each question: the answers to earlier ones are ignored. */
  #turn = 0;

  constructor(options: ConfirmationFlowOptions, tabs: () => Tabs = sharedTabs) {
    super({ state: "loading", checkoutAttemptId: null, purchase: null, message: null });
    this.#options = options;
    this.#tabs = tabs;
  }

  update(options: ConfirmationFlowOptions): void {
    this.#options = options;
  }

  /** Clean the address, and ask until the payment is decided. Return what ends the asking. */
  readonly start = (): (() => void) => {
    this.#arrival = readArrival();
    // An address that names a checkout is that one's page, also while the next one is under way.
    const id = this.#arrival.checkoutAttemptId ?? storedAttemptId();
    this.show({ checkoutAttemptId: id });
    if (id) {
      showInAddress(id);
      void this.#ask(id);
    } else this.show({ state: "not_found", message: this.#messageOf("no_id") });
    const stop = onReturn(() => this.#timer !== undefined && !isAway() && this.refresh());
    return () => {
      stop();
      this.#turn++;
      this.#cancelTimer();
    };
  };

  /** Ask now. */
  readonly refresh = (): void => {
    const id = this.getSnapshot().checkoutAttemptId;
    if (id) void this.#ask(id);
  };

  async #ask(id: string): Promise<void> {
    const turn = ++this.#turn;
    this.#cancelTimer();
    try {
      const answer = await this.#askOnce(id);
      if (turn === this.#turn) this.#showAnswer(id, answer);
    } catch (error) {
      if (turn === this.#turn) this.#showFailure(id, error);
    }
  }

  /** Complete the checkout where its intent is known: it needs no webhook then. */
  async #askOnce(id: string): Promise<CheckoutStatus> {
    const { client } = this.#options;
    const { intent } = this.#arrival;
    if (intent) {
      try {
        const purchase = await client.completeCheckout(id, intent);
        // Only the status has what the buyer needs to pay the open invoice of a subscription.
        if (!purchase.subscriptions.some(isUnfinished)) return { status: purchase.status, purchase };
      } catch (error) {
        const type = problemTypeOf(error);
        if (!SAYS_TO_READ_THE_STATUS.has(type)) throw error;
        if (type === "intent_mismatch") this.#arrival.intent = null; // of a subscription's invoice
      }
    }
    return client.checkoutStatus(id);
  }

  #showAnswer(id: string, { status, purchase }: CheckoutStatus): void {
    const hadAnswer = this.getSnapshot().state === status;
    this.#asked = hadAnswer ? this.#asked : 0;
    this.show({
      state: status,
      purchase: status === "completed" ? (purchase ?? null) : null,
      message: this.#messageOf(kindOf(status, purchase)),
    });
    if (isPlaced(status)) this.#announce(id, status);
    if (status === "completed" || status === "needs_review") this.#forgetIntent();
    const isMoving = ["processing", "open", "requires_action"].includes(status);
    if (isMoving || purchase?.subscriptions.some((each) => each.status === "pending")) this.#askLater(id);
  }

  #showFailure(id: string, error: unknown): void {
    const type = problemTypeOf(error);
    if (type === "checkout_not_found" || type === "invalid_request") {
      this.show({ state: "not_found", message: this.#messageOf("not_yours") });
      return;
    }
    const message = messageFor(error, { mayHavePaid: true, texts: this.#options.texts });
    // What is known stays on the page.
    const { state } = this.getSnapshot();
    this.show(state === "loading" || state === "not_found" ? { state: "unavailable", message } : { message });
    this.#askLater(id);
  }

  #announce(id: string, status: PlacedStatus): void {
    if (this.#isAnnounced) return;
    this.#isAnnounced = true;
    // Another stored id is that of the next checkout.
    if (storedAttemptId() === id) forgetAttemptId();
    finishCheckout(id);
    this.#tabs().placed(id, status);
    this.#options.onPlaced?.(id);
  }

  /** Nothing is left to complete: whoever opens the address later does not come from paying. */
  #forgetIntent(): void {
    this.#arrival.intent = null;
    removeIntent();
  }

  #askLater(id: string): void {
    this.#timer = setTimeout(
      () => {
        // Coming back asks at once.
        if (!isAway()) void this.#ask(id);
      },
      pauseMs(this.#asked++),
    );
  }

  #cancelTimer(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #messageOf(kind: MessageKind): CheckoutMessage {
    return messageOf(kind, { texts: this.#options.texts });
  }
}

/** Answers about the intent, not about the checkout. */
const SAYS_TO_READ_THE_STATUS = new Set([
  "payment_not_succeeded",
  "intent_mismatch",
  "intent_not_found",
  "invalid_request",
]);

/** Return what to say: a purchase whose subscriptions are not all paid is not yet what "completed" promises. */
function kindOf(status: CheckoutStatus["status"], purchase: Purchase | null | undefined): MessageKind {
  const has = (wanted: string) => purchase?.subscriptions.some((each) => each.status === wanted);
  if (status !== "completed") return status;
  if (has("incomplete")) return "subscription_incomplete";
  if (has("past_due") || purchase?.subscriptions.some(isPayable)) return "subscription_past_due";
  if (purchase?.needsAttention) return "subscription_needs_attention";
  if (has("incomplete_expired")) return "subscription_failed";
  if (has("canceled") || has("unpaid")) return "subscription_inactive";
  return has("pending") ? "subscription_pending" : status;
}

/** True if the payment of the last charge, which is not tried any more, is open to the buyer. */
function isPayable({ status, payment }: Subscription): boolean {
  return status === "unpaid" && Boolean(payment);
}

function isUnfinished({ status }: { status: string }): boolean {
  return status === "pending" || status === "incomplete" || status === "past_due";
}
