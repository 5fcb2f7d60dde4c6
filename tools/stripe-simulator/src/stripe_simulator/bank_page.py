"""Page of the simulated bank or wallet, where a buyer approves or refuses a payment."""

import html
from typing import Final

from stripe_simulator.money import format_amount

_NAMES: Final = {"amazon_pay": "Amazon Pay", "card": "bank", "ideal": "iDEAL bank"}

_STYLE: Final = """
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif }
body { min-height: 100dvh; margin: 0; padding: 1rem; box-sizing: border-box; display: grid; place-items: center;
  color: light-dark(#1f2430, #f2f3f7); background: light-dark(#eef0f4, #14161c) }
main { width: min(26rem, 100%); box-sizing: border-box; padding: 2rem; border-radius: 1rem; display: grid; gap: 1rem;
  background: light-dark(#fff, #1f222b); box-shadow: 0 12px 40px rgb(0 0 0 / 12%) }
h1, p { margin: 0 } h1 { font-size: 1.25rem } strong { font-size: 1.75rem; line-height: 1.2 }
form { display: grid; gap: .5rem }
button, a { min-height: 2.75rem; border-radius: .5rem; border: 1px solid light-dark(#747b8a, #9aa1b2); font: inherit;
  font-weight: 600; cursor: pointer; background: transparent; color: inherit }
button[value=pass] { border-color: transparent; background: light-dark(#1d4ed8, #a9c1ff);
  color: light-dark(#fff, #10131a) }
a { display: grid; place-items: center; text-decoration: none }
"""


def question(method_type: str, amount: int | None, currency: str | None) -> str:
    """Return the page that asks the buyer. Without an amount, the method is set up for later payments."""
    name = _NAMES.get(method_type, "bank")
    asked = "Save this payment method for later payments?" if amount is None else "Approve this payment?"
    shown = "" if amount is None or currency is None else f"<strong>{format_amount(amount, currency)}</strong>"
    return page(
        f"Simulated {name}",
        f"<p>{asked}</p>{shown}<p>This page stands in for the real one; no money moves.</p>"
        "<form method=post><button name=outcome value=pass>Approve</button>"
        "<button name=outcome value=fail>Refuse</button></form>",
    )


def answered(return_url: str | None) -> str:
    """Return the page for a payment that was decided already."""
    link = f'<a href="{html.escape(return_url)}">Return to the shop</a>' if return_url else ""
    return page("Nothing to approve", f"<p>This payment was decided already.</p>{link}")


def page(title: str, body: str) -> str:
    """Return a page in the style of the bank's."""
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width,initial-scale=1'>"
        f"<title>{title}</title><link rel=icon href='data:,'>"
        f"<style>{_STYLE}</style><main><h1>{title}</h1>{body}</main></html>"
    )
