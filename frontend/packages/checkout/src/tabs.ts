/** Notes between the tabs of a browser, which share a cart and so an unfinished checkout. */

const NAME = "holdfast-checkout";
/** A tab that holds the lock longer than this, because its connection hangs, does not keep the others from paying. */
const LOCKED_AT_MOST_MS = 15_000;

const PLACED = ["completed", "processing", "needs_review"] as const;

/** Status of a checkout that is paid or at the bank. */
export type PlacedStatus = (typeof PLACED)[number];

export function isPlaced(status: string): status is PlacedStatus {
  return (PLACED as readonly string[]).includes(status);
}

/** Note from one tab to all others. */
type Note =
  /** A checkout began. It replaces every other one of this cart. */
  { type: "began"; id: string } | { type: "placed"; id: string; status: PlacedStatus };

export interface TabListener {
  began(id: string): void;
  placed(id: string, status: PlacedStatus): void;
}

export class Tabs {
  readonly #channel = openChannel();
  readonly #listeners = new Set<TabListener>();

  constructor() {
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

  began(id: string): void {
    this.#send({ type: "began", id });
  }

  placed(id: string, status: PlacedStatus): void {
    this.#send({ type: "placed", id, status });
  }

  /** Leave the other tabs. A page's own Tabs stay as long as the page does. */
  close(): void {
    this.#channel?.close();
  }

  #send(note: Note): void {
    this.#channel?.postMessage(note);
  }

  #read(note: Note): void {
    // A tab that was opened before an update may send notes of another version.
    for (const listener of this.#listeners) {
      if (note.type === "began") listener.began(note.id);
      else if (note.type === "placed" && isPlaced(note.status)) listener.placed(note.id, note.status);
    }
  }
}

/** Return null where the browser has no channel, or refuses it as it refuses storage. */
function openChannel(): BroadcastChannel | null {
  try {
    return new BroadcastChannel(NAME);
  } catch {
    return null;
  }
}

let shared: Tabs | undefined;

/** Return this page's Tabs. */
export function sharedTabs(): Tabs {
  shared ??= new Tabs();
  return shared;
}
