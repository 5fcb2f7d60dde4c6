import { type CheckoutMessage, messageFor } from "@holdfast/checkout";
import { useCallback, useEffect, useState } from "react";

interface KeysetPage<T> {
  items: T[];
  nextCursor?: string | null | undefined;
}

/** A list that the buyer reads page by page. Pages that were read stay while the next one loads or fails. */
export interface KeysetPages<T> {
  items: T[];
  state: "loading" | "ready" | "failed";
  message: CheckoutMessage | null;
  /** Present while there is another page. Asked again, it repeats a page that failed. */
  more: (() => void) | undefined;
  reload(): void;
  replace(item: T): void;
}

/** `load` must be the same function at every render. */
export function useKeysetPages<T extends { id: string }>(
  load: (cursor: string | undefined) => Promise<KeysetPage<T>>,
): KeysetPages<T> {
  const [items, setItems] = useState<T[]>([]);
  const [next, setNext] = useState<string | null | undefined>();
  const [state, setState] = useState<KeysetPages<T>["state"]>("loading");
  const [message, setMessage] = useState<CheckoutMessage | null>(null);

  const read = useCallback(
    async (cursor?: string) => {
      setState("loading");
      try {
        const page = await load(cursor);
        setItems((before) => (cursor ? [...before, ...page.items] : page.items));
        setNext(page.nextCursor);
        setMessage(null);
        setState("ready");
      } catch (problem) {
        // The buyer may come from paying.
        setMessage(messageFor(problem, { mayHavePaid: true }));
        setState("failed");
      }
    },
    [load],
  );
  useEffect(() => {
    void read();
  }, [read]);

  return {
    items,
    state,
    message,
    more: next ? () => void read(next) : undefined,
    reload: () => void read(),
    replace: (item) => setItems((before) => before.map((each) => (each.id === item.id ? item : each))),
  };
}
