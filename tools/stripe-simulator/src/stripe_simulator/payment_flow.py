"""Lifecycle of a payment intent: confirm, challenge, settle, cancel.

States and transitions follow https://docs.stripe.com/payments/paymentintents/lifecycle. Every function takes the intent
as it is stored, returns its new state, and never awaits: of two concurrent confirms the second sees the first one's
result.
"""

from dataclasses import dataclass
from typing import Any

from stripe_simulator.account import Account
from stripe_simulator.api_errors import invalid
from stripe_simulator.collection import StripeObject
from stripe_simulator.instruments import Challenge, Decline, Instrument
from stripe_simulator.intent_errors import (
    AUTHENTICATION_FAILED,
    AUTHENTICATION_REQUIRED,
    already_succeeded,
    class_name,
    declined,
    missing_payment_method,
    payment_error,
    unexpected_state,
    wrong_status,
)
from stripe_simulator.resources.charges import book, new_charge, outcome_fields
from stripe_simulator.resources.payment_methods import (
    attach,
    mark_set_up,
    mark_spent,
    method_state,
    previously_used,
)

INTENTS = "payment_intents"
CONFIRMABLE = ("requires_payment_method", "requires_confirmation", "requires_action")


@dataclass(frozen=True, slots=True)
class Confirmation:
    """Parameters of a confirm call."""

    off_session: bool = False
    error_on_requires_action: bool = False
    return_url: str | None = None
    use_stripe_sdk: bool = False
    challenge_url: str = ""


def check_method_type(intent: StripeObject, method: StripeObject) -> None:
    """Refuse a payment method of a type that the intent does not accept."""
    if method["type"] not in intent["payment_method_types"]:
        raise invalid(
            f"The PaymentMethod provided ({method['type']}) is not allowed for this {class_name(intent)}. Please "
            f"attach a PaymentMethod of one of the following types: {', '.join(intent['payment_method_types'])}.",
            param="payment_method",
            code="payment_intent_incompatible_payment_method" if intent["object"] == "payment_intent" else None,
        )


def check_method(account: Account, intent: StripeObject, method: StripeObject) -> None:
    """Refuse a payment method that the intent does not accept, that is used up, or that is another customer's."""
    check_method_type(intent, method)
    if method["customer"] is None:
        if method_state(account, method["id"]).spent:
            raise previously_used()
    elif intent["customer"] is None:
        raise invalid(
            "The provided PaymentMethod is attached to a Customer; include the Customer in the `customer` parameter "
            "of the PaymentIntent.",
            param="payment_method",
        )
    elif intent["customer"] != method["customer"]:
        raise invalid("The provided PaymentMethod belongs to another Customer.", param="payment_method")


def confirm(account: Account, intent: StripeObject, confirmation: Confirmation) -> StripeObject:
    """Charge the intent's payment method. Raises Stripe's 402 if the bank declines."""
    if intent["status"] == "succeeded":
        raise already_succeeded(intent)
    if intent["status"] not in CONFIRMABLE:
        raise wrong_status(intent, "confirm", CONFIRMABLE)
    if intent["payment_method"] is None:
        raise missing_payment_method(intent)
    _check_customer(account, intent)
    method = account["payment_methods"].get(intent["payment_method"])
    check_method(account, intent, method)
    if _needs_buyer(account, method):
        return _challenge(account, intent, method, confirmation)
    return _charge(account, intent, method)


def finish_challenge(account: Account, intent: StripeObject, *, passed: bool) -> StripeObject:
    """Pass or fail the buyer's 3-D Secure challenge. Raises Stripe's 402 if the bank declines after it."""
    if intent["status"] != "requires_action":
        raise unexpected_state(intent, "This PaymentIntent has no challenge to finish.")
    _check_customer(account, intent)
    method = account["payment_methods"].get(intent["payment_method"])
    if not passed:
        return _fail(account, intent, method, AUTHENTICATION_FAILED, None)
    if intent["setup_future_usage"] == "off_session":
        mark_set_up(account, method["id"])
    return _charge(account, intent, method)


def _check_customer(account: Account, intent: StripeObject) -> None:
    """Refuse to charge for a customer who was deleted."""
    if intent["customer"] is not None:
        account["customers"].get(intent["customer"], param="customer", status=400)


def settle(account: Account, intent: StripeObject, *, paid: bool) -> StripeObject:
    """Complete or fail the bank debit of a `processing` intent."""
    if intent["status"] != "processing":
        raise unexpected_state(intent, f"This PaymentIntent has a status of {intent['status']}, and cannot be settled.")
    charge = account["charges"].get(intent["latest_charge"])
    method = account["payment_methods"].get(intent["payment_method"])
    if paid:
        amount = charge["amount"]
        fields = outcome_fields("succeeded", None) | {"captured": True, "amount_captured": amount}
        account.change("charges", charge, "charge.succeeded", **fields)
        settled = account.change(
            INTENTS, intent, "payment_intent.succeeded", status="succeeded", amount_received=amount, processing=None
        )
        book(account, charge["id"])
        return settled
    decline = _instrument(account, method).decline or _DEBIT_REFUSED
    account.change("charges", charge, "charge.failed", **outcome_fields("failed", decline))
    return _fail(account, intent, method, decline, charge["id"])


def cancel(account: Account, intent: StripeObject, reason: str | None) -> StripeObject:
    """Cancel the intent for good."""
    if intent["status"] not in CONFIRMABLE:
        raise wrong_status(intent, "cancel", CONFIRMABLE)
    return account.change(
        INTENTS,
        intent,
        "payment_intent.canceled",
        status="canceled",
        canceled_at=account.clock.timestamp(),
        cancellation_reason=reason,
        next_action=None,
    )


_DEBIT_REFUSED = Decline(
    "payment_intent_payment_attempt_failed", "The payment failed because the bank declined the debit."
)


def _instrument(account: Account, method: StripeObject) -> Instrument:
    return method_state(account, method["id"]).instrument


def _needs_buyer(account: Account, method: StripeObject) -> bool:
    """Return true if the buyer has to pass 3-D Secure, or to approve on a page of the bank or wallet."""
    state = method_state(account, method["id"])
    if state.instrument.redirects:
        return not state.set_up
    if state.instrument.challenge is Challenge.UNLESS_SET_UP:
        return not state.set_up
    return state.instrument.challenge is Challenge.ALWAYS


def _challenge(
    account: Account, intent: StripeObject, method: StripeObject, confirmation: Confirmation
) -> StripeObject:
    if confirmation.off_session or confirmation.error_on_requires_action:
        raise declined(_fail(account, intent, method, AUTHENTICATION_REQUIRED, None))
    return account.change(
        INTENTS,
        intent,
        "payment_intent.requires_action",
        status="requires_action",
        next_action=next_action(account, intent, method, confirmation),
        last_payment_error=None,
    )


def next_action(
    account: Account, intent: StripeObject, method: StripeObject, confirmation: Confirmation
) -> dict[str, Any]:
    """Return the `next_action`: a page to redirect the buyer to, or 3-D Secure in Stripe.js."""
    redirects = _instrument(account, method).redirects
    if redirects and not confirmation.return_url:
        raise invalid(f"You must provide a `return_url` to pay with {method['type']}.", param="return_url")
    if redirects or (confirmation.return_url and not confirmation.use_stripe_sdk):
        redirect = {"return_url": confirmation.return_url, "url": confirmation.challenge_url}
        account.secrets[return_url_key(intent)] = confirmation.return_url
        return {"redirect_to_url": redirect, "type": "redirect_to_url"}
    account.secrets.pop(return_url_key(intent), None)
    return {
        "type": "use_stripe_sdk",
        "use_stripe_sdk": {
            "source": account.ids.new("src"),
            "stripe_js": confirmation.challenge_url,
            "type": "three_d_secure_redirect",
        },
    }


def return_url_key(intent: StripeObject) -> str:
    """Return the key in `Account.secrets` of the URL that the page of the bank or wallet returns the buyer to."""
    return f"{intent['id']} return_url"


def _charge(account: Account, intent: StripeObject, method: StripeObject) -> StripeObject:
    instrument = _instrument(account, method)
    if instrument.settles:
        return _begin_debit(account, intent, method)
    if instrument.decline:
        charge = new_charge(account, intent, method, "failed", instrument.decline)
        account.publish("charge.failed", charge)
        raise declined(_fail(account, intent, method, instrument.decline, charge["id"]))
    charge = new_charge(account, intent, method, "succeeded")
    account.publish("charge.succeeded", charge)
    _attach_or_spend(account, intent, method)
    paid = _with_charge(
        account, intent, charge, "payment_intent.succeeded", status="succeeded", amount_received=intent["amount"]
    )
    book(account, charge["id"])
    return paid


def _with_charge(
    account: Account, intent: StripeObject, charge: StripeObject, event: str, **fields: Any
) -> StripeObject:
    changed = account.change(
        INTENTS, intent, None, latest_charge=charge["id"], next_action=None, last_payment_error=None, **fields
    )
    account.publish(event, changed)
    return changed


def _begin_debit(account: Account, intent: StripeObject, method: StripeObject) -> StripeObject:
    charge = new_charge(account, intent, method, "pending")
    account.publish("charge.pending", charge)
    _attach_or_spend(account, intent, method)
    processing = _with_charge(account, intent, charge, "payment_intent.processing", status="processing")
    paid = _instrument(account, method).decline is None
    account.scheduler.add(
        account.settings.settlement_seconds, lambda: _settle_if_pending(account, intent["id"], charge["id"], paid=paid)
    )
    return processing


def _settle_if_pending(account: Account, intent_id: str, charge_id: str, *, paid: bool) -> None:
    """Settle, unless the control API has settled this debit already."""
    intent = account[INTENTS].get(intent_id)
    if intent["status"] == "processing" and intent["latest_charge"] == charge_id:
        settle(account, intent, paid=paid)


def _attach_or_spend(account: Account, intent: StripeObject, method: StripeObject) -> None:
    """Attach the payment method if the intent asks for it. One without a customer works only once."""
    if method["customer"] is not None:
        return
    if intent["setup_future_usage"] and intent["customer"]:
        attach(account, method, intent["customer"])
    else:
        mark_spent(account, method["id"])


def _fail(
    account: Account, intent: StripeObject, method: StripeObject, decline: Decline, charge_id: str | None
) -> StripeObject:
    return account.change(
        INTENTS,
        intent,
        "payment_intent.payment_failed",
        status="requires_payment_method",
        payment_method=None,
        latest_charge=charge_id or intent["latest_charge"],
        last_payment_error=payment_error(decline, method, charge_id),
        next_action=None,
        processing=None,
    )
