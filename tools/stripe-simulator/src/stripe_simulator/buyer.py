"""Actions of a buyer: pay, pass or fail a 3-D Secure challenge, let a bank debit settle."""

from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlencode, urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict
from pydantic_core import from_json

from stripe_simulator import bank_page, payment_flow, setup_flow
from stripe_simulator.account import Account
from stripe_simulator.api_errors import ApiError
from stripe_simulator.collection import StripeObject
from stripe_simulator.payment_flow import return_url_key

if TYPE_CHECKING:
    from stripe_simulator.state import State

_STATE_ERRORS: Final = frozenset({"payment_intent_unexpected_state", "setup_intent_unexpected_state"})
_PAID: Final = ("succeeded", "processing")


class Payment(BaseModel):
    """Payment method of a simulated buyer, and the outcome of a challenge or a debit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    payment_method: str = "pm_card_visa"
    return_url: str = "http://127.0.0.1/return"
    challenge: Literal["pass", "fail"] | None = None
    settle: Literal["paid", "failed"] | None = None


def pay(state: "State", intent_id: str, payment: Payment) -> dict[str, Any]:
    """Confirm with the publishable key and the client secret, as Stripe.js does. Return a summary of the intent.

    `error` in the summary is Stripe's error to the browser, or null.
    """
    account = state.account
    collection, intent = _find(account, intent_id)
    form = {
        "payment_method": payment.payment_method,
        "client_secret": intent["client_secret"],
        "return_url": payment.return_url,
    }
    response = state.api.call_as_browser(f"/v1/{collection}/{intent_id}/confirm", form)
    error = from_json(response.body)["error"] if response.status != 200 else None  # noqa: PLR2004 - HTTP's OK
    summary = _summary(account, intent_id, error)
    if summary["status"] == "requires_action" and payment.challenge:
        summary = finish_challenge(account, intent_id, passed=payment.challenge == "pass")
    if summary["status"] == "processing" and payment.settle:
        summary = settle(account, intent_id, paid=payment.settle == "paid")
    return summary


def finish_challenge(account: Account, intent_id: str, *, passed: bool) -> dict[str, Any]:
    """Pass or fail the 3-D Secure challenge of an intent. Return a summary of the intent."""
    collection, intent = _find(account, intent_id)
    flow = setup_flow if collection == setup_flow.INTENTS else payment_flow
    try:
        flow.finish_challenge(account, intent, passed=passed)
    except ApiError as error:
        if error.code in _STATE_ERRORS:
            raise
        return _summary(account, intent_id, error.body)
    return _summary(account, intent_id, None)


def settle(account: Account, intent_id: str, *, paid: bool) -> dict[str, Any]:
    """Complete or fail the bank debit of an intent. Return a summary of the intent."""
    _, intent = _find(account, intent_id)
    payment_flow.settle(account, intent, paid=paid)
    return _summary(account, intent_id, None)


def challenge_page(account: Account, intent_id: str) -> str:
    """Return the HTML page of the bank or wallet, where a buyer approves or refuses."""
    _, intent = _find(account, intent_id)
    if intent["status"] != "requires_action":
        return bank_page.answered(account.secrets.get(return_url_key(intent)))
    method = account["payment_methods"].get(intent["payment_method"])
    return bank_page.question(method["type"], intent.get("amount"), intent.get("currency"))


def answer_challenge(account: Account, intent_id: str, *, passed: bool) -> str | None:
    """Take the answer from the page. Return the URL to redirect the buyer to, or None in Stripe.js's dialog.

    A page that was left open, or that the back button shows again, changes nothing once the intent is decided.
    """
    _, intent = _find(account, intent_id)
    status = intent["status"]
    return_url: str | None = account.secrets.get(return_url_key(intent))
    if status == "requires_action":
        status = finish_challenge(account, intent_id, passed=passed)["status"]
    if return_url is None:
        return None
    outcome = "succeeded" if status in _PAID else "failed"
    kind = intent["object"]
    added = urlencode(
        {kind: intent["id"], f"{kind}_client_secret": intent["client_secret"], "redirect_status": outcome}
    )
    parts = urlsplit(return_url)
    return urlunsplit(parts._replace(query=f"{parts.query}&{added}" if parts.query else added))


def _find(account: Account, intent_id: str) -> tuple[str, StripeObject]:
    collection = setup_flow.INTENTS if intent_id.startswith("seti_") else payment_flow.INTENTS
    return collection, account[collection].get(intent_id, param="intent")


def _summary(account: Account, intent_id: str, error: dict[str, Any] | None) -> dict[str, Any]:
    _, intent = _find(account, intent_id)
    summary = {name: intent.get(name) for name in ("id", "status", "amount_received", "latest_charge")}
    return summary | {
        "error": error and {name: error.get(name) for name in ("type", "code", "decline_code", "message")}
    }
