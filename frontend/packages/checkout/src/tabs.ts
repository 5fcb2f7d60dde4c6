/** One checkout for one cart across the tabs of a browser: each tab that holds one holds the newest. */

import { forgetAttemptId, storeAttemptId, storedAttemptId } from "./session.js";

const NAME = "holdfast-checkout";
const ANSWERS_WITHIN_MS = 100;
/** A tab that holds the lock longer than this, because its connection hangs, does not keep the others from paying. */
const LOCKED_AT_MOST_MS = 15_000;

/** Note from one tab to all others. */
type Note =
  | { type: "ask" }
  | { type: "held"; id: string }
  /** A checkout began. It replaces every other one of this cart. */
  | { type: "began"; id: string }
  /** The first id is paid or at the bank; the others were replaced by it. */
  | { type: "placed"; ids: string[] };

export interface TabListener {
  /** True while the outcome of a payment is awaited: the tab keeps its own checkout until it is known. */
  isPaying(): boolean;
  began(id: string): void;
  /** The checkout of this tab is paid or at the bank, or was replaced by `paidId`, which is. */
  placed(paidId: string): void;
}

/** The checkout that this tab holds. */
interface Own {
  get(): string | null;
  set(id: string | null): void;
}

const SESSION: Own = { get: storedAttemptId, set: (id) => (id ? storeAttemptId(id) : forgetAttemptId()) };

export class Tabs {
  readonly #channel = typeof BroadcastChannel === "undefined" ? null : new BroadcastChannel(NAME);
  readonly #own: Own;
  readonly #listeners = new Set<TabListener>();
  readonly #answers = new Set<(id: string) => unknown>();
  /** Checkouts that are over. A tab may still hold one, and it must not be mistaken for that of the next cart. */
  readonly #placed = new Set<string>();

  constructor(own: Own = SESSION) {
    this.#own = own;
    this.#channel?.addEventListener("message", (event: MessageEvent<Note>) => this.#read(event.data));
  }

  listen(listener: TabListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Run work while no other tab runs any. */
  async exclusively<T>(work: () => Promise<T>): Promise<T> {
    const locks = typeof navigator === "undefined" ? undefined : navigator.locks;
    if (!locks) return work();
    let isLocked = false;
    const locked = () => {
      isLocked = true;
      return work();
    };
    try {
      return await locks.request(NAME, { signal: AbortSignal.timeout(LOCKED_AT_MOST_MS) }, locked);
    } catch (error) {
      if (isLocked) throw error;
      return work();
    }
  }

  /** Return the ids of the checkouts that other tabs hold. */
  async heldElsewhere(): Promise<string[]> {
    if (!this.#channel) return [];
    const held = new Set<string>();
    const answer = (id: string) => !this.#placed.has(id) && held.add(id);
    this.#answers.add(answer);
    this.#send({ type: "ask" });
    await new Promise((resolve) => setTimeout(resolve, ANSWERS_WITHIN_MS));
    this.#answers.delete(answer);
    return [...held];
  }

  began(id: string): void {
    this.#send({ type: "began", id });
  }

  /** Pass over a checkout that is over, whichever tab still holds it. */
  ignore(id: string): void {
    this.#placed.add(id);
  }

  placed(ids: string[]): void {
    for (const id of ids) this.#placed.add(id);
    this.#send({ type: "placed", ids });
  }

  /** Leave the other tabs. A page's own Tabs stay as long as the page does. */
  close(): void {
    this.#channel?.close();
  }

  #readPlaced(ids: string[]): void {
    for (const id of ids) this.#placed.add(id);
    const [paidId] = ids;
    const own = this.#own.get();
    if (!paidId || !own || !ids.includes(own)) return;
    // A tab that pays asks for itself, and its confirmation forgets the id.
    if (!this.#isPaying()) this.#own.set(null);
    for (const listener of this.#listeners) listener.placed(paidId);
  }

  #isPaying(): boolean {
    return [...this.#listeners].some((listener) => listener.isPaying());
  }

  #send(note: Note): void {
    this.#channel?.postMessage(note);
  }

  #read(note: Note): void {
    switch (note.type) {
      case "ask": {
        const id = this.#own.get();
        if (id && !this.#placed.has(id)) this.#send({ type: "held", id });
        return;
      }
      case "held":
        for (const answer of this.#answers) answer(note.id);
        return;
      case "began":
        if (this.#own.get() && !this.#isPaying()) this.#own.set(note.id);
        for (const listener of this.#listeners) listener.began(note.id);
        return;
      case "placed":
        this.#readPlaced(note.ids);
    }
  }
}

let shared: Tabs | undefined;

/** Return this page's Tabs. It answers other tabs as long as the page lives, whatever the page shows. */
export function sharedTabs(): Tabs {
  shared ??= new Tabs();
  return shared;
}

/**
 * Take part in the cart's one checkout across tabs. Call it on every page of the shop: a tab that shows the catalogue
 * may hold a checkout, and has to tell the others of it and to hear of theirs.
 */
export function joinTabs(): void {
  sharedTabs();
}
