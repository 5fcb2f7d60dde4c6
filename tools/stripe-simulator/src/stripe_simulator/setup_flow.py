"""Lifecycle of a setup intent: confirm, challenge, cancel (https://docs.stripe.com/payments/intents).

Nothing is charged. A confirmed payment method is attached to the customer. Every function takes the intent as it is
stored, returns its new state, and never awaits.
"""

from typing import Final

from stripe_simulator.account import Account
from stripe_simulator.api_errors import invalid
from stripe_simulator.collection import StripeObject
from stripe_simulator.instruments import Challenge, Decline
from stripe_simulator.intent_errors import (
    SETUP_AUTHENTICATION_FAILED,
    already_succeeded,
    declined,
    missing_payment_method,
    payment_error,
    unexpected_state,
    wrong_status,
)
from stripe_simulator.payment_flow import Confirmation, check_method_type, next_action
from stripe_simulator.resources.payment_methods import attach, mark_set_up, method_state

INTENTS: Final = "setup_intents"
CONFIRMABLE: Final = ("requires_payment_method", "requires_confirmation", "requires_action")


def check_method(_: Account, intent: StripeObject, method: StripeObject) -> None:
    """Refuse a payment method of a type that the intent does not accept, or of another customer."""
    check_method_type(intent, method)
    if method["customer"] not in (None, intent["customer"]):
        raise invalid("The provided PaymentMethod belongs to another Customer.", param="payment_method")


def confirm(account: Account, intent: StripeObject, confirmation: Confirmation) -> StripeObject:
    """Set up the intent's payment method. Raises Stripe's 402 if the bank declines."""
    if intent["status"] == "succeeded":
        raise already_succeeded(intent)
    if intent["status"] not in CONFIRMABLE:
        raise wrong_status(intent, "confirm", CONFIRMABLE)
    if intent["payment_method"] is None:
        raise missing_payment_method(intent)
    method = account["payment_methods"].get(intent["payment_method"])
    check_method(account, intent, method)
    state = method_state(account, method["id"])
    asks = state.instrument.redirects or state.instrument.challenge is not Challenge.NEVER
    if asks and not state.set_up:
        return account.change(
            INTENTS,
            intent,
            "setup_intent.requires_action",
            status="requires_action",
            next_action=next_action(account, intent, method, confirmation),
            last_setup_error=None,
        )
    return _set_up(account, intent, method)


def finish_challenge(account: Account, intent: StripeObject, *, passed: bool) -> StripeObject:
    """Pass or fail the buyer's 3-D Secure challenge."""
    if intent["status"] != "requires_action":
        raise unexpected_state(intent, "This SetupIntent has no challenge to finish.")
    method = account["payment_methods"].get(intent["payment_method"])
    if not passed:
        return _fail(account, intent, method, SETUP_AUTHENTICATION_FAILED)
    return _set_up(account, intent, method)


def cancel(account: Account, intent: StripeObject, reason: str | None) -> StripeObject:
    """Cancel the intent for good."""
    if intent["status"] not in CONFIRMABLE:
        raise wrong_status(intent, "cancel", CONFIRMABLE)
    return account.change(
        INTENTS, intent, "setup_intent.canceled", status="canceled", cancellation_reason=reason, next_action=None
    )


def _set_up(account: Account, intent: StripeObject, method: StripeObject) -> StripeObject:
    instrument = method_state(account, method["id"]).instrument
    if instrument.refuses_attachment and instrument.decline:
        raise declined(_fail(account, intent, method, instrument.decline))
    if intent["customer"]:
        attach(account, method, intent["customer"])
    mark_set_up(account, method["id"])
    return account.change(
        INTENTS, intent, "setup_intent.succeeded", status="succeeded", next_action=None, last_setup_error=None
    )


def _fail(account: Account, intent: StripeObject, method: StripeObject, decline: Decline) -> StripeObject:
    return account.change(
        INTENTS,
        intent,
        "setup_intent.setup_failed",
        status="requires_payment_method",
        payment_method=None,
        next_action=None,
        last_setup_error=payment_error(decline, method),
    )
