"""Setup intents (https://docs.stripe.com/api/setup_intents).

With a publishable key an intent can be retrieved and confirmed by whoever has its client secret; the answer then has
only the fields that Stripe.js shows.
"""

import hmac
from typing import Any

import stripe.params as shapes

from stripe_simulator import setup_flow
from stripe_simulator.access import KeyKind
from stripe_simulator.account import Account
from stripe_simulator.api_errors import ApiError, invalid
from stripe_simulator.collection import StripeObject, created_within, equal_to, every
from stripe_simulator.endpoints import Call, Endpoint, Resource
from stripe_simulator.forms import Form
from stripe_simulator.parameters import Parameters, Params, merge_metadata
from stripe_simulator.payment_flow import Confirmation
from stripe_simulator.resources.payment_methods import METHOD_PARAMETERS, method_from_data
from stripe_simulator.setup_flow import INTENTS

KIND = "setup_intent"
_POSSIBLE = ("card", "sepa_debit", "us_bank_account")
_ONLY_WITH_CONFIRM = ("return_url", "mandate_data", "use_stripe_sdk")
_UPDATABLE = ("requires_payment_method", "requires_confirmation", "requires_action")
_PUBLIC_FIELDS = (
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
    for name in _ONLY_WITH_CONFIRM:
        if name in params and not params.get("confirm"):
            raise invalid(f"You cannot set `{name}` when `confirm` is not `true`.", param=name)
    if "customer" in params:
        account["customers"].get(params["customer"], param="customer", status=400)
    intent = _new_intent(account, params)
    method = _given_method(call, intent)
    if method:
        intent |= {"payment_method": method["id"], "status": "requires_confirmation"}
    if params.get("confirm"):
        _check_return_url(params, intent)
    account[INTENTS].add(intent)
    account.publish("setup_intent.created", intent)
    return _confirm_now(call, intent) if params.get("confirm") else intent


def _new_intent(account: Account, params: Params) -> StripeObject:
    intent_id = account.ids.new("seti")
    automatic = _automatic(params)
    return {
        "id": intent_id,
        "object": KIND,
        "application": None,
        "attach_to_self": None,
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
        "livemode": False,
        "mandate": None,
        "metadata": merge_metadata({}, params.get("metadata")),
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "payment_method_types": _method_types(params, automatic),
        "single_use_mandate": None,
        "status": "requires_payment_method",
        "usage": params.get("usage", "off_session"),
    }


def _automatic(params: Params) -> Params | None:
    given = params.get("automatic_payment_methods")
    if given is None:
        on = "allowed_payment_method_types" not in params
        return {"allow_redirects": "always", "enabled": True} if on else None
    return {"allow_redirects": given.get("allow_redirects", "always"), "enabled": True} if given["enabled"] else None


def _method_types(params: Params, automatic: Params | None) -> list[str]:
    allowed = params.get("allowed_payment_method_types", _POSSIBLE if automatic else ("card",))
    excluded = params.get("excluded_payment_method_types", ())
    types = [kind for kind in _POSSIBLE if kind in allowed and kind not in excluded]
    if not types:
        raise invalid(
            "No valid payment method types for this Setup Intent. Please ensure that you have activated payment "
            "methods compatible with your account in your dashboard.",
            code="payment_method_not_available",
        )
    return types


def _given_method(call: Call, intent: StripeObject) -> StripeObject | None:
    if call.params.get("payment_method") and "payment_method_data" in call.params:
        raise invalid(
            "You may only specify one of these parameters: payment_method, payment_method_data.",
            param="payment_method",
        )
    if call.params.get("payment_method"):
        return setup_flow.choose_method(call.account, intent, call.params["payment_method"])
    if "payment_method_data" in call.params:
        method = method_from_data(call.account, call.params["payment_method_data"])
        setup_flow.check_method(intent, method)
        return method
    return None


def _check_return_url(params: Params, intent: StripeObject) -> None:
    automatic = intent["automatic_payment_methods"]
    if automatic and automatic["allow_redirects"] == "always" and not params.get("return_url"):
        raise invalid(
            "This SetupIntent is configured to accept payment methods enabled in your Dashboard. Because some of these "
            "payment methods might redirect your customer off of your page, you must provide a `return_url`.",
            param="return_url",
        )


def _confirm_now(call: Call, intent: StripeObject) -> StripeObject:
    confirmation = Confirmation(
        return_url=call.params.get("return_url"),
        use_stripe_sdk=call.params.get("use_stripe_sdk", False),
        challenge_url=f"{call.simulator_url}/_simulator/challenges/{intent['id']}",
    )
    return setup_flow.confirm(call.account, intent, confirmation)


def _retrieve(call: Call) -> StripeObject:
    intent = call.account[INTENTS].get(call.id, param="intent")
    _check_client_secret(call, intent)
    return _visible_to(call.key_kind, intent)


def _confirm(call: Call) -> StripeObject:
    intent = call.account[INTENTS].get(call.id, param="intent")
    _check_client_secret(call, intent)
    try:
        return _visible_to(call.key_kind, _confirm_now(call, _with_given(call, intent)))
    except ApiError as problem:
        if "setup_intent" in problem.error:
            problem.error["setup_intent"] = _visible_to(call.key_kind, problem.error["setup_intent"])
        raise


def _with_given(call: Call, intent: StripeObject) -> StripeObject:
    if intent["status"] not in setup_flow.CONFIRMABLE:
        return intent
    method = _given_method(call, intent)
    _check_return_url(call.params, intent)
    if method is None:
        return intent
    return call.account.change(
        INTENTS, intent, payment_method=method["id"], status="requires_confirmation", next_action=None
    )


def _check_client_secret(call: Call, intent: StripeObject) -> None:
    given = call.params.get("client_secret")
    if given is None:
        if call.key_kind is KeyKind.PUBLISHABLE:
            raise invalid("Missing required param: client_secret.", param="client_secret", code="parameter_missing")
        return
    if not hmac.compare_digest(given.encode(), intent["client_secret"].encode()):
        raise invalid(
            "The client_secret provided does not match the client_secret associated with the SetupIntent.",
            param="client_secret",
            code="setup_intent_invalid_parameter",
        )


def _visible_to(key_kind: KeyKind, intent: StripeObject) -> StripeObject:
    if key_kind is KeyKind.SECRET:
        return intent
    return {name: intent[name] for name in _PUBLIC_FIELDS}


def _update(call: Call) -> StripeObject:
    intent = call.account[INTENTS].get(call.id, param="intent")
    if intent["status"] not in _UPDATABLE:
        raise setup_flow.wrong_status(intent, "update", _UPDATABLE)
    changes: Params = {"description": call.params["description"] or None} if "description" in call.params else {}
    if "metadata" in call.params:
        changes["metadata"] = merge_metadata(intent["metadata"], call.params["metadata"])
    return call.account.change(INTENTS, intent, **changes)


def _cancel(call: Call) -> StripeObject:
    intent = call.account[INTENTS].get(call.id, param="intent")
    return setup_flow.cancel(call.account, intent, call.params.get("cancellation_reason"))


def _list(call: Call) -> StripeObject:
    wanted = every(created_within(call.params), equal_to(call.params, "customer", "payment_method"))
    return call.account[INTENTS].page(call.url, call.params, wanted)


def _split_browser_fields(form: Form) -> tuple[Form, Params]:
    """Take off what Stripe.js sends and the server libraries' types do not have."""
    browser: dict[str, Any] = {}
    form = dict(form)
    if "client_secret" in form:
        browser["client_secret"] = form.pop("client_secret")
    if isinstance(form.get("payment_method_data"), dict):
        browser["payment_method_data"] = METHOD_PARAMETERS.check(form.pop("payment_method_data"))
    return form, browser


_CREATE = (
    *_ONLY_WITH_CONFIRM,
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
_CONFIRM = ("mandate_data", "payment_method", "payment_method_data", "return_url", "use_stripe_sdk")
_FILTERS = ("created", "customer", "payment_method", "limit", "starting_after", "ending_before")

RESOURCE = Resource(
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
            prepare=_split_browser_fields,
        ),
        Endpoint(
            "POST",
            "/v1/setup_intents/{id}",
            _update,
            Parameters(shapes.SetupIntentUpdateParams, ("description", "metadata")),
        ),
        Endpoint(
            "POST",
            "/v1/setup_intents/{id}/confirm",
            _confirm,
            Parameters(shapes.SetupIntentConfirmParams, _CONFIRM),
            prepare=_split_browser_fields,
        ),
        Endpoint(
            "POST",
            "/v1/setup_intents/{id}/cancel",
            _cancel,
            Parameters(shapes.SetupIntentCancelParams, ("cancellation_reason",)),
        ),
    ),
)
