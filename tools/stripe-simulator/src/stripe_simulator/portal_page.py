"""Page of the simulated customer portal, where a customer ends subscriptions and undoes that."""

import html
from typing import TYPE_CHECKING, Final

from stripe_simulator.bank_page import page
from stripe_simulator.billing.objects import SUBSCRIPTIONS, current_period_end
from stripe_simulator.collection import StripeObject
from stripe_simulator.resources.billing_portal import session_of

if TYPE_CHECKING:
    from stripe_simulator.state import State

_RUNNING: Final = frozenset({"trialing", "active", "past_due"})


def portal_page(state: "State", token: str) -> str:
    """Return the portal of a session. Raises KeyError."""
    session = session_of(state.account, token)
    rows = [
        _row(subscription)
        for subscription in state.account[SUBSCRIPTIONS]
        if subscription["customer"] == session["customer"] and subscription["status"] in _RUNNING
    ]
    note = "<p>This page stands in for Stripe's; only ending a subscription works.</p>"
    back = f'<a href="{html.escape(session["return_url"])}">Return to the shop</a>' if session["return_url"] else ""
    return page("Simulated customer portal", "".join([note, *rows, back]))


def change_subscription(state: "State", token: str, subscription_id: str, *, cancel: bool) -> None:
    """End a subscription of the session's customer at its period's end, or undo that. Raises KeyError.

    With flexible billing, the default, the portal sets the date alone, and `cancel_at_period_end` stays false
    (https://docs.stripe.com/billing/subscriptions/billing-mode/compare).
    """
    subscription = state.account[SUBSCRIPTIONS].get(subscription_id)
    if subscription["customer"] != session_of(state.account, token)["customer"]:
        raise KeyError(subscription_id)
    form = {"cancel_at": str(current_period_end(subscription)) if cancel else ""}
    state.api.call_as_browser(f"/v1/subscriptions/{subscription_id}", form)


def _row(subscription: StripeObject) -> str:
    ends = subscription["cancel_at"] is not None
    shown = html.escape(subscription["id"])
    action, label = ("undo", "Don't cancel") if ends else ("cancel", "Cancel at the period's end")
    return (
        f"<form method=post><p>{shown}</p><input type=hidden name=subscription value={shown}>"
        f"<button name=action value={action}>{label}</button></form>"
    )
