"""Payment intents (https://docs.stripe.com/api/payment_intents).

With a publishable key an intent can be retrieved and confirmed by whoever has its client secret; the answer then has
only the fields that Stripe.js shows (https://docs.stripe.com/js/payment_intents/payment_intent).
"""

import hmac
from typing import Any

import stripe.params as shapes

from stripe_simulator import payment_flow
from stripe_simulator.access import KeyKind
from stripe_simulator.api_errors import ApiError, invalid
from stripe_simulator.collection import StripeObject, created_within, equal_to, every
from stripe_simulator.endpoints import Call, Endpoint, Resource
from stripe_simulator.forms import Form
from stripe_simulator.money import check_charge_amount, check_currency
from stripe_simulator.parameters import Parameters, Params, merge_metadata
from stripe_simulator.payment_errors import not_updatable
from stripe_simulator.payment_flow import INTENTS, Confirmation
from stripe_simulator.resources.intent_shape import KIND, new_intent, visible_error, visible_to
from stripe_simulator.resources.payment_methods import METHOD_PARAMETERS, method_from_data
from stripe_simulator.resources.shared_shapes import shipping_of

_UPDATABLE = ("requires_payment_method", "requires_confirmation", "requires_action")
_ALWAYS_UPDATABLE = frozenset({"description", "metadata", "expand"})
_TEXTS = ("description", "receipt_email", "statement_descriptor", "statement_descriptor_suffix")
_MAX_DESCRIPTOR_LENGTH = 22
_ONLY_WITH_CONFIRM = ("off_session", "return_url", "mandate_data", "error_on_requires_action", "use_stripe_sdk")


def _create(call: Call) -> StripeObject:
    account, params = call.account, call.params
    _check_confirm_only(params)
    currency = check_currency(params["currency"])
    check_charge_amount(params["amount"], currency)
    _check_texts(params)
    if "customer" in params:
        account["customers"].get(params["customer"], param="customer", status=400)
    intent = new_intent(account, params, currency)
    method = _given_method(call, intent)
    if method:
        intent |= {"payment_method": method["id"], "status": "requires_confirmation"}
    if params.get("confirm"):
        _check_confirmable(call, intent)
    account[INTENTS].add(intent)
    account.publish("payment_intent.created", intent)
    return _confirm_now(call, intent) if params.get("confirm") else intent


def _check_confirm_only(params: Params) -> None:
    for name in _ONLY_WITH_CONFIRM:
        if name in params and not params.get("confirm"):
            raise invalid(f"You cannot set `{name}` when `confirm` is not `true`.", param=name)


def _check_texts(params: Params) -> None:
    descriptor = params.get("statement_descriptor")
    if descriptor and len(descriptor) > _MAX_DESCRIPTOR_LENGTH:
        raise invalid(
            f"The statement descriptor must be at most {_MAX_DESCRIPTOR_LENGTH} characters.",
            param="statement_descriptor",
        )
    if "payment_method" in params and "payment_method_data" in params:
        raise invalid(
            "You may only specify one of these parameters: payment_method, payment_method_data.",
            param="payment_method",
        )


def _given_method(call: Call, intent: StripeObject) -> StripeObject | None:
    """Answer the payment method that the call brings, if any."""
    if call.params.get("payment_method"):
        return payment_flow.choose_method(call.account, intent, call.params["payment_method"])
    if "payment_method_data" in call.params:
        method = method_from_data(call.account, call.params["payment_method_data"])
        payment_flow.check_method(call.account, intent, method)
        return method
    return None


def _confirm_now(call: Call, intent: StripeObject) -> StripeObject:
    params = call.params
    confirmation = Confirmation(
        off_session=params.get("off_session") in (True, "one_off", "recurring"),
        error_on_requires_action=params.get("error_on_requires_action", False),
        return_url=params.get("return_url"),
        use_stripe_sdk=params.get("use_stripe_sdk", False),
        challenge_url=f"{call.simulator_url}/_simulator/challenges/{intent['id']}",
    )
    return payment_flow.confirm(call.account, intent, confirmation)


def _check_confirmable(call: Call, intent: StripeObject) -> None:
    """Refuse what is incomplete before anything is stored."""
    _check_return_url(call.params, intent)
    _check_mandate(call, intent)


def _check_return_url(params: Params, intent: StripeObject) -> None:
    """Ask for a place to come back to wherever the buyer might be sent away."""
    automatic = intent["automatic_payment_methods"]
    if automatic and automatic["allow_redirects"] == "always" and not params.get("return_url"):
        raise invalid(
            "This PaymentIntent is configured to accept payment methods enabled in your Dashboard. Because some of "
            "these payment methods might redirect your customer off of your page, you must provide a `return_url`. If "
            "you don't want to accept redirect-based payment methods, set `automatic_payment_methods[enabled]` to "
            "`true` and `automatic_payment_methods[allow_redirects]` to `never` when creating Setup Intents and "
            "Payment Intents.",
            param="return_url",
        )


def _check_mandate(call: Call, intent: StripeObject) -> None:
    """Ask for the buyer's mandate before a bank account is debited; Stripe.js collects it by itself."""
    if call.key_kind is KeyKind.PUBLISHABLE or "mandate_data" in call.params or not intent["payment_method"]:
        return
    if call.account["payment_methods"].get(intent["payment_method"])["type"] != "card":
        raise invalid(
            "This PaymentIntent requires a mandate, but no existing mandate was found. Collect mandate acceptance from "
            "the customer and try again, providing acceptance data in the mandate_data parameter.",
            code="payment_intent_mandate_invalid",
        )


def _retrieve(call: Call) -> StripeObject:
    intent = call.account[INTENTS].get(call.id, param="intent")
    _check_client_secret(call, intent)
    return visible_to(call.key_kind, intent)


def _confirm(call: Call) -> StripeObject:
    account = call.account
    intent = account[INTENTS].get(call.id, param="intent")
    _check_client_secret(call, intent)
    if call.key_kind is KeyKind.PUBLISHABLE and intent["confirmation_method"] == "manual":
        raise invalid(
            "This PaymentIntent cannot be confirmed using your publishable key because its `confirmation_method` is "
            "set to `manual`. Please use your secret key instead, or create a PaymentIntent with "
            "`confirmation_method` set to `automatic`."
        )
    _check_texts(call.params)
    try:
        return visible_to(call.key_kind, _confirm_now(call, _with_given(call, intent)))
    except ApiError as problem:
        raise visible_error(call.key_kind, problem) from None


def _with_given(call: Call, intent: StripeObject) -> StripeObject:
    """Take over what the confirm call brings, if the intent can still be confirmed."""
    if intent["status"] not in payment_flow.CONFIRMABLE:
        return intent
    changes: Params = {
        name: call.params[name] for name in ("receipt_email", "setup_future_usage") if name in call.params
    }
    if "shipping" in call.params:
        changes["shipping"] = shipping_of(call.params["shipping"])
    method = _given_method(call, intent)
    if method:
        changes |= {"payment_method": method["id"], "status": "requires_confirmation", "next_action": None}
    _check_confirmable(call, {**intent, **changes})
    return call.account.change(INTENTS, intent, **changes)


def _check_client_secret(call: Call, intent: StripeObject) -> None:
    given = call.params.get("client_secret")
    if given is None:
        if call.key_kind is KeyKind.PUBLISHABLE:
            raise invalid("Missing required param: client_secret.", param="client_secret", code="parameter_missing")
        return
    if not hmac.compare_digest(given.encode(), intent["client_secret"].encode()):
        raise invalid(
            "The client_secret provided does not match the client_secret associated with the PaymentIntent.",
            param="client_secret",
            code="payment_intent_invalid_parameter",
        )


def _update(call: Call) -> StripeObject:
    intent = call.account[INTENTS].get(call.id, param="intent")
    fixed = [name for name in call.params if name not in _ALWAYS_UPDATABLE]
    if fixed and intent["status"] not in _UPDATABLE:
        raise not_updatable(intent, fixed[0], _UPDATABLE)
    _check_texts(call.params)
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
        changes["shipping"] = shipping_of(params["shipping"])
    if "customer" in params:
        changes["customer"] = call.account["customers"].get(params["customer"], param="customer", status=400)["id"]
    if "capture_method" in params:
        changes["capture_method"] = params["capture_method"]
    method = _given_method(call, {**intent, **changes})
    if method:
        changes |= {"payment_method": method["id"], "status": "requires_confirmation", "next_action": None}
    elif amount != intent["amount"] and intent["status"] == "requires_action":
        # The buyer was asked about another sum.
        changes |= {"status": "requires_confirmation", "next_action": None}
    return changes


def _cancel(call: Call) -> StripeObject:
    intent = call.account[INTENTS].get(call.id, param="intent")
    return payment_flow.cancel(call.account, intent, call.params.get("cancellation_reason"))


def _capture(call: Call) -> StripeObject:
    intent = call.account[INTENTS].get(call.id, param="intent")
    return payment_flow.capture(call.account, intent, call.params.get("amount_to_capture"))


def _list(call: Call) -> StripeObject:
    wanted = every(created_within(call.params), equal_to(call.params, "customer"))
    return call.account[INTENTS].page(call.url, call.params, wanted)


def _split_browser_fields(form: Form) -> tuple[Form, Params]:
    """Take off what Stripe.js sends and the server libraries' types do not have."""
    browser: dict[str, Any] = {}
    form = dict(form)
    if "client_secret" in form:
        browser["client_secret"] = form.pop("client_secret")
    if isinstance(form.get("payment_method_data"), dict):
        # Only a browser may bring the details of a card; they are shaped as in the create call for payment methods.
        browser["payment_method_data"] = METHOD_PARAMETERS.check(form.pop("payment_method_data"))
    return form, browser


_TAKEN = (
    *_TEXTS,
    "amount",
    "capture_method",
    "currency",
    "customer",
    "metadata",
    "payment_method",
    "payment_method_data",
    "setup_future_usage",
    "shipping",
)
_CONFIRM = (
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
_CREATE = (
    *_TAKEN,
    *_ONLY_WITH_CONFIRM,
    "allowed_payment_method_types",
    "automatic_payment_methods",
    "confirm",
    "confirmation_method",
    "excluded_payment_method_types",
)
_CURSORS = ("limit", "starting_after", "ending_before")

RESOURCE = Resource(
    collection=INTENTS,
    kind=KIND,
    expandable={"customer": "customers", "latest_charge": "charges", "payment_method": "payment_methods"},
    endpoints=(
        Endpoint("POST", "/v1/payment_intents", _create, Parameters(shapes.PaymentIntentCreateParams, _CREATE)),
        Endpoint(
            "GET",
            "/v1/payment_intents",
            _list,
            Parameters(shapes.PaymentIntentListParams, ("created", "customer", *_CURSORS)),
        ),
        Endpoint(
            "GET",
            "/v1/payment_intents/{id}",
            _retrieve,
            Parameters(shapes.PaymentIntentRetrieveParams, ("client_secret",)),
            prepare=_split_browser_fields,
        ),
        Endpoint("POST", "/v1/payment_intents/{id}", _update, Parameters(shapes.PaymentIntentUpdateParams, _TAKEN)),
        Endpoint(
            "POST",
            "/v1/payment_intents/{id}/confirm",
            _confirm,
            Parameters(shapes.PaymentIntentConfirmParams, _CONFIRM),
            prepare=_split_browser_fields,
        ),
        Endpoint(
            "POST",
            "/v1/payment_intents/{id}/cancel",
            _cancel,
            Parameters(shapes.PaymentIntentCancelParams, ("cancellation_reason",)),
        ),
        Endpoint(
            "POST",
            "/v1/payment_intents/{id}/capture",
            _capture,
            Parameters(shapes.PaymentIntentCaptureParams, ("amount_to_capture",)),
        ),
    ),
)
