"""Disputes (https://docs.stripe.com/api/disputes). A buyer's bank opens them: here, a knob."""

from typing import Final

import stripe.params as shapes

from stripe_simulator.account import Account
from stripe_simulator.api_errors import invalid
from stripe_simulator.collection import StripeObject, created_within, equal_to, every
from stripe_simulator.endpoints import Call, Endpoint, Resource
from stripe_simulator.parameters import Parameters, merge_metadata

COLLECTION: Final = "disputes"
KIND: Final = "dispute"
CLOSED: Final = frozenset({"won", "lost", "warning_closed", "prevented"})
_INQUIRY: Final = "warning_needs_response"
_NO_EVIDENCE: Final = {"due_by": None, "has_evidence": False, "past_due": False, "submission_count": 0}


def open_dispute(
    account: Account, charge: StripeObject, *, amount: int | None, reason: str, status: str
) -> StripeObject:
    """Dispute a charge, or a part of it. An inquiry (`warning_…`) takes no money yet."""
    if not charge["paid"]:
        raise invalid("Only a paid charge can be disputed.")
    wanted = charge["amount"] if amount is None else amount
    if not 1 <= wanted <= charge["amount"]:
        raise invalid("The disputed amount must be between 1 and the charge's.", param="amount")
    dispute = account[COLLECTION].add(_new_dispute(account, charge, wanted, reason, status))
    account.change("charges", charge, disputed=True)
    account.publish("charge.dispute.created", dispute)
    if status != _INQUIRY:
        account.publish("charge.dispute.funds_withdrawn", dispute)
    return dispute


def close_dispute(account: Account, dispute: StripeObject, status: str) -> StripeObject:
    """Let the bank decide."""
    if dispute["status"] in CLOSED:
        raise invalid("This dispute is already closed")
    closed = account.change(COLLECTION, dispute, "charge.dispute.closed", status=status)
    if status == "won":
        account.publish("charge.dispute.funds_reinstated", closed)
    return closed


def escalate(account: Account, dispute: StripeObject, status: str) -> StripeObject:
    """Move an open dispute on, such as an inquiry that becomes a chargeback."""
    if dispute["status"] in CLOSED:
        raise invalid("This dispute is already closed")
    changed = account.change(COLLECTION, dispute, "charge.dispute.updated", status=status)
    if dispute["status"].startswith("warning_") and not status.startswith("warning_"):
        account.publish("charge.dispute.funds_withdrawn", changed)
    return changed


def _new_dispute(account: Account, charge: StripeObject, amount: int, reason: str, status: str) -> StripeObject:
    return {
        "id": account.ids.new("du"),
        "object": KIND,
        "amount": amount,
        "balance_transactions": [],
        "charge": charge["id"],
        "created": account.clock.timestamp(),
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {},
        "evidence_details": _NO_EVIDENCE,
        "is_charge_refundable": status == _INQUIRY,
        "livemode": False,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "payment_method_details": {"type": charge["payment_method_details"]["type"]},
        "reason": reason,
        "status": status,
    }


def _retrieve(call: Call) -> StripeObject:
    return call.account[COLLECTION].get(call.id)


def _update(call: Call) -> StripeObject:
    dispute = _retrieve(call)
    metadata = merge_metadata(dispute["metadata"], call.params.get("metadata"))
    status = dispute["status"]
    if call.params.get("submit") and status.endswith("needs_response"):
        status = status.replace("needs_response", "under_review")
    return call.account.change(COLLECTION, dispute, "charge.dispute.updated", metadata=metadata, status=status)


def _close(call: Call) -> StripeObject:
    return close_dispute(call.account, _retrieve(call), "lost")


def _list(call: Call) -> StripeObject:
    wanted = every(created_within(call.params), equal_to(call.params, "charge", "payment_intent"))
    return call.account[COLLECTION].page(call.url, call.params, wanted)


_FILTERS = ("charge", "created", "payment_intent", "limit", "starting_after", "ending_before")

RESOURCE = Resource(
    collection=COLLECTION,
    kind=KIND,
    expandable={"charge": "charges", "payment_intent": "payment_intents"},
    endpoints=(
        Endpoint("GET", "/v1/disputes", _list, Parameters(shapes.DisputeListParams, _FILTERS)),
        Endpoint("GET", "/v1/disputes/{id}", _retrieve, Parameters(shapes.DisputeRetrieveParams, ())),
        Endpoint("POST", "/v1/disputes/{id}", _update, Parameters(shapes.DisputeUpdateParams, ("metadata", "submit"))),
        Endpoint("POST", "/v1/disputes/{id}/close", _close, Parameters(shapes.DisputeCloseParams, ())),
    ),
)
