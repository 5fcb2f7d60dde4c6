"""What a buyer does in the browser and at the bank: pay, pass a challenge, have the debit arrive."""

import html
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlencode, urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict
from pydantic_core import from_json

from stripe_simulator import payment_flow, setup_flow
from stripe_simulator.account import Account
from stripe_simulator.api_errors import ApiError
from stripe_simulator.collection import StripeObject
from stripe_simulator.forms import Form
from stripe_simulator.payment_flow import INTENTS

if TYPE_CHECKING:
    from stripe_simulator.state import State

_UNEXPECTED = frozenset({"payment_intent_unexpected_state", "setup_intent_unexpected_state"})
_EXPIRY = {"exp_month": "12", "exp_year": "2034", "cvc": "123"}


class Payment(BaseModel):
    """What to pay with, and what the buyer and the bank do next.

    Exactly one of `payment_method`, `card_number` and `iban` is used, in this order; a plain Visa if none is given.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    payment_method: str | None = None
    card_number: str | None = None
    iban: str | None = None
    return_url: str = "http://127.0.0.1/return"
    challenge: Literal["pass", "fail"] | None = None
    settle: Literal["paid", "failed"] | None = None


def pay(state: "State", intent_id: str, payment: Payment) -> dict[str, Any]:
    """Confirm with the publishable key and the client secret, as Stripe.js would; answer where the intent stands.

    `error` is what Stripe.js would have been told, null if the payment went through or on.
    """
    account = state.account
    collection = _collection_of(intent_id)
    intent = account[collection].get(intent_id, param="intent")
    form = _form(payment) | {"client_secret": intent["client_secret"], "return_url": payment.return_url}
    answer = state.api.call_as_browser(f"/v1/{collection}/{intent_id}/confirm", form)
    error = from_json(answer.body)["error"] if answer.status != 200 else None  # noqa: PLR2004 - HTTP's OK
    outcome = _intent_summary(account, intent_id, error)
    if outcome["status"] == "requires_action" and payment.challenge:
        outcome = finish_challenge(account, intent_id, passed=payment.challenge == "pass")
    if outcome["status"] == "processing" and payment.settle:
        outcome = settle(account, intent_id, paid=payment.settle == "paid")
    return outcome


def finish_challenge(account: Account, intent_id: str, *, passed: bool) -> dict[str, Any]:
    """Pass or fail the challenge; answer where the intent stands."""
    collection = _collection_of(intent_id)
    intent = account[collection].get(intent_id, param="intent")
    flow = setup_flow if collection == setup_flow.INTENTS else payment_flow
    try:
        flow.finish_challenge(account, intent, passed=passed)
    except ApiError as problem:
        if problem.code in _UNEXPECTED:
            raise
        return _intent_summary(account, intent_id, problem.error)
    return _intent_summary(account, intent_id, None)


def settle(account: Account, intent_id: str, *, paid: bool) -> dict[str, Any]:
    """Let the debit arrive or fail; answer where the intent stands."""
    payment_flow.settle(account, account[INTENTS].get(intent_id, param="intent"), paid=paid)
    return _intent_summary(account, intent_id, None)


def challenge_page(account: Account, intent_id: str) -> str:
    """Answer the page on which the buyer passes or fails the challenge."""
    intent = account[_collection_of(intent_id)].get(intent_id, param="intent")
    asked = f"{intent['amount']} {intent['currency']} (minor units)" if "amount" in intent else "later payments"
    sum_to_pay = html.escape(asked)
    return (
        "<!doctype html><html lang=en><title>3-D Secure (simulated)</title>"
        f"<h1>Simulated bank</h1><p>Authorize {sum_to_pay}? This page stands in for a bank; no money moves.</p>"
        "<form method=post><button name=outcome value=pass>Complete</button> "
        "<button name=outcome value=fail>Fail</button></form></html>"
    )


def answer_challenge(account: Account, intent_id: str, *, passed: bool) -> str:
    """Finish the challenge from the page; answer the address to send the buyer back to."""
    intent = account[_collection_of(intent_id)].get(intent_id, param="intent")
    redirect = (intent["next_action"] or {}).get("redirect_to_url") or {}
    outcome = finish_challenge(account, intent_id, passed=passed)
    status = "succeeded" if outcome["status"] in ("succeeded", "processing", "requires_capture") else "failed"
    return _with_query(redirect.get("return_url", "/_simulator/health"), intent, status)


def _with_query(address: str, intent: StripeObject, status: str) -> str:
    kind = intent["object"]
    added = urlencode({kind: intent["id"], f"{kind}_client_secret": intent["client_secret"], "redirect_status": status})
    parts = urlsplit(address)
    return urlunsplit(parts._replace(query=f"{parts.query}&{added}" if parts.query else added))


def _collection_of(intent_id: str) -> str:
    return setup_flow.INTENTS if intent_id.startswith("seti_") else INTENTS


def _form(payment: Payment) -> Form:
    if payment.payment_method is None and payment.card_number:
        return {"payment_method_data": {"type": "card", "card": _EXPIRY | {"number": payment.card_number}}}
    if payment.payment_method is None and payment.iban:
        return {"payment_method_data": {"type": "sepa_debit", "sepa_debit": {"iban": payment.iban}}}
    return {"payment_method": payment.payment_method or "pm_card_visa"}


def _intent_summary(account: Account, intent_id: str, error: dict[str, Any] | None) -> dict[str, Any]:
    intent = account[_collection_of(intent_id)].get(intent_id)
    shown = {name: intent.get(name) for name in ("id", "status", "amount_received", "latest_charge")}
    return shown | {"error": error and {name: error.get(name) for name in ("type", "code", "decline_code", "message")}}
