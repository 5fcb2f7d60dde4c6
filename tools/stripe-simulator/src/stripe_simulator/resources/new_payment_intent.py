"""Construction of payment intents, for the API and for invoices."""

from typing import Final

from stripe_simulator.account import Account
from stripe_simulator.collection import StripeObject
from stripe_simulator.parameters import Params, merge_metadata
from stripe_simulator.resources.intent_requests import automatic_payment_methods, payment_method_types
from stripe_simulator.resources.nested_objects import to_shipping

KIND: Final = "payment_intent"
_TYPES: Final = {"eur": ("card", "sepa_debit", "ideal"), "usd": ("card", "us_bank_account", "amazon_pay")}
_SINGLE_USE: Final = frozenset({"ideal"})
"""Types that are not offered for later payments: Stripe saves a SEPA debit in place of iDEAL, which is not modelled."""


def new_intent(account: Account, params: Params, currency: str) -> StripeObject:
    """Return the intent that the parameters of a create call describe. The caller stores it."""
    intent_id = account.ids.new("pi")
    automatic = automatic_payment_methods(params)
    later = "setup_future_usage" in params
    possible = [kind for kind in _TYPES.get(currency, ("card",)) if not (later and kind in _SINGLE_USE)]
    return {
        "id": intent_id,
        "object": KIND,
        "allowed_payment_method_types": params.get("allowed_payment_method_types"),
        "amount": params["amount"],
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": automatic,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": "automatic_async",
        "client_secret": account.ids.client_secret(intent_id),
        "confirmation_method": params.get("confirmation_method", "automatic"),
        "created": account.clock.timestamp(),
        "currency": currency,
        "customer": params.get("customer"),
        "customer_account": None,
        "description": params.get("description"),
        "excluded_payment_method_types": params.get("excluded_payment_method_types"),
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": account.livemode,
        "managed_payments": {"enabled": False},
        "metadata": merge_metadata({}, params.get("metadata")),
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": {
            "card": {
                "installments": None,
                "mandate_options": None,
                "network": None,
                "request_three_d_secure": "automatic",
            }
        },
        "payment_method_types": payment_method_types(params, possible, automatic),
        "payment_record": None,
        "processing": None,
        "receipt_email": params.get("receipt_email"),
        "review": None,
        "setup_future_usage": params.get("setup_future_usage"),
        "shipping": to_shipping(params.get("shipping")),
        "source": None,
        "statement_descriptor": params.get("statement_descriptor"),
        "statement_descriptor_suffix": params.get("statement_descriptor_suffix"),
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": None,
    }
