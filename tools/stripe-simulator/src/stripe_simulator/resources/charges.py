"""Charges, which an intent's `latest_charge` refers to (https://docs.stripe.com/api/charges)."""

import stripe.params as shapes

from stripe_simulator.account import Account
from stripe_simulator.collection import StripeObject
from stripe_simulator.endpoints import Call, Endpoint, Resource
from stripe_simulator.instruments import Decline
from stripe_simulator.parameters import Parameters

COLLECTION = "charges"
KIND = "charge"


def new_charge(
    account: Account, intent: StripeObject, method: StripeObject, status: str, decline: Decline | None = None
) -> StripeObject:
    """Store a charge for an intent. The caller publishes its event."""
    succeeded = status == "succeeded"
    return account[COLLECTION].add(
        {
            "id": account.ids.new("ch"),
            "object": KIND,
            "amount": intent["amount"],
            "amount_captured": intent["amount"] if succeeded else 0,
            "amount_refunded": 0,
            "application": None,
            "application_fee": None,
            "application_fee_amount": None,
            "balance_transaction": None,
            "billing_details": method["billing_details"],
            "calculated_statement_descriptor": "SIMULATOR",
            "captured": succeeded,
            "created": account.clock.timestamp(),
            "currency": intent["currency"],
            "customer": intent["customer"],
            "description": intent["description"],
            "disputed": False,
            "failure_balance_transaction": None,
            "fraud_details": {},
            "livemode": False,
            "metadata": intent["metadata"],
            "on_behalf_of": None,
            "payment_intent": intent["id"],
            "payment_method": method["id"],
            "payment_method_details": {"type": method["type"], method["type"]: method[method["type"]]},
            "receipt_email": intent["receipt_email"],
            "receipt_number": None,
            "receipt_url": None,
            "refunded": False,
            "review": None,
            "shipping": intent["shipping"],
            "source": None,
            "source_transfer": None,
            "statement_descriptor": intent["statement_descriptor"],
            "statement_descriptor_suffix": intent["statement_descriptor_suffix"],
            "transfer_data": None,
            "transfer_group": None,
            **outcome_fields(status, decline),
        }
    )


def outcome_fields(status: str, decline: Decline | None) -> StripeObject:
    """Return the fields that hold the outcome of a charge."""
    failed = status == "failed"
    return {
        "status": status,
        "paid": status == "succeeded",
        "failure_code": decline.code if failed and decline else None,
        "failure_message": decline.message if failed and decline else None,
        "outcome": {
            "network_status": "declined_by_network" if failed else "approved_by_network",
            "reason": decline.decline_code if failed and decline else None,
            "risk_level": "normal",
            "seller_message": "The bank did not return any further details." if failed else "Payment complete.",
            "type": "issuer_declined" if failed else "authorized",
        },
    }


def _retrieve(call: Call) -> StripeObject:
    return call.account[COLLECTION].get(call.id)


RESOURCE = Resource(
    collection=COLLECTION,
    kind=KIND,
    expandable={"customer": "customers", "payment_intent": "payment_intents"},
    endpoints=(Endpoint("GET", "/v1/charges/{id}", _retrieve, Parameters(shapes.ChargeRetrieveParams, ())),),
)
