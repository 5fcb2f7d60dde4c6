"""Refunds (https://docs.stripe.com/api/refunds). Cards are refunded at once, bank debits after a delay.

Only metadata can be updated, only refunds that wait for the customer can be canceled, and a charged-back charge cannot
be refunded (https://docs.stripe.com/error-codes#charge-disputed).
"""

from typing import Final

import stripe.params as shapes

from stripe_simulator.account import Account
from stripe_simulator.api_errors import ApiError, invalid
from stripe_simulator.collection import StripeObject, created_within, equal_to, every
from stripe_simulator.endpoints import Call, Endpoint, Resource
from stripe_simulator.money import check_step, format_amount
from stripe_simulator.parameters import Parameters, Params, merge_metadata
from stripe_simulator.resources.payment_methods import method_state

COLLECTION: Final = "refunds"
KIND: Final = "refund"
_PENDING: Final = frozenset({"pending", "requires_action"})
_REVERSED: Final = frozenset({"failed", "canceled"})
_FAILURE_REASONS: Final = {"failed": "lost_or_stolen_card", "canceled": "merchant_request"}


def finish(account: Account, refund: StripeObject, status: str) -> StripeObject:
    """Complete, fail or cancel a refund. A bank may return even a succeeded one, which then fails."""
    if refund["status"] in _REVERSED or refund["status"] == status:
        raise invalid(f"This refund has a status of {refund['status']}.")
    if status in _REVERSED:
        charge = account["charges"].get(refund["charge"])
        account.change("charges", charge, **_refunded(charge, charge["amount_refunded"] - refund["amount"]))
    failure = {"failure_reason": _FAILURE_REASONS[status]} if status in _REVERSED else {}
    changed = account.change(COLLECTION, refund, "refund.updated", status=status, **failure)
    account.publish_update("charge.refund.updated", refund, changed)
    if status == "failed":
        account.publish("refund.failed", changed)
    return changed


def _create(call: Call) -> StripeObject:
    account, params = call.account, call.params
    charge = _charge(account, params)
    left = charge["amount_captured"] - charge["amount_refunded"]
    amount = params.get("amount", left)
    _check_refundable(account, charge)
    _check_amount(amount, left, charge)
    settles = method_state(account, charge["payment_method"]).instrument.settles
    refund = account[COLLECTION].add(
        _new_refund(account, charge, params, amount, "pending" if settles else "succeeded")
    )
    account.publish("refund.created", refund)
    account.change("charges", charge, "charge.refunded", **_refunded(charge, charge["amount_refunded"] + amount))
    if settles:
        account.scheduler.add(account.settings.settlement_seconds, lambda: _complete_if_pending(account, refund["id"]))
    return refund


def _charge(account: Account, params: Params) -> StripeObject:
    if ("charge" in params) == ("payment_intent" in params):
        raise invalid("One of the following params should be provided for this request: payment_intent or charge.")
    if "charge" in params:
        return account["charges"].get(params["charge"], param="charge", status=400)
    intent = account["payment_intents"].get(params["payment_intent"], param="payment_intent", status=400)
    if intent["status"] != "succeeded":
        raise invalid(
            f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund.",
            param="payment_intent",
            code="payment_intent_unexpected_state",
        )
    return account["charges"].get(intent["latest_charge"])


def _check_refundable(account: Account, charge: StripeObject) -> None:
    disputes = (dispute for dispute in account["disputes"] if dispute["charge"] == charge["id"])
    if not all(dispute["is_charge_refundable"] for dispute in disputes):
        raise invalid(f"Charge {charge['id']} has been charged back; cannot issue a refund.", code="charge_disputed")


def _check_amount(amount: int, left: int, charge: StripeObject) -> None:
    if not charge["paid"] or left < 1:
        raise _already_refunded(charge)
    if amount < 1:
        raise invalid("Invalid positive integer", param="amount", code="parameter_invalid_integer")
    if amount > left:
        asked, most = (format_amount(each, charge["currency"]) for each in (amount, left))
        raise invalid(f"Refund amount ({asked}) is greater than unrefunded amount on charge ({most})", param="amount")
    check_step(amount, charge["currency"])


def _already_refunded(charge: StripeObject) -> ApiError:
    return invalid(f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")


def _new_refund(account: Account, charge: StripeObject, params: Params, amount: int, status: str) -> StripeObject:
    return {
        "id": account.ids.new("re"),
        "object": KIND,
        "amount": amount,
        "balance_transaction": None,
        "charge": charge["id"],
        "created": account.clock.timestamp(),
        "currency": charge["currency"],
        "customer": charge["customer"],
        "customer_account": None,
        "destination_details": {"type": charge["payment_method_details"]["type"]},
        "metadata": merge_metadata({}, params.get("metadata")),
        "payment_intent": charge["payment_intent"],
        "payment_method": charge["payment_method"],
        "reason": params.get("reason"),
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": status,
        "transfer_reversal": None,
    }


def _refunded(charge: StripeObject, amount: int) -> Params:
    return {"amount_refunded": amount, "refunded": amount == charge["amount_captured"]}


def _complete_if_pending(account: Account, refund_id: str) -> None:
    refund = account[COLLECTION].get(refund_id)
    if refund["status"] in _PENDING:
        finish(account, refund, "succeeded")


def _retrieve(call: Call) -> StripeObject:
    return call.account[COLLECTION].get(call.id)


def _update(call: Call) -> StripeObject:
    account, refund = call.account, _retrieve(call)
    metadata = merge_metadata(refund["metadata"], call.params.get("metadata"))
    changed = account.change(COLLECTION, refund, "refund.updated", metadata=metadata)
    account.publish_update("charge.refund.updated", refund, changed)
    return changed


def _cancel(call: Call) -> StripeObject:
    refund = _retrieve(call)
    if refund["status"] != "requires_action":
        raise invalid(f"You cannot cancel a refund with a status of {refund['status']}.")
    return finish(call.account, refund, "canceled")


def _list(call: Call) -> StripeObject:
    wanted = every(created_within(call.params), equal_to(call.params, "charge", "payment_intent"))
    return call.account[COLLECTION].page(call.url, call.params, wanted)


_CREATE = ("amount", "charge", "metadata", "payment_intent", "reason")
_FILTERS = ("charge", "created", "payment_intent", "limit", "starting_after", "ending_before")

RESOURCE = Resource(
    collection=COLLECTION,
    kind=KIND,
    expandable={"charge": "charges", "payment_intent": "payment_intents"},
    endpoints=(
        Endpoint("POST", "/v1/refunds", _create, Parameters(shapes.RefundCreateParams, _CREATE)),
        Endpoint("GET", "/v1/refunds", _list, Parameters(shapes.RefundListParams, _FILTERS)),
        Endpoint("GET", "/v1/refunds/{id}", _retrieve, Parameters(shapes.RefundRetrieveParams, ())),
        Endpoint("POST", "/v1/refunds/{id}", _update, Parameters(shapes.RefundUpdateParams, ("metadata",))),
        Endpoint("POST", "/v1/refunds/{id}/cancel", _cancel, Parameters(shapes.RefundCancelParams, ())),
    ),
)
