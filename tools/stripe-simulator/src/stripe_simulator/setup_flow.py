"""How a setup intent lives: confirm, challenge, cancel (https://docs.stripe.com/payments/intents).

Nothing is charged: the bank is asked whether the payment method may be saved, and it is attached to the customer. Every
function takes the intent as it is stored now and answers its new state, without awaiting anything.
"""

from typing import Any

from stripe_simulator.account import Account
from stripe_simulator.api_errors import ApiError, invalid
from stripe_simulator.collection import StripeObject
from stripe_simulator.instruments import Challenge, Decline
from stripe_simulator.payment_flow import Confirmation, next_action
from stripe_simulator.resources.payment_methods import attach, mark_set_up, method_state, resolve_method

INTENTS = "setup_intents"
CONFIRMABLE = ("requires_payment_method", "requires_confirmation", "requires_action")
CANCELABLE = CONFIRMABLE
AUTHENTICATION_FAILED = Decline(
    "setup_intent_authentication_failure",
    "The provided PaymentMethod has failed authentication. You can provide payment_method_data or a new PaymentMethod "
    "to attempt to fulfill this SetupIntent again.",
)


def choose_method(account: Account, intent: StripeObject, method_id: str) -> StripeObject:
    """Answer the payment method for an id, if this intent may set it up."""
    method = resolve_method(account, method_id)
    check_method(intent, method)
    return method


def check_method(intent: StripeObject, method: StripeObject) -> None:
    """Refuse a payment method of a kind that the intent does not take, or that belongs to someone else."""
    if method["type"] not in intent["payment_method_types"]:
        raise invalid(
            f"The PaymentMethod provided ({method['type']}) is not allowed for this SetupIntent. Please attach a "
            f"PaymentMethod of one of the following types: {', '.join(intent['payment_method_types'])}.",
            param="payment_method",
        )
    if method["customer"] not in (None, intent["customer"]):
        raise invalid("The provided PaymentMethod belongs to another Customer.", param="payment_method")


def confirm(account: Account, intent: StripeObject, confirmation: Confirmation) -> StripeObject:
    """Try to set the intent's payment method up; raise Stripe's 402 if the bank refuses."""
    if intent["status"] == "succeeded":
        raise unexpected_state(intent, "This SetupIntent has already succeeded and cannot be confirmed again.")
    if intent["status"] not in CONFIRMABLE:
        raise wrong_status(intent, "confirm", CONFIRMABLE)
    if intent["payment_method"] is None:
        raise unexpected_state(
            intent,
            "You cannot confirm this SetupIntent because it's missing a payment method. Update the SetupIntent with a "
            "payment method and then confirm it again.",
        )
    method = account["payment_methods"].get(intent["payment_method"])
    check_method(intent, method)
    state = method_state(account, method["id"])
    if state.instrument.challenge is not Challenge.NEVER and not state.set_up:
        return account.change(
            INTENTS,
            intent,
            "setup_intent.requires_action",
            status="requires_action",
            next_action=next_action(account, confirmation),
            last_setup_error=None,
        )
    return _set_up(account, intent, method)


def finish_challenge(account: Account, intent: StripeObject, *, passed: bool) -> StripeObject:
    """Let the buyer pass or fail 3-D Secure."""
    if intent["status"] != "requires_action":
        raise unexpected_state(intent, "This SetupIntent has no challenge to finish.")
    method = account["payment_methods"].get(intent["payment_method"])
    if not passed:
        return _fail(account, intent, method, AUTHENTICATION_FAILED)
    return _set_up(account, intent, method)


def cancel(account: Account, intent: StripeObject, reason: str | None) -> StripeObject:
    """Make the intent unusable for good."""
    if intent["status"] not in CANCELABLE:
        raise wrong_status(intent, "cancel", CANCELABLE)
    return account.change(
        INTENTS,
        intent,
        "setup_intent.canceled",
        status="canceled",
        cancellation_reason=reason,
        next_action=None,
    )


def _set_up(account: Account, intent: StripeObject, method: StripeObject) -> StripeObject:
    instrument = method_state(account, method["id"]).instrument
    if instrument.refuses_attachment and instrument.decline:
        raise declined(_fail(account, intent, method, instrument.decline))
    if intent["customer"]:
        attach(account, method, intent["customer"])
    mark_set_up(account, method["id"])
    return account.change(
        INTENTS,
        intent,
        "setup_intent.succeeded",
        status="succeeded",
        next_action=None,
        last_setup_error=None,
    )


def _fail(account: Account, intent: StripeObject, method: StripeObject, decline: Decline) -> StripeObject:
    return account.change(
        INTENTS,
        intent,
        "setup_intent.setup_failed",
        status="requires_payment_method",
        payment_method=None,
        next_action=None,
        last_setup_error=_setup_error(decline, method),
    )


def _setup_error(decline: Decline, method: StripeObject) -> dict[str, Any]:
    error: dict[str, Any] = {"code": decline.code}
    if decline.decline_code:
        error["decline_code"] = decline.decline_code
    kind = "invalid_request_error" if decline is AUTHENTICATION_FAILED else "card_error"
    return error | {"message": decline.message, "payment_method": method, "type": kind}


def declined(intent: StripeObject) -> ApiError:
    """Make the 402 of a payment method that the bank would not have saved; the intent is inside."""
    error = dict(intent["last_setup_error"])
    return ApiError(
        402,
        error["message"],
        kind=error["type"],
        code=error["code"],
        details={name: error[name] for name in ("decline_code", "payment_method") if name in error}
        | {"setup_intent": intent},
    )


def unexpected_state(intent: StripeObject, message: str) -> ApiError:
    """Make the 400 for a transition that the intent's status does not allow."""
    return ApiError(400, message, code="setup_intent_unexpected_state", details={"setup_intent": intent})


def wrong_status(intent: StripeObject, verb: str, allowed: tuple[str, ...]) -> ApiError:
    """Make the 400 that lists the statuses in which the verb would work."""
    return unexpected_state(
        intent,
        f"You cannot {verb} this SetupIntent because it has a status of {intent['status']}. Only a SetupIntent with "
        f"one of the following statuses may be {verb}ed: {', '.join(allowed)}.",
    )
