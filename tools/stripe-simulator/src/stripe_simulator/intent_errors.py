"""Errors of payment and setup intents: a state that forbids the request, or a decline."""

from typing import Any, Final

from stripe_simulator.api_errors import ApiError
from stripe_simulator.collection import StripeObject
from stripe_simulator.instruments import Decline

_DOCS: Final = "https://stripe.com/docs/error-codes/"
_PAST_TENSE: Final = {"confirm": "confirmed", "cancel": "canceled"}
_CLASS_NAMES: Final = {"payment_intent": "PaymentIntent", "setup_intent": "SetupIntent"}

AUTHENTICATION_FAILED: Final = Decline(
    "payment_intent_authentication_failure",
    "The provided PaymentMethod has failed authentication. You can provide payment_method_data or a new PaymentMethod "
    "to attempt to fulfill this PaymentIntent again.",
)
SETUP_AUTHENTICATION_FAILED: Final = Decline(
    "setup_intent_authentication_failure",
    "The provided PaymentMethod has failed authentication. You can provide payment_method_data or a new PaymentMethod "
    "to attempt to fulfill this SetupIntent again.",
)
AUTHENTICATION_REQUIRED: Final = Decline(
    "authentication_required",
    "Your card was declined. This transaction requires authentication.",
    "authentication_required",
)


def class_name(intent: StripeObject) -> str:
    """Return the name that Stripe's messages use for the intent's class."""
    return _CLASS_NAMES[intent["object"]]


def unexpected_state(intent: StripeObject, message: str) -> ApiError:
    """Build the 400 for a transition that the intent's status forbids. The error contains the intent."""
    kind = intent["object"]
    return ApiError(400, message, code=f"{kind}_unexpected_state", details={kind: intent})


def wrong_status(intent: StripeObject, verb: str, allowed: tuple[str, ...]) -> ApiError:
    """Build the 400 that lists the statuses in which the verb is allowed."""
    name = class_name(intent)
    return unexpected_state(
        intent,
        f"You cannot {verb} this {name} because it has a status of {intent['status']}. Only a {name} with one of the "
        f"following statuses may be {_PAST_TENSE[verb]}: {', '.join(allowed)}.",
    )


def already_succeeded(intent: StripeObject) -> ApiError:
    """Build the 400 for confirming a succeeded intent."""
    return unexpected_state(
        intent,
        f"You cannot confirm this {class_name(intent)} because it has already succeeded after being previously "
        "confirmed.",
    )


def missing_payment_method(intent: StripeObject) -> ApiError:
    """Build the 400 for confirming without a payment method."""
    name = class_name(intent)
    return unexpected_state(
        intent,
        f"You cannot confirm this {name} because it's missing a payment method. You can either update the {name} with "
        "a payment method and then confirm it again, or confirm it again directly with a payment method or "
        "ConfirmationToken.",
    )


def not_updatable(intent: StripeObject, param: str, allowed: tuple[str, ...]) -> ApiError:
    """Build the 400 for updating a parameter that the status has fixed."""
    return unexpected_state(
        intent,
        f"This PaymentIntent's {param} could not be updated because it has a status of {intent['status']}. You may "
        f"only update the {param} of a PaymentIntent with one of the following statuses: {', '.join(allowed)}.",
    )


def payment_error(decline: Decline, method: StripeObject, charge_id: str | None = None) -> dict[str, Any]:
    """Return `last_payment_error` or `last_setup_error`, which is also the body of the card error."""
    authentication = decline in (AUTHENTICATION_FAILED, SETUP_AUTHENTICATION_FAILED)
    card_error = method["type"] == "card" and not authentication
    error: dict[str, Any] = {"charge": charge_id} if charge_id else {}
    error |= {"code": decline.code}
    if decline.decline_code:
        error["decline_code"] = decline.decline_code
    error |= {"doc_url": _DOCS + decline.code.replace("_", "-"), "message": decline.message, "payment_method": method}
    return error | {"type": "card_error" if card_error else "invalid_request_error"}


def declined(intent: StripeObject) -> ApiError:
    """Build the 402 from the intent's last error. The error contains the intent."""
    error = intent.get("last_payment_error") or intent["last_setup_error"]
    details = {name: error[name] for name in ("charge", "decline_code", "payment_method") if name in error}
    return ApiError(
        402, error["message"], kind=error["type"], code=error["code"], details=details | {intent["object"]: intent}
    )
