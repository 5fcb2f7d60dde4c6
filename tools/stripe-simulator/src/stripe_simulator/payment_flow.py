"""How a payment intent lives: confirm, challenge, settle, capture, cancel.

The states and their order follow https://docs.stripe.com/payments/paymentintents/lifecycle. Every function takes the
intent as it is stored now and answers its new state. All of them run without awaiting anything, so two confirms at the
same moment run one after the other and the second finds what the first has done.
"""

from dataclasses import dataclass
from typing import Any

from stripe_simulator.account import Account
from stripe_simulator.api_errors import invalid
from stripe_simulator.collection import StripeObject
from stripe_simulator.instruments import Challenge, Decline, Instrument
from stripe_simulator.payment_errors import (
    AUTHENTICATION_FAILED,
    AUTHENTICATION_REQUIRED,
    already_succeeded,
    declined,
    missing_payment_method,
    payment_error,
    unexpected_state,
    wrong_status,
)
from stripe_simulator.resources.charges import new_charge, outcome_of
from stripe_simulator.resources.payment_methods import (
    attach,
    mark_set_up,
    mark_spent,
    method_state,
    previously_used,
    resolve_method,
)

INTENTS = "payment_intents"
CONFIRMABLE = ("requires_payment_method", "requires_confirmation", "requires_action")
CANCELABLE = ("requires_payment_method", "requires_capture", "requires_confirmation", "requires_action")


@dataclass(frozen=True, slots=True)
class Confirmation:
    """How the buyer, or the server for them, confirms."""

    off_session: bool = False
    error_on_requires_action: bool = False
    return_url: str | None = None
    use_stripe_sdk: bool = False
    challenge_url: str = ""


def choose_method(account: Account, intent: StripeObject, method_id: str) -> StripeObject:
    """Answer the payment method for an id, if this intent may be paid with it."""
    method = resolve_method(account, method_id)
    check_method(account, intent, method)
    return method


def check_method(account: Account, intent: StripeObject, method: StripeObject) -> None:
    """Refuse a payment method that belongs to someone else, is used up, or is of a kind the intent does not take."""
    if method["type"] not in intent["payment_method_types"]:
        raise invalid(
            f"The PaymentMethod provided ({method['type']}) is not allowed for this PaymentIntent. Please attach a "
            f"PaymentMethod of one of the following types: {', '.join(intent['payment_method_types'])}.",
            param="payment_method",
            code="payment_intent_incompatible_payment_method",
        )
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
    """Try to take the money with the intent's payment method; raise Stripe's 402 if the bank refuses."""
    if intent["status"] == "succeeded":
        raise already_succeeded(intent)
    if intent["status"] not in CONFIRMABLE:
        raise wrong_status(intent, "confirm", CONFIRMABLE)
    if intent["payment_method"] is None:
        raise missing_payment_method(intent)
    method = account["payment_methods"].get(intent["payment_method"])
    check_method(account, intent, method)
    if _is_challenged(account, method):
        return _ask_the_buyer(account, intent, method, confirmation)
    return _take_money(account, intent, method)


def finish_challenge(account: Account, intent: StripeObject, *, passed: bool) -> StripeObject:
    """Let the buyer pass or fail 3-D Secure. A decline after a passed challenge raises, as in `confirm`."""
    if intent["status"] != "requires_action":
        raise unexpected_state(intent, "This PaymentIntent has no challenge to finish.")
    method = account["payment_methods"].get(intent["payment_method"])
    if not passed:
        return _fail(account, intent, method, AUTHENTICATION_FAILED, None)
    if intent["setup_future_usage"] == "off_session":
        mark_set_up(account, method["id"])
    return _take_money(account, intent, method)


def settle(account: Account, intent: StripeObject, *, paid: bool) -> StripeObject:
    """Let the bank debit of a `processing` intent arrive or fail."""
    if intent["status"] != "processing":
        raise unexpected_state(intent, f"This PaymentIntent has a status of {intent['status']}, nothing is to settle.")
    charge = account["charges"].get(intent["latest_charge"])
    method = account["payment_methods"].get(intent["payment_method"])
    if paid:
        amount = charge["amount"]
        fields = outcome_of("succeeded", None) | {"captured": True, "amount_captured": amount}
        account.change("charges", charge, "charge.succeeded", **fields)
        return account.change(
            INTENTS, intent, "payment_intent.succeeded", status="succeeded", amount_received=amount, processing=None
        )
    decline = _instrument(account, method).decline or _DEBIT_REFUSED
    account.change("charges", charge, "charge.failed", **outcome_of("failed", decline))
    return _fail(account, intent, method, decline, charge["id"])


def capture(account: Account, intent: StripeObject, amount: int | None) -> StripeObject:
    """Take the authorized money, or a part of it; the rest is given up."""
    if intent["status"] != "requires_capture":
        raise wrong_status(intent, "capture", ("requires_capture",))
    taken = intent["amount_capturable"] if amount is None else amount
    if not 1 <= taken <= intent["amount_capturable"]:
        raise invalid(
            f"The amount to capture must be between 1 and the capturable amount, {intent['amount_capturable']}.",
            param="amount_to_capture",
            code="amount_too_large" if taken > 1 else "parameter_invalid_integer",
        )
    charge = account["charges"].get(intent["latest_charge"])
    rest = charge["amount"] - taken
    account.change(
        "charges", charge, "charge.captured", captured=True, amount_captured=taken, amount_refunded=rest, paid=True
    )
    return account.change(
        INTENTS,
        intent,
        "payment_intent.succeeded",
        status="succeeded",
        amount_received=taken,
        amount_capturable=0,
    )


def cancel(account: Account, intent: StripeObject, reason: str | None) -> StripeObject:
    """Make the intent unpayable for good, giving up an authorization if there is one."""
    if intent["status"] not in CANCELABLE:
        raise wrong_status(intent, "cancel", CANCELABLE)
    if intent["status"] == "requires_capture":
        charge = account["charges"].get(intent["latest_charge"])
        account.change("charges", charge, "charge.refunded", refunded=True, amount_refunded=charge["amount"])
    return account.change(
        INTENTS,
        intent,
        "payment_intent.canceled",
        status="canceled",
        amount_capturable=0,
        canceled_at=account.clock.timestamp(),
        cancellation_reason=reason,
        next_action=None,
    )


_DEBIT_REFUSED = Decline(
    "payment_intent_payment_attempt_failed", "The payment failed because the bank declined the debit."
)


def _instrument(account: Account, method: StripeObject) -> Instrument:
    return method_state(account, method["id"]).instrument


def _is_challenged(account: Account, method: StripeObject) -> bool:
    state = method_state(account, method["id"])
    if state.instrument.challenge is Challenge.UNLESS_SET_UP:
        return not state.set_up
    return state.instrument.challenge is Challenge.ALWAYS


def _ask_the_buyer(
    account: Account, intent: StripeObject, method: StripeObject, confirmation: Confirmation
) -> StripeObject:
    if confirmation.off_session or confirmation.error_on_requires_action:
        raise declined(_fail(account, intent, method, AUTHENTICATION_REQUIRED, None))
    return account.change(
        INTENTS,
        intent,
        "payment_intent.requires_action",
        status="requires_action",
        next_action=next_action(account, confirmation),
        last_payment_error=None,
    )


def next_action(account: Account, confirmation: Confirmation) -> dict[str, Any]:
    """Answer what the buyer has to do for 3-D Secure."""
    if confirmation.return_url and not confirmation.use_stripe_sdk:
        redirect = {"return_url": confirmation.return_url, "url": confirmation.challenge_url}
        return {"redirect_to_url": redirect, "type": "redirect_to_url"}
    return {
        "type": "use_stripe_sdk",
        "use_stripe_sdk": {
            "source": account.ids.new("src"),
            "stripe_js": confirmation.challenge_url,
            "type": "three_d_secure_redirect",
        },
    }


def _take_money(account: Account, intent: StripeObject, method: StripeObject) -> StripeObject:
    instrument = _instrument(account, method)
    if instrument.settles:
        return _begin_debit(account, intent, method)
    if instrument.decline:
        charge = new_charge(account, intent, method, "failed", instrument.decline)
        account.publish("charge.failed", charge)
        raise declined(_fail(account, intent, method, instrument.decline, charge["id"]))
    charge = new_charge(account, intent, method, "succeeded")
    account.publish("charge.succeeded", charge)
    _keep_or_spend(account, intent, method)
    if intent["capture_method"] == "manual":
        return _paid(
            account,
            intent,
            charge,
            "payment_intent.amount_capturable_updated",
            status="requires_capture",
            amount_capturable=intent["amount"],
        )
    return _paid(
        account, intent, charge, "payment_intent.succeeded", status="succeeded", amount_received=intent["amount"]
    )


def _paid(account: Account, intent: StripeObject, charge: StripeObject, event: str, **fields: Any) -> StripeObject:
    changed = account.change(
        INTENTS, intent, None, latest_charge=charge["id"], next_action=None, last_payment_error=None, **fields
    )
    account.publish(event, changed)
    return changed


def _begin_debit(account: Account, intent: StripeObject, method: StripeObject) -> StripeObject:
    charge = new_charge(account, intent, method, "pending")
    account.publish("charge.pending", charge)
    _keep_or_spend(account, intent, method)
    processing = _paid(
        account, intent, charge, "payment_intent.processing", status="processing", processing={"type": method["type"]}
    )
    paid = _instrument(account, method).decline is None
    account.scheduler.add(
        account.settings.settlement_seconds, lambda: _settle_in_time(account, intent["id"], charge["id"], paid=paid)
    )
    return processing


def _settle_in_time(account: Account, intent_id: str, charge_id: str, *, paid: bool) -> None:
    """Settle, unless a test has settled this debit by hand."""
    intent = account[INTENTS].get(intent_id)
    if intent["status"] == "processing" and intent["latest_charge"] == charge_id:
        settle(account, intent, paid=paid)


def _keep_or_spend(account: Account, intent: StripeObject, method: StripeObject) -> None:
    """Attach the payment method where it was asked for; one that belongs to nobody works only once."""
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
