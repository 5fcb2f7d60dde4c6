import { type ReactNode, useState } from "react";
import { Alert } from "./components/Alert";
import { Button } from "./components/Button";
import { useConfig } from "./data";
import { keepToken, signIn, useSession } from "./session";
import "./styles/sign-in.css";

/** Sign-in slot of the header. Only a demo has it: a real shop puts its own sign-in here. */
export function SignIn() {
  const session = useSession();
  const { data } = useConfig();
  if (session === "signed_in") {
    return (
      <Button variant="quiet" size="small" onClick={signOut}>
        Sign out
      </Button>
    );
  }
  return (
    <>
      <p className="session-note" role="status">
        {session === "expired" && "Your sign-in has expired. You go on as a guest."}
      </p>
      {data?.demoSignInUrl && <SignInButton url={data.demoSignInUrl} variant="quiet" size="small" />}
    </>
  );
}

function signOut(): void {
  keepToken(undefined);
  setTimeout(focusHeading);
}

/** Begin at the page's heading again: the button is gone, and the page may show something else now. */
function focusHeading(): void {
  document.querySelector<HTMLElement>("h1")?.focus({ preventScroll: true });
}

interface SignInButtonProps {
  url: string;
  variant?: "primary" | "secondary" | "quiet";
  size?: "small";
}

function SignInButton({ url, variant = "primary", size }: SignInButtonProps) {
  const [state, setState] = useState<"idle" | "busy" | "failed">("idle");
  const submit = () => {
    setState("busy");
    signIn(url).then(focusHeading, () => setState("failed"));
  };
  return (
    <span className="sign-in">
      <Button variant={variant} size={size} busy={state === "busy"} onClick={submit}>
        <span>
          Sign in<span className="sign-in-who"> as demo customer</span>
        </span>
      </Button>
      <span className="sign-in-note" role="status">
        {state === "failed" && "Sign-in failed. Try again."}
      </span>
    </span>
  );
}

/** The way to sign in where a page needs it; nothing in a shop without the demo's sign-in. */
export function SignInAction() {
  const { data } = useConfig();
  return data?.demoSignInUrl ? <SignInButton url={data.demoSignInUrl} /> : null;
}

/** Stands in for a page that only a signed-in buyer can read. */
export function SignInNeeded({ children }: { children: ReactNode }) {
  return (
    <Alert tone="info" title="Sign in first" actions={<SignInAction />}>
      <p className="alert-text">{children}</p>
    </Alert>
  );
}
