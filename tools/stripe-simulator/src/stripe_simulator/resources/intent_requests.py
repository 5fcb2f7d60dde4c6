"""Request handling that payment and setup intents share.

A publishable key may retrieve and confirm an intent whose client secret it has. The response then has only the fields
that Stripe.js shows.
"""

import hmac
from collections.abc import Callable, Sequence
from typing import Any, Final

from stripe_simulator.account import Account
from stripe_simulator.api_errors import ApiError, invalid
from stripe_simulator.api_keys import KeyKind
from stripe_simulator.collection import StripeObject
from stripe_simulator.endpoints import Call
from stripe_simulator.forms import Form
from stripe_simulator.instruments import REDIRECTING
from stripe_simulator.intent_errors import class_name
from stripe_simulator.parameters import Params
from stripe_simulator.resources.payment_methods import METHOD_PARAMETERS, method_from_data, resolve_method

ONLY_WITH_CONFIRM: Final = ("return_url", "mandate_data", "use_stripe_sdk")
UPDATABLE: Final = ("requires_payment_method", "requires_confirmation", "requires_action")

CheckMethod = Callable[[Account, StripeObject, StripeObject], None]


def check_confirm_only(params: Params, names: Sequence[str]) -> None:
    """Refuse parameters that Stripe accepts only together with `confirm=true`."""
    for name in names:
        if name in params and not params.get("confirm"):
            raise invalid(f"You cannot set `{name}` when `confirm` is not `true`.", param=name)


def automatic_payment_methods(params: Params) -> Params | None:
    """Return the setting. It is on unless the request lists types or turns it off."""
    given = params.get("automatic_payment_methods")
    if given is None:
        return None if "allowed_payment_method_types" in params else {"allow_redirects": "always", "enabled": True}
    if given["enabled"] and "allowed_payment_method_types" in params:
        raise invalid(
            "You may only specify one of these parameters: automatic_payment_methods, allowed_payment_method_types.",
            param="automatic_payment_methods",
        )
    return {"allow_redirects": given.get("allow_redirects", "always"), "enabled": True} if given["enabled"] else None


def payment_method_types(params: Params, possible: Sequence[str], automatic: Params | None) -> list[str]:
    """Return the accepted types: the modelled ones that the request allows and does not exclude."""
    allowed = params.get("allowed_payment_method_types", possible if automatic else ("card",))
    excluded = set(params.get("excluded_payment_method_types", ()))
    if automatic and automatic["allow_redirects"] == "never":
        excluded |= REDIRECTING.keys()
    types = [kind for kind in possible if kind in allowed and kind not in excluded]
    if not types:
        raise invalid(
            "No valid payment method types for this intent. Please ensure that you have activated payment methods "
            "compatible with your chosen currency in your dashboard.",
            code="payment_method_not_available",
        )
    return types


def find_given_method(call: Call, intent: StripeObject, check: CheckMethod) -> StripeObject | None:
    """Return the payment method that the request names or describes, if any, once it is checked."""
    params = call.params
    if params.get("payment_method") and "payment_method_data" in params:
        raise invalid(
            "You may only specify one of these parameters: payment_method, payment_method_data.",
            param="payment_method",
        )
    if params.get("payment_method"):
        method = resolve_method(call.account, params["payment_method"])
    elif "payment_method_data" in params:
        method = method_from_data(call.account, params["payment_method_data"])
    else:
        return None
    check(call.account, intent, method)
    return method


def check_return_url(params: Params, intent: StripeObject) -> None:
    """Require a return URL where a payment method might redirect the buyer."""
    automatic = intent["automatic_payment_methods"]
    if automatic and automatic["allow_redirects"] == "always" and not params.get("return_url"):
        raise invalid(
            f"This {class_name(intent)} is configured to accept payment methods enabled in your Dashboard. Because "
            "some of these payment methods might redirect your customer off of your page, you must provide a "
            "`return_url`. If you don't want to accept redirect-based payment methods, set "
            "`automatic_payment_methods[enabled]` to `true` and `automatic_payment_methods[allow_redirects]` to "
            "`never` when creating Setup Intents and Payment Intents.",
            param="return_url",
        )


def check_client_secret(call: Call, intent: StripeObject) -> None:
    """Require the intent's client secret from a browser, and refuse a wrong one from anybody."""
    given = call.params.get("client_secret")
    if given is None:
        if call.key_kind is KeyKind.PUBLISHABLE:
            raise invalid("Missing required param: client_secret.", param="client_secret", code="parameter_missing")
        return
    if not hmac.compare_digest(given.encode(), intent["client_secret"].encode()):
        raise invalid(
            f"The client_secret provided does not match the client_secret associated with the {class_name(intent)}.",
            param="client_secret",
            code=f"{intent['object']}_invalid_parameter",
        )


def challenge_url(call: Call, intent: StripeObject) -> str:
    """Return the address of the simulated 3-D Secure page."""
    return f"{call.simulator_url}/_simulator/challenges/{intent['id']}"


def split_browser_fields(form: Form) -> tuple[Form, Params]:
    """Split off the parameters that Stripe.js sends and the server libraries' types lack."""
    browser: dict[str, Any] = {}
    form = dict(form)
    if "client_secret" in form:
        browser["client_secret"] = form.pop("client_secret")
    if isinstance(form.get("payment_method_data"), dict):
        # Only a browser may send card details. They have the shape of the create call for payment methods.
        browser["payment_method_data"] = METHOD_PARAMETERS.check(form.pop("payment_method_data"))
    return form, browser


def visible_to(key_kind: KeyKind, intent: StripeObject, public_fields: Sequence[str]) -> StripeObject:
    """Return the fields of the intent that the key may read."""
    return intent if key_kind is KeyKind.SECRET else {name: intent[name] for name in public_fields}


def visible_error(key_kind: KeyKind, error: ApiError, kind: str, public_fields: Sequence[str]) -> ApiError:
    """Reduce the intent inside an error to the fields that the key may read."""
    if kind in error.body:
        error.body[kind] = visible_to(key_kind, error.body[kind], public_fields)
    return error
