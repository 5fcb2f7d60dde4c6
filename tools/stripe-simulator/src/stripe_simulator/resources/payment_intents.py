"""Payment intents (https://docs.stripe.com/api/payment_intents)."""

from typing import Final

import stripe.params as shapes

from stripe_simulator import payment_flow
from stripe_simulator.account import Account
from stripe_simulator.api_errors import ApiError, invalid
from stripe_simulator.api_keys import KeyKind
from stripe_simulator.billing.invoices import invoice_of
from stripe_simulator.collection import StripeObject, created_within, equal_to, every
from stripe_simulator.endpoints import Call, Endpoint, Resource
from stripe_simulator.intent_errors import not_updatable
from stripe_simulator.money import check_charge_amount, check_currency
from stripe_simulator.parameters import NOT_MODELLED, Parameters, Params, merge_metadata
from stripe_simulator.payment_flow import INTENTS, Confirmation
from stripe_simulator.resources.intent_requests import (
    ONLY_WITH_CONFIRM,
    UPDATABLE,
    challenge_url,
    check_client_secret,
    check_confirm_only,
    check_return_url,
    find_given_method,
    split_browser_fields,
    visible_error,
    visible_to,
)
from stripe_simulator.resources.nested_objects import to_shipping
from stripe_simulator.resources.new_payment_intent import KIND, new_intent

_ALWAYS_UPDATABLE: Final = frozenset({"description", "metadata", "expand"})
_TEXTS: Final = ("description", "receipt_email", "statement_descriptor", "statement_descriptor_suffix")
_MAX_DESCRIPTOR_LENGTH: Final = 22
_FIXED_BY_INVOICE: Final = frozenset({"amount", "currency", "customer"})
_DEBITS: Final = ("sepa_debit", "us_bank_account")
_PUBLIC_FIELDS: Final = (
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
)
"""Fields that Stripe.js shows (https://docs.stripe.com/js/payment_intents/payment_intent)."""


def _create(call: Call) -> StripeObject:
    account, params = call.account, call.params
    check_confirm_only(params, (*ONLY_WITH_CONFIRM, "off_session", "error_on_requires_action"))
    currency = check_currency(params["currency"])
    check_charge_amount(params["amount"], currency)
    _check_descriptor(params)
    if "customer" in params:
        account["customers"].get(params["customer"], param="customer", status=400)
    intent = new_intent(account, params, currency)
    method = find_given_method(call, intent, payment_flow.check_method)
    if method:
        intent |= {"payment_method": method["id"], "status": "requires_confirmation"}
    if params.get("confirm"):
        _check_confirmable(call, intent)
    account[INTENTS].add(intent)
    account.publish("payment_intent.created", intent)
    return _confirm_now(call, intent) if params.get("confirm") else intent


def _check_descriptor(params: Params) -> None:
    descriptor = params.get("statement_descriptor")
    if descriptor and len(descriptor) > _MAX_DESCRIPTOR_LENGTH:
        raise invalid(
            f"The statement descriptor must be at most {_MAX_DESCRIPTOR_LENGTH} characters.",
            param="statement_descriptor",
        )


def _confirm_now(call: Call, intent: StripeObject) -> StripeObject:
    params = call.params
    confirmation = Confirmation(
        off_session=params.get("off_session") in (True, "one_off", "recurring"),
        error_on_requires_action=params.get("error_on_requires_action", False),
        return_url=params.get("return_url"),
        use_stripe_sdk=params.get("use_stripe_sdk", False),
        challenge_url=challenge_url(call, intent),
    )
    return payment_flow.confirm(call.account, intent, confirmation)


def _check_confirmable(call: Call, intent: StripeObject) -> None:
    """Refuse an incomplete confirmation before anything is stored."""
    check_return_url(call.params, intent)
    _check_mandate(call, intent)


def _check_mandate(call: Call, intent: StripeObject) -> None:
    """Require the buyer's mandate for a bank debit. Stripe.js collects it by itself."""
    if call.key_kind is KeyKind.PUBLISHABLE or "mandate_data" in call.params or not intent["payment_method"]:
        return
    if call.account["payment_methods"].get(intent["payment_method"])["type"] in _DEBITS:
        raise invalid(
            "This PaymentIntent requires a mandate, but no existing mandate was found. Collect mandate acceptance from "
            "the customer and try again, providing acceptance data in the mandate_data parameter.",
            code="payment_intent_mandate_invalid",
        )


def _retrieve(call: Call) -> StripeObject:
    intent = call.account[INTENTS].get(call.id, param="intent")
    check_client_secret(call, intent)
    return visible_to(call.key_kind, intent, _PUBLIC_FIELDS)


def _confirm(call: Call) -> StripeObject:
    intent = call.account[INTENTS].get(call.id, param="intent")
    check_client_secret(call, intent)
    if call.key_kind is KeyKind.PUBLISHABLE and intent["confirmation_method"] == "manual":
        raise invalid(
            "This PaymentIntent cannot be confirmed using your publishable key because its `confirmation_method` is "
            "set to `manual`. Please use your secret key instead, or create a PaymentIntent with "
            "`confirmation_method` set to `automatic`."
        )
    try:
        confirmed = _confirm_now(call, _with_given_fields(call, intent))
    except ApiError as error:
        raise visible_error(call.key_kind, error, KIND, _PUBLIC_FIELDS) from None
    return visible_to(call.key_kind, confirmed, _PUBLIC_FIELDS)


def _with_given_fields(call: Call, intent: StripeObject) -> StripeObject:
    """Store the fields that the confirm call sets, if the intent can still be confirmed."""
    if intent["status"] not in payment_flow.CONFIRMABLE:
        return intent
    changes: Params = {
        name: call.params[name] for name in ("receipt_email", "setup_future_usage") if name in call.params
    }
    if "shipping" in call.params:
        changes["shipping"] = to_shipping(call.params["shipping"])
    changes |= _method_change(call, intent)
    _check_confirmable(call, {**intent, **changes})
    return call.account.change(INTENTS, intent, **changes)


def _method_change(call: Call, intent: StripeObject) -> Params:
    method = find_given_method(call, intent, payment_flow.check_method)
    if method is None:
        return {}
    return {"payment_method": method["id"], "status": "requires_confirmation", "next_action": None}


def _update(call: Call) -> StripeObject:
    intent = call.account[INTENTS].get(call.id, param="intent")
    fixed = [name for name in call.params if name not in _ALWAYS_UPDATABLE]
    if fixed and intent["status"] not in UPDATABLE:
        raise not_updatable(intent, fixed[0], UPDATABLE)
    if _FIXED_BY_INVOICE & call.params.keys():
        _check_not_of_invoice(call.account, intent)
    _check_descriptor(call.params)
    return call.account.change(INTENTS, intent, **_changes(call, intent))


def _changes(call: Call, intent: StripeObject) -> Params:
    params = call.params
    changes: Params = {name: params[name] or None for name in (*_TEXTS, "setup_future_usage") if name in params}
    wanted = {**intent, **params}
    amount, currency = wanted["amount"], check_currency(wanted["currency"])
    check_charge_amount(amount, currency)
    changes |= {"amount": amount, "currency": currency}
    if "metadata" in params:
        changes["metadata"] = merge_metadata(intent["metadata"], params["metadata"])
    if "shipping" in params:
        changes["shipping"] = to_shipping(params["shipping"])
    if "customer" in params:
        changes["customer"] = call.account["customers"].get(params["customer"], param="customer", status=400)["id"]
    method_change = _method_change(call, {**intent, **changes})
    if not method_change and amount != intent["amount"] and intent["status"] == "requires_action":
        # The buyer was challenged for another amount.
        method_change = {"status": "requires_confirmation", "next_action": None}
    return changes | method_change


def _check_not_of_invoice(account: Account, intent: StripeObject) -> None:
    """Refuse what would part an intent from the invoice that it pays: what Stripe then does is not documented."""
    if invoice_of(account, intent["id"]) is not None:
        raise invalid(
            "The simulator does not model this change of an invoice's PaymentIntent.", param="intent", code=NOT_MODELLED
        )


def _cancel(call: Call) -> StripeObject:
    intent = call.account[INTENTS].get(call.id, param="intent")
    _check_not_of_invoice(call.account, intent)
    return payment_flow.cancel(call.account, intent, call.params.get("cancellation_reason"))


def _list(call: Call) -> StripeObject:
    wanted = every(created_within(call.params), equal_to(call.params, "customer"))
    return call.account[INTENTS].page(call.url, call.params, wanted)


_SETTABLE: Final = (
    *_TEXTS,
    "amount",
    "currency",
    "customer",
    "metadata",
    "payment_method",
    "payment_method_data",
    "setup_future_usage",
    "shipping",
)
_CONFIRM: Final = (
    "error_on_requires_action",
    "mandate_data",
    "off_session",
    "payment_method",
    "payment_method_data",
    "receipt_email",
    "return_url",
    "setup_future_usage",
    "shipping",
    "use_stripe_sdk",
)
_CREATE: Final = (
    *_SETTABLE,
    *ONLY_WITH_CONFIRM,
    "allowed_payment_method_types",
    "automatic_payment_methods",
    "confirm",
    "confirmation_method",
    "error_on_requires_action",
    "excluded_payment_method_types",
    "off_session",
)
_FILTERS: Final = ("created", "customer", "limit", "starting_after", "ending_before")

RESOURCE: Final = Resource(
    collection=INTENTS,
    kind=KIND,
    expandable={"customer": "customers", "latest_charge": "charges", "payment_method": "payment_methods"},
    endpoints=(
        Endpoint("POST", "/v1/payment_intents", _create, Parameters(shapes.PaymentIntentCreateParams, _CREATE)),
        Endpoint("GET", "/v1/payment_intents", _list, Parameters(shapes.PaymentIntentListParams, _FILTERS)),
        Endpoint(
            "GET",
            "/v1/payment_intents/{id}",
            _retrieve,
            Parameters(shapes.PaymentIntentRetrieveParams, ("client_secret",)),
            split_browser_fields=split_browser_fields,
        ),
        Endpoint("POST", "/v1/payment_intents/{id}", _update, Parameters(shapes.PaymentIntentUpdateParams, _SETTABLE)),
        Endpoint(
            "POST",
            "/v1/payment_intents/{id}/confirm",
            _confirm,
            Parameters(shapes.PaymentIntentConfirmParams, _CONFIRM),
            split_browser_fields=split_browser_fields,
        ),
        Endpoint(
            "POST",
            "/v1/payment_intents/{id}/cancel",
            _cancel,
            Parameters(shapes.PaymentIntentCancelParams, ("cancellation_reason",)),
        ),
    ),
)
