"""What a payment intent looks like: to the server, and to a browser.

A browser sees only the fields that Stripe.js shows (https://docs.stripe.com/js/payment_intents/payment_intent).
"""

from stripe_simulator.access import KeyKind
from stripe_simulator.account import Account
from stripe_simulator.api_errors import ApiError, invalid
from stripe_simulator.collection import StripeObject
from stripe_simulator.parameters import Params, merge_metadata
from stripe_simulator.resources.shared_shapes import shipping_of

KIND = "payment_intent"
_DEBITS = {"eur": "sepa_debit", "usd": "us_bank_account"}
_PUBLIC_FIELDS = [
    "id",
    "object",
    "amount",
    "automatic_payment_methods",
    "canceled_at",
    "cancellation_reason",
    "capture_method",
    "client_secret",
    "confirmation_method",
    "created",
    "currency",
    "description",
    "last_payment_error",
    "livemode",
    "next_action",
    "payment_method",
    "payment_method_types",
    "processing",
    "receipt_email",
    "setup_future_usage",
    "shipping",
    "status",
]


def new_intent(account: Account, params: Params, currency: str) -> StripeObject:
    """Make the intent that the parameters of a create call ask for; storing it is up to the key_kind."""
    intent_id = account.ids.new("pi")
    automatic = _automatic(params)
    return {
        "id": intent_id,
        "object": KIND,
        "amount": params["amount"],
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": automatic,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": params.get("capture_method", "automatic_async"),
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
        "livemode": False,
        "metadata": merge_metadata({}, params.get("metadata")),
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "payment_method_types": _method_types(params, currency, automatic),
        "processing": None,
        "receipt_email": params.get("receipt_email"),
        "review": None,
        "setup_future_usage": params.get("setup_future_usage"),
        "shipping": shipping_of(params.get("shipping")),
        "source": None,
        "statement_descriptor": params.get("statement_descriptor"),
        "statement_descriptor_suffix": params.get("statement_descriptor_suffix"),
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": None,
    }


def _automatic(params: Params) -> Params | None:
    """Answer the setting for automatic payment methods, which are on unless types are listed or it is turned off."""
    given = params.get("automatic_payment_methods")
    if given is None:
        on = "allowed_payment_method_types" not in params
        return {"allow_redirects": "always", "enabled": True} if on else None
    if given["enabled"] and "allowed_payment_method_types" in params:
        raise invalid(
            "You may only specify one of these parameters: automatic_payment_methods, allowed_payment_method_types.",
            param="automatic_payment_methods",
        )
    if not given["enabled"]:
        return None
    return {"allow_redirects": given.get("allow_redirects", "always"), "enabled": True}


def _method_types(params: Params, currency: str, automatic: Params | None) -> list[str]:
    """Answer what the intent can be paid with: of the modelled kinds, those that fit the currency."""
    debit = _DEBITS.get(currency)
    possible = ["card", debit] if debit else ["card"]
    allowed = params.get("allowed_payment_method_types", possible if automatic else ["card"])
    excluded = params.get("excluded_payment_method_types", ())
    types = [kind for kind in possible if kind in allowed and kind not in excluded]
    if not types:
        raise invalid(
            "No valid payment method types for this Payment Intent. Please ensure that you have activated payment "
            "methods compatible with your chosen currency in your dashboard.",
            code="payment_method_not_available",
        )
    return types


def visible_to(key_kind: KeyKind, intent: StripeObject) -> StripeObject:
    """Answer the intent as the key_kind may see it."""
    if key_kind is KeyKind.SECRET:
        return intent
    return {name: intent[name] for name in _PUBLIC_FIELDS}


def visible_error(key_kind: KeyKind, problem: ApiError) -> ApiError:
    """Reduce the intent inside an error likewise."""
    if "payment_intent" in problem.error:
        problem.error["payment_intent"] = visible_to(key_kind, problem.error["payment_intent"])
    return problem
