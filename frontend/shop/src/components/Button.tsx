import type { ButtonHTMLAttributes } from "react";

interface ButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  variant?: "primary" | "secondary" | "quiet" | "danger";
  size?: "small" | "wide" | undefined;
  /** Work is under way: the button keeps its focus, shows a spinner, and does nothing when pressed. */
  busy?: boolean;
}

export function Button({
  variant = "secondary",
  size,
  busy = false,
  onClick,
  className,
  children,
  ...rest
}: ButtonProps) {
  const names = ["button", `button-${variant}`, size && `button-${size}`, className].filter(Boolean).join(" ");
  const blocked = busy || rest["aria-disabled"] === true;
  return (
    <button
      type="button"
      {...rest}
      className={names}
      aria-busy={busy || undefined}
      aria-disabled={blocked || undefined}
      onClick={blocked ? (event) => event.preventDefault() : onClick}
    >
      {busy && <span className="spinner" aria-hidden="true" />}
      {children}
    </button>
  );
}
