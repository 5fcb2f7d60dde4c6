/** Header and footer of every page. */

import { openCart } from "./CartDialog";
import { countItems, useCart } from "./cart";
import { isTestMode, useConfig } from "./data";
import { Link, usePath } from "./router";
import { SignIn } from "./SignIn";

const NAV = [
  ["/", "Shop"],
  ["/orders", "Orders"],
  ["/subscriptions", "Subscriptions"],
] as const;

export function Header() {
  const path = usePath();
  return (
    <header className="header">
      <div className="wrap header-row">
        <Link className="wordmark" to="/">
          <Flag />
          Harbour Supply
        </Link>
        <nav aria-label="Main">
          <ul className="nav">
            {NAV.map(([to, label]) => (
              <li key={to}>
                <Link to={to} aria-current={path === to ? "page" : undefined}>
                  {label}
                </Link>
              </li>
            ))}
          </ul>
        </nav>
        <div className="header-end">
          <SignIn />
          <CartButton />
        </div>
      </div>
    </header>
  );
}

/** Signal flag K: "I wish to communicate with you". */
function Flag() {
  return (
    <svg className="flag" viewBox="0 0 24 24" width="24" height="24" aria-hidden="true">
      <path className="flag-hoist" d="M1 3h11v18H1z" />
      <path className="flag-fly" d="M12 3h11v18H12z" />
    </svg>
  );
}

function CartButton() {
  const count = countItems(useCart());
  return (
    <button
      type="button"
      className="cart-button"
      aria-label={`Cart, ${count} ${count === 1 ? "item" : "items"}`}
      aria-haspopup="dialog"
      onClick={openCart}
    >
      Cart <span className="cart-count">{count}</span>
    </button>
  );
}

export function Footer() {
  const { data } = useConfig();
  return (
    <footer className="footer">
      <div className="wrap footer-row">
        <p>Harbour Supply, a sample shop on Holdfast.</p>
        <p>{isTestMode(data) && "Test mode: no money moves, and nothing is sent."}</p>
      </div>
    </footer>
  );
}
