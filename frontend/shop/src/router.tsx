/** History routing: the address decides the page, and links change it without a reload. */

import {
  type AnchorHTMLAttributes,
  type MouseEvent,
  type ReactNode,
  startTransition,
  useEffect,
  useEffectEvent,
  useRef,
  useState,
} from "react";

export type Path = "/" | "/checkout" | "/order-confirmation" | "/orders" | "/subscriptions";

/** Way to this page: loaded by the browser, by a link, or by back and forward, where the browser keeps the scroll. */
let arrival: "load" | "link" | "history" = "load";
const listeners = new Set<() => void>();

function notify(how: "link" | "history"): void {
  arrival = how;
  for (const listener of listeners) listener();
}

window.addEventListener("popstate", () => notify("history"));

export function navigate(to: string, { replace = false } = {}): void {
  if (replace) history.replaceState(null, "", to);
  else history.pushState(null, "", to);
  notify("link");
}

/** Path of the page. It changes in a transition: the page before stays until the code of the next one is there. */
export function usePath(): string {
  return useAddress(() => location.pathname);
}

/** Query of the address, as it was when the buyer came to the page or to another entry of its history. */
export function useSearch(): string {
  return useAddress(() => location.search);
}

function useAddress(read: () => string): string {
  const [value, setValue] = useState(read);
  const follow = useEffectEvent(() => startTransition(() => setValue(read())));
  useEffect(() => {
    const listener = () => follow();
    listeners.add(listener);
    return () => {
      listeners.delete(listener);
    };
  }, []);
  return value;
}

interface LinkProps extends AnchorHTMLAttributes<HTMLAnchorElement> {
  to: string;
}

export function Link({ to, onClick, ...rest }: LinkProps) {
  const follow = (event: MouseEvent<HTMLAnchorElement>) => {
    onClick?.(event);
    const plain = event.button === 0 && !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey);
    if (event.defaultPrevented || !plain) return;
    event.preventDefault();
    navigate(to);
  };
  return <a href={to} onClick={follow} {...rest} />;
}

/** Move the focus to the page's heading, where the element that had it goes away. */
export function focusHeading(): void {
  document.querySelector("h1")?.focus();
}

interface PageProps {
  /** Heading of the page and, with the shop's name, of the browser's tab. */
  title: string;
  lead?: ReactNode;
  narrow?: boolean;
  /** Picture beside the title, which then stands on a dark band over the whole width. */
  hero?: ReactNode;
  children: ReactNode;
}

/** Page with its title. After a navigation the focus moves to the heading, so that a screen reader begins there. */
export function Page({ title, lead, narrow = false, hero, children }: PageProps) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${title} · Harbour Supply`;
  }, [title]);
  useEffect(() => {
    if (arrival === "link") scrollTo(0, 0);
    if (arrival !== "load") heading.current?.focus({ preventScroll: true });
  }, []);
  const head = (
    <div className="page-head">
      <h1 ref={heading} tabIndex={-1}>
        {title}
      </h1>
      {lead && <p className="soft">{lead}</p>}
    </div>
  );
  return (
    <>
      {hero && (
        <div className="hero">
          <div className="wrap">
            {hero}
            {head}
          </div>
        </div>
      )}
      <div className={narrow ? "page wrap page-narrow" : "page wrap"}>
        {!hero && head}
        {children}
      </div>
    </>
  );
}
