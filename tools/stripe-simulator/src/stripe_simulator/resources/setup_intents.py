"""Setup intents (https://docs.stripe.com/api/setup_intents)."""

from typing import Final

import stripe.params as shapes

from stripe_simulator import setup_flow
from stripe_simulator.account import Account
from stripe_simulator.api_errors import ApiError
from stripe_simulator.collection import StripeObject, created_within, equal_to, every
from stripe_simulator.endpoints import Call, Endpoint, Resource
from stripe_simulator.parameters import Parameters, Params, merge_metadata
from stripe_simulator.payment_flow import Confirmation
from stripe_simulator.resources.intent_requests import (
    ONLY_WITH_CONFIRM,
    automatic_payment_methods,
    challenge_url,
    check_client_secret,
    check_confirm_only,
    check_return_url,
    find_given_method,
    payment_method_types,
    split_browser_fields,
    visible_error,
    visible_to,
)
from stripe_simulator.setup_flow import INTENTS

KIND: Final = "setup_intent"
_TYPES: Final = ("card", "sepa_debit", "us_bank_account", "amazon_pay")
_PUBLIC_FIELDS: Final = (
    "id",
    "object",
    "automatic_payment_methods",
    "cancellation_reason",
    "client_secret",
    "created",
    "description",
    "last_setup_error",
    "livemode",
    "next_action",
    "payment_method",
    "payment_method_types",
    "status",
    "usage",
)


def _create(call: Call) -> StripeObject:
    account, params = call.account, call.params
    check_confirm_only(params, ONLY_WITH_CONFIRM)
    if "customer" in params:
        account["customers"].get(params["customer"], param="customer", status=400)
    intent = _new_intent(account, params)
    method = find_given_method(call, intent, setup_flow.check_method)
    if method:
        intent |= {"payment_method": method["id"], "status": "requires_confirmation"}
    if params.get("confirm"):
        check_return_url(params, intent)
    account[INTENTS].add(intent)
    account.publish("setup_intent.created", intent)
    return _confirm_now(call, intent) if params.get("confirm") else intent


def _new_intent(account: Account, params: Params) -> StripeObject:
    intent_id = account.ids.new("seti")
    automatic = automatic_payment_methods(params)
    return {
        "id": intent_id,
        "object": KIND,
        "allowed_payment_method_types": params.get("allowed_payment_method_types"),
        "application": None,
        "automatic_payment_methods": automatic,
        "cancellation_reason": None,
        "client_secret": account.ids.client_secret(intent_id),
        "created": account.clock.timestamp(),
        "customer": params.get("customer"),
        "customer_account": None,
        "description": params.get("description"),
        "excluded_payment_method_types": params.get("excluded_payment_method_types"),
        "flow_directions": None,
        "last_setup_error": None,
        "latest_attempt": None,
        "livemode": account.livemode,
        "mandate": None,
        "metadata": merge_metadata({}, params.get("metadata")),
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": {
            "card": {"mandate_options": None, "network": None, "request_three_d_secure": "automatic"}
        },
        "payment_method_types": payment_method_types(params, _TYPES, automatic),
        "single_use_mandate": None,
        "status": "requires_payment_method",
        "usage": params.get("usage", "off_session"),
    }


def _confirm_now(call: Call, intent: StripeObject) -> StripeObject:
    confirmation = Confirmation(
        return_url=call.params.get("return_url"),
        use_stripe_sdk=call.params.get("use_stripe_sdk", False),
        challenge_url=challenge_url(call, intent),
    )
    return setup_flow.confirm(call.account, intent, confirmation)


def _retrieve(call: Call) -> StripeObject:
    intent = call.account[INTENTS].get(call.id, param="intent")
    check_client_secret(call, intent)
    return visible_to(call.key_kind, intent, _PUBLIC_FIELDS)


def _confirm(call: Call) -> StripeObject:
    intent = call.account[INTENTS].get(call.id, param="intent")
    check_client_secret(call, intent)
    try:
        confirmed = _confirm_now(call, _with_given_method(call, intent))
    except ApiError as error:
        raise visible_error(call.key_kind, error, KIND, _PUBLIC_FIELDS) from None
    return visible_to(call.key_kind, confirmed, _PUBLIC_FIELDS)


def _with_given_method(call: Call, intent: StripeObject) -> StripeObject:
    if intent["status"] not in setup_flow.CONFIRMABLE:
        return intent
    method = find_given_method(call, intent, setup_flow.check_method)
    check_return_url(call.params, intent)
    if method is None:
        return intent
    return call.account.change(
        INTENTS, intent, payment_method=method["id"], status="requires_confirmation", next_action=None
    )


def _cancel(call: Call) -> StripeObject:
    intent = call.account[INTENTS].get(call.id, param="intent")
    return setup_flow.cancel(call.account, intent, call.params.get("cancellation_reason"))


def _list(call: Call) -> StripeObject:
    wanted = every(created_within(call.params), equal_to(call.params, "customer", "payment_method"))
    return call.account[INTENTS].page(call.url, call.params, wanted)


_CREATE: Final = (
    *ONLY_WITH_CONFIRM,
    "allowed_payment_method_types",
    "automatic_payment_methods",
    "confirm",
    "customer",
    "description",
    "excluded_payment_method_types",
    "metadata",
    "payment_method",
    "payment_method_data",
    "usage",
)
_CONFIRM: Final = ("mandate_data", "payment_method", "payment_method_data", "return_url", "use_stripe_sdk")
_FILTERS: Final = ("created", "customer", "payment_method", "limit", "starting_after", "ending_before")

RESOURCE: Final = Resource(
    collection=INTENTS,
    kind=KIND,
    expandable={"customer": "customers", "payment_method": "payment_methods"},
    endpoints=(
        Endpoint("POST", "/v1/setup_intents", _create, Parameters(shapes.SetupIntentCreateParams, _CREATE)),
        Endpoint("GET", "/v1/setup_intents", _list, Parameters(shapes.SetupIntentListParams, _FILTERS)),
        Endpoint(
            "GET",
            "/v1/setup_intents/{id}",
            _retrieve,
            Parameters(shapes.SetupIntentRetrieveParams, ("client_secret",)),
            split_browser_fields=split_browser_fields,
        ),
        Endpoint(
            "POST",
            "/v1/setup_intents/{id}/confirm",
            _confirm,
            Parameters(shapes.SetupIntentConfirmParams, _CONFIRM),
            split_browser_fields=split_browser_fields,
        ),
        Endpoint(
            "POST",
            "/v1/setup_intents/{id}/cancel",
            _cancel,
            Parameters(shapes.SetupIntentCancelParams, ("cancellation_reason",)),
        ),
    ),
)
