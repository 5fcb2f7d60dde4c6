import type { CheckoutMessage } from "@holdfast/checkout";
import { type ReactNode, useEffect, useRef } from "react";

interface AlertProps {
  tone: "bad" | "warn" | "ok" | "info";
  title: string;
  /** Buttons or links that lead on. */
  actions?: ReactNode;
  /** Move the focus here when the alert appears. */
  focus?: boolean;
  children?: ReactNode;
}

/** Box that says what happened. Something bad interrupts a screen reader, the rest waits its turn. */
export function Alert({ tone, title, actions, focus = false, children }: AlertProps) {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (focus) box.current?.focus();
  }, [focus]);
  return (
    <div ref={box} className={`alert alert-${tone}`} role={tone === "bad" ? "alert" : "status"} tabIndex={-1}>
      <p className="alert-title">{title}</p>
      {children}
      {actions && <div className="alert-actions">{actions}</div>}
    </div>
  );
}

const TONES = { charged: "ok", pending: "warn", not_charged: "bad" } as const;

/** Nothing failed: the buyer only has to look again. */
const HARMLESS = new Set(["price_changed", "superseded", "expired", "requires_action"]);

/** Message of the checkout package: what happened, what became of the money, what to do next. */
export function MessageAlert({
  message,
  actions,
  focus = true,
  children,
}: {
  message: CheckoutMessage;
  actions?: ReactNode;
  focus?: boolean;
  children?: ReactNode;
}) {
  const key = message.kind + message.title + message.text;
  return (
    <Alert
      key={key}
      tone={HARMLESS.has(message.kind) ? "warn" : TONES[message.money]}
      title={message.title}
      actions={actions}
      focus={focus}
    >
      <p className="alert-text">{message.text}</p>
      {children}
    </Alert>
  );
}
