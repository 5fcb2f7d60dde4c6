import { Component, lazy, type ReactNode, Suspense, useEffect, useState } from "react";
import { CartDialog } from "./CartDialog";
import { Catalogue } from "./Catalogue";
import { Alert } from "./components/Alert";
import { Button } from "./components/Button";
import { Loading } from "./components/small";
import { Footer, Header } from "./Frame";
import { Link, Page, type Path, usePath } from "./router";

// The first load is the catalogue's. Each other page, and Stripe's wrappers, come when they are needed.
const PAGES: Record<Path, React.ComponentType> = {
  "/": Catalogue,
  "/checkout": lazy(() => import("./Checkout")),
  "/order-confirmation": lazy(() => import("./OrderConfirmation")),
  "/orders": lazy(() => import("./Orders")),
  "/subscriptions": lazy(() => import("./Subscriptions")),
};

export function App() {
  const path = usePath();
  const Current = PAGES[path as Path] ?? NotFound;
  return (
    <>
      <a className="skip-link" href="#main">
        Skip to content
      </a>
      <Header />
      <main id="main" tabIndex={-1}>
        <OfflineBanner />
        <Boundary key={path}>
          <Suspense fallback={<PageLoading />}>
            <Current />
          </Suspense>
        </Boundary>
      </main>
      <Footer />
      <CartDialog />
    </>
  );
}

function PageLoading() {
  return (
    <div className="page wrap">
      <Loading what="the page" />
    </div>
  );
}

function NotFound() {
  return (
    <Page title="No such page" lead="The address leads nowhere." narrow>
      <Link className="button button-primary" to="/">
        See what is on sale
      </Link>
    </Page>
  );
}

/** A page whose code did not load, for example because a newer version was deployed, or that broke. */
class Boundary extends Component<{ children: ReactNode }, { broken: boolean }> {
  override state = { broken: false };

  static getDerivedStateFromError() {
    return { broken: true };
  }

  override render() {
    if (!this.state.broken) return this.props.children;
    return (
      <Page title="This page did not load" narrow>
        <Alert
          tone="bad"
          title="Something is missing"
          actions={<Button onClick={() => location.reload()}>Load it again</Button>}
        >
          <p className="alert-text">Your cart and your orders are safe. Loading the page again usually helps.</p>
        </Alert>
      </Page>
    );
  }
}

function useOnline(): boolean {
  const [online, setOnline] = useState(navigator.onLine);
  useEffect(() => {
    const update = () => setOnline(navigator.onLine);
    addEventListener("online", update);
    addEventListener("offline", update);
    return () => {
      removeEventListener("online", update);
      removeEventListener("offline", update);
    };
  }, []);
  return online;
}

/** It lies over the page, so that nothing jumps when the connection comes and goes. */
function OfflineBanner() {
  const online = useOnline();
  return (
    <div className="offline" role="status">
      {!online && <p>You are offline. Your cart is kept; paying needs a connection.</p>}
    </div>
  );
}
