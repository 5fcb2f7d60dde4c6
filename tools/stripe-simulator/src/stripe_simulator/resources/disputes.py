"""Disputes (https://docs.stripe.com/api/disputes). A buyer's bank opens them; here the control API does."""

from typing import Final

import stripe.params as shapes

from stripe_simulator.account import Account
from stripe_simulator.api_errors import invalid
from stripe_simulator.collection import StripeObject, created_within, equal_to, every
from stripe_simulator.endpoints import Call, Endpoint, Resource
from stripe_simulator.parameters import Parameters, merge_metadata

COLLECTION: Final = "disputes"
KIND: Final = "dispute"
_CLOSED: Final = frozenset({"won", "lost", "warning_closed", "prevented"})
_INQUIRY: Final = "warning_needs_response"
_NO_EVIDENCE: Final[StripeObject] = {
    "due_by": None,
    "enhanced_eligibility": {},
    "has_evidence": False,
    "past_due": False,
    "submission_count": 0,
    "submission_method": "not_submitted",
}
_EVIDENCE: Final = (
    "access_activity_log",
    "billing_address",
    "cancellation_policy",
    "cancellation_policy_disclosure",
    "cancellation_rebuttal",
    "customer_communication",
    "customer_email_address",
    "customer_name",
    "customer_purchase_ip",
    "customer_signature",
    "duplicate_charge_documentation",
    "duplicate_charge_explanation",
    "duplicate_charge_id",
    "product_description",
    "receipt",
    "refund_policy",
    "refund_policy_disclosure",
    "refund_refusal_explanation",
    "service_date",
    "service_documentation",
    "shipping_address",
    "shipping_carrier",
    "shipping_date",
    "shipping_documentation",
    "shipping_tracking_number",
    "uncategorized_file",
    "uncategorized_text",
)
"""Evidence that a merchant may hand in. Until then each is null."""


def open_dispute(
    account: Account, charge: StripeObject, *, amount: int | None, reason: str, status: str
) -> StripeObject:
    """Dispute a charge or a part of it. An inquiry (`warning_…`) withdraws no funds yet."""
    if not charge["paid"]:
        raise invalid("Only a paid charge can be disputed.")
    disputed = charge["amount"] if amount is None else amount
    if not 1 <= disputed <= charge["amount"]:
        raise invalid("The disputed amount must be between 1 and the charge's.", param="amount")
    dispute = account[COLLECTION].add(_new_dispute(account, charge, disputed, reason, status))
    account.change("charges", charge, disputed=True)
    account.publish("charge.dispute.created", dispute)
    if status != _INQUIRY:
        account.publish("charge.dispute.funds_withdrawn", dispute)
    return dispute


def move_dispute(account: Account, dispute: StripeObject, status: str) -> StripeObject:
    """Move an open dispute to another status, or close it."""
    if dispute["status"] in _CLOSED:
        raise invalid("This dispute is already closed")
    closing = status in _CLOSED
    event = f"charge.dispute.{'closed' if closing else 'updated'}"
    refundable = _is_charge_refundable(status)
    changed = account.change(COLLECTION, dispute, event, status=status, is_charge_refundable=refundable)
    if status == "won":
        account.publish("charge.dispute.funds_reinstated", changed)
    if not closing and dispute["status"].startswith("warning_") and not status.startswith("warning_"):
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
        "evidence": dict.fromkeys(_EVIDENCE) | {"enhanced_evidence": {}},
        "evidence_details": _NO_EVIDENCE,
        "intended_submission_method": None,
        "is_charge_refundable": _is_charge_refundable(status),
        "livemode": account.livemode,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        **_method_details(charge["payment_method_details"], status),
        "reason": reason,
        "status": status,
    }


def _is_charge_refundable(status: str) -> bool:
    """Return true for inquiries, and for a dispute that was won: the money is the account's."""
    return status.startswith("warning_") or status == "won"


def _method_details(details: StripeObject, status: str) -> StripeObject:
    """Return the field `payment_method_details`, which only disputes of cards and some wallets have."""
    kind = details["type"]
    if kind == "amazon_pay":
        return {"payment_method_details": {"amazon_pay": {"dispute_type": "chargeback"}, "type": kind}}
    if kind != "card":
        return {}
    card = {
        "brand": details["card"]["brand"],
        "case_type": "inquiry" if status == _INQUIRY else "chargeback",
        "network": details["card"]["network"],
        "network_reason_code": None,
    }
    return {"payment_method_details": {"card": card, "type": kind}}


def _retrieve(call: Call) -> StripeObject:
    return call.account[COLLECTION].get(call.id)


def _update(call: Call) -> StripeObject:
    """Change the metadata. Evidence is not modelled."""
    dispute = _retrieve(call)
    metadata = merge_metadata(dispute["metadata"], call.params.get("metadata"))
    return call.account.change(COLLECTION, dispute, "charge.dispute.updated", metadata=metadata)


def _close(call: Call) -> StripeObject:
    """Accept the dispute: it is lost."""
    return move_dispute(call.account, _retrieve(call), "lost")


def _list(call: Call) -> StripeObject:
    wanted = every(created_within(call.params), equal_to(call.params, "charge", "payment_intent"))
    return call.account[COLLECTION].page(call.url, call.params, wanted)


_FILTERS: Final = ("charge", "created", "payment_intent", "limit", "starting_after", "ending_before")

RESOURCE: Final = Resource(
    collection=COLLECTION,
    kind=KIND,
    expandable={"charge": "charges", "payment_intent": "payment_intents"},
    endpoints=(
        Endpoint("GET", "/v1/disputes", _list, Parameters(shapes.DisputeListParams, _FILTERS)),
        Endpoint("POST", "/v1/disputes/{id}", _update, Parameters(shapes.DisputeUpdateParams, ("metadata",))),
        Endpoint("POST", "/v1/disputes/{id}/close", _close, Parameters(shapes.DisputeCloseParams, ())),
        Endpoint("GET", "/v1/disputes/{id}", _retrieve, Parameters(shapes.DisputeRetrieveParams, ())),
    ),
)
