"""Shipping rates (https://docs.stripe.com/api/shipping_rates)."""

import stripe.params as shapes

from stripe_simulator.api_errors import invalid
from stripe_simulator.collection import StripeObject, created_within, equal_to, every
from stripe_simulator.endpoints import Call, Endpoint, Resource
from stripe_simulator.money import check_currency
from stripe_simulator.parameters import Parameters, Params, merge_metadata

COLLECTION = "shipping_rates"
KIND = "shipping_rate"
_MAX_NAME_LENGTH = 100


def _create(call: Call) -> StripeObject:
    params = call.params
    if len(params["display_name"]) > _MAX_NAME_LENGTH:
        raise invalid(f"Invalid string; must be at most {_MAX_NAME_LENGTH} characters", param="display_name")
    rate: StripeObject = {
        "id": call.account.ids.new("shr"),
        "object": KIND,
        "active": True,
        "created": call.account.clock.timestamp(),
        "delivery_estimate": _estimate(params.get("delivery_estimate")),
        "display_name": params["display_name"],
        "fixed_amount": _fixed_amount(params.get("fixed_amount")),
        "livemode": call.account.livemode,
        "metadata": merge_metadata({}, params.get("metadata")),
        "tax_behavior": params.get("tax_behavior", "unspecified"),
        "tax_code": None,
        "type": "fixed_amount",
    }
    return call.account[COLLECTION].add(rate)


def _fixed_amount(given: Params | None) -> Params:
    if given is None:
        raise invalid("Missing required param: fixed_amount.", param="fixed_amount", code="parameter_missing")
    if given["amount"] < 0:
        message = "This value must be greater than or equal to 0."
        raise invalid(message, param="fixed_amount[amount]", code="parameter_invalid_integer")
    if "currency_options" in given:
        raise invalid("The simulator does not model currency options of shipping rates.", param="fixed_amount")
    return {"amount": given["amount"], "currency": check_currency(given["currency"], "fixed_amount[currency]")}


def _estimate(given: Params | None) -> Params | None:
    if given is None:
        return None
    return {"maximum": given.get("maximum"), "minimum": given.get("minimum")}


def _list(call: Call) -> StripeObject:
    currency = call.params.get("currency")
    wanted = every(
        created_within(call.params),
        equal_to(call.params, "active"),
        lambda rate: currency is None or rate["fixed_amount"]["currency"] == currency,
    )
    return call.account[COLLECTION].page(call.url, call.params, wanted)


_CREATE = Parameters(
    shapes.ShippingRateCreateParams,
    ("delivery_estimate", "display_name", "fixed_amount", "metadata", "tax_behavior", "type"),
)
_LIST = Parameters(
    shapes.ShippingRateListParams, ("active", "created", "currency", "limit", "starting_after", "ending_before")
)

RESOURCE = Resource(
    collection=COLLECTION,
    kind=KIND,
    endpoints=(
        Endpoint("POST", "/v1/shipping_rates", _create, _CREATE),
        Endpoint("GET", "/v1/shipping_rates", _list, _LIST),
    ),
)
