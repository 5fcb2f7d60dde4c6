"""Charges, which an intent's `latest_charge` refers to (https://docs.stripe.com/api/charges)."""

from typing import Final

import stripe.params as shapes

from stripe_simulator.account import Account
from stripe_simulator.collection import StripeObject
from stripe_simulator.endpoints import Call, Endpoint, Resource
from stripe_simulator.instruments import Decline
from stripe_simulator.parameters import Parameters

COLLECTION = "charges"
KIND = "charge"
_SAME_IN_CARDS: Final = (
    "brand",
    "checks",
    "country",
    "exp_month",
    "exp_year",
    "fingerprint",
    "funding",
    "last4",
    "regulated_status",
    "wallet",
)
_BANK_ACCOUNT: Final = ("account_holder_type", "account_type", "bank_name", "fingerprint", "last4", "routing_number")
_IBAN: Final = ("bank_code", "branch_code", "country", "fingerprint", "last4")
_GENERATED: Final = ("generated_sepa_debit", "generated_sepa_debit_mandate", "iban_last4")
_DETAILS: Final = {
    "amazon_pay": ("transaction_id",),
    "ideal": ("bank", "bic", *_GENERATED, "transaction_id", "verified_name"),
    "sepa_debit": (*_IBAN, "mandate"),
    "us_bank_account": (*_BANK_ACCOUNT, "payment_reference"),
}
"""Keys of a charge's `payment_method_details`, by type. What the payment method does not have is null."""


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
            "livemode": account.livemode,
            "metadata": intent["metadata"],
            "on_behalf_of": None,
            "payment_intent": intent["id"],
            "payment_method": method["id"],
            "payment_method_details": {
                "type": method["type"],
                method["type"]: _method_details(method, intent["amount"]),
            },
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


def _method_details(method: StripeObject, amount: int) -> StripeObject:
    """Return the details of the payment method as a charge shows them: other keys than the payment method's own."""
    shown = method[method["type"]]
    if method["type"] == "card":
        return {name: shown[name] for name in _SAME_IN_CARDS} | {
            "amount_authorized": amount,
            "authorization_code": None,
            "electronic_commerce_indicator": None,
            "extended_authorization": {"status": "disabled"},
            "incremental_authorization": {"status": "unavailable"},
            "installments": None,
            "mandate": None,
            "multicapture": {"status": "unavailable"},
            "network": shown["brand"],
            "network_token": {"used": False},
            "network_transaction_id": None,
            "overcapture": {"maximum_amount_capturable": amount, "status": "unavailable"},
            "three_d_secure": None,
            "transaction_link_id": None,
        }
    return {name: shown.get(name) for name in _DETAILS[method["type"]]}


def book(account: Account, charge_id: str) -> None:
    """Give a paid charge its balance transaction, which follows its success in an event of its own.

    See https://docs.stripe.com/payments/payment-intents/asynchronous-capture.
    """
    charge = account[COLLECTION].get(charge_id)
    account.change(COLLECTION, charge, "charge.updated", balance_transaction=account.ids.new("txn"))


def outcome_fields(status: str, decline: Decline | None) -> StripeObject:
    """Return the fields that hold the outcome of a charge."""
    failed = status == "failed"
    return {
        "status": status,
        "paid": status == "succeeded",
        "failure_code": decline.code if failed and decline else None,
        "failure_message": decline.message if failed and decline else None,
        "outcome": {
            "advice_code": None,
            "network_advice_code": None,
            "network_decline_code": None,
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
