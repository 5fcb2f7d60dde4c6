import { type ReactNode, useEffect, useRef } from "react";
import { MessageAlert } from "./components/Alert";
import { Button } from "./components/Button";
import { Loading, Skeleton } from "./components/small";
import type { KeysetPages } from "./keysetPages";
import "./styles/account.css";

interface PagedListProps<T> {
  pages: KeysetPages<T>;
  /** Plural of the items: "orders". */
  what: string;
  empty: ReactNode;
  children: (item: T) => ReactNode;
}

/** List with its states: loading, empty, failed, more to show. */
export function PagedList<T extends { id: string }>({ pages, what, empty, children }: PagedListProps<T>) {
  const { items, state, message, more, reload } = pages;
  const list = useRef<HTMLUListElement>(null);
  const firstNew = useRef<number | null>(null);
  // The button may be gone after the last page, so the focus goes on to what it has brought.
  useEffect(() => {
    if (firstNew.current === null || items.length <= firstNew.current) return;
    (list.current?.children[firstNew.current] as HTMLElement | undefined)?.focus();
    firstNew.current = null;
  }, [items]);
  const showMore = () => {
    firstNew.current = items.length;
    more?.();
  };

  return (
    <div className="stack paged">
      {items.length === 0 && state === "ready" && empty}
      {items.length === 0 && state === "loading" && <LoadingList what={what} />}
      <ul className="stack paged-list" ref={list}>
        {items.map((item) => (
          <li key={item.id} tabIndex={-1}>
            {children(item)}
          </li>
        ))}
      </ul>
      {state === "failed" && message && (
        <MessageAlert message={message} actions={<Button onClick={more ? showMore : reload}>Try again</Button>} />
      )}
      {more && state !== "failed" && (
        <Button className="paged-list-more" busy={state === "loading"} onClick={showMore}>
          Show more
        </Button>
      )}
    </div>
  );
}

function LoadingList({ what }: { what: string }) {
  return (
    <>
      <Loading what={what} />
      <Skeleton className="paged-list-item" />
      <Skeleton className="paged-list-item" />
      <Skeleton className="paged-list-item" />
    </>
  );
}
