"""What Stripe answers when an intent cannot do what was asked, or its payment fails."""

from typing import Any

from stripe_simulator.api_errors import ApiError
from stripe_simulator.collection import StripeObject
from stripe_simulator.instruments import Decline

_DOCS = "https://stripe.com/docs/error-codes/"
AUTHENTICATION_FAILED = Decline(
    "payment_intent_authentication_failure",
    "The provided PaymentMethod has failed authentication. You can provide payment_method_data or a new PaymentMethod "
    "to attempt to fulfill this PaymentIntent again.",
)
AUTHENTICATION_REQUIRED = Decline(
    "authentication_required",
    "Your card was declined. This transaction requires authentication.",
    "authentication_required",
)


def unexpected_state(intent: StripeObject, message: str) -> ApiError:
    """Make the 400 for a transition that the intent's status does not allow."""
    details = {"payment_intent": intent}
    return ApiError(400, message, code="payment_intent_unexpected_state", details=details)


def wrong_status(intent: StripeObject, verb: str, allowed: tuple[str, ...]) -> ApiError:
    """Make the 400 that lists the statuses in which the verb would work."""
    return unexpected_state(
        intent,
        f"You cannot {verb} this PaymentIntent because it has a status of {intent['status']}. Only a PaymentIntent "
        f"with one of the following statuses may be {_PAST[verb]}: {', '.join(allowed)}.",
    )


_PAST = {"confirm": "confirmed", "cancel": "canceled", "capture": "captured"}


def already_succeeded(intent: StripeObject) -> ApiError:
    """Make the 400 for confirming what is paid already."""
    return unexpected_state(
        intent,
        "You cannot confirm this PaymentIntent because it has already succeeded after being previously confirmed.",
    )


def missing_payment_method(intent: StripeObject) -> ApiError:
    """Make the 400 for confirming without anything to pay with."""
    return unexpected_state(
        intent,
        "You cannot confirm this PaymentIntent because it's missing a payment method. You can either update the "
        "PaymentIntent with a payment method and then confirm it again, or confirm it again directly with a payment "
        "method or ConfirmationToken.",
    )


def not_updatable(intent: StripeObject, param: str, allowed: tuple[str, ...]) -> ApiError:
    """Make the 400 for changing what is fixed by now."""
    return unexpected_state(
        intent,
        f"This PaymentIntent's {param} could not be updated because it has a status of {intent['status']}. You may "
        f"only update the {param} of a PaymentIntent with one of the following statuses: {', '.join(allowed)}.",
    )


def payment_error(decline: Decline, method: StripeObject, charge_id: str | None) -> dict[str, Any]:
    """Answer `last_payment_error`, which is also the body of the card error."""
    card = method["type"] == "card" and decline is not AUTHENTICATION_FAILED
    error: dict[str, Any] = {"charge": charge_id} if charge_id else {}
    error |= {"code": decline.code}
    if decline.decline_code:
        error["decline_code"] = decline.decline_code
    error |= {"doc_url": _DOCS + decline.code.replace("_", "-"), "message": decline.message, "payment_method": method}
    return error | {"type": "card_error" if card else "invalid_request_error"}


def declined(intent: StripeObject) -> ApiError:
    """Make the 402 of a payment that the bank refused; the intent is inside."""
    error = dict(intent["last_payment_error"])
    return ApiError(
        402,
        error["message"],
        kind=error["type"],
        code=error["code"],
        details={name: error[name] for name in ("charge", "decline_code", "payment_method") if name in error}
        | {"payment_intent": intent},
    )
