"""Prices (https://docs.stripe.com/api/prices). An update cannot change amounts or currency."""

from typing import Any

import stripe.params as shapes

from stripe_simulator.account import Account
from stripe_simulator.api_errors import ApiError, invalid
from stripe_simulator.collection import StripeObject, created_within, equal_to, every
from stripe_simulator.endpoints import Call, Endpoint, Resource
from stripe_simulator.money import check_currency
from stripe_simulator.parameters import Parameters, Params, merge_metadata
from stripe_simulator.resources.products import new_product

COLLECTION = "prices"
KIND = "price"
_MAX_UNIT_AMOUNT = 999_999_999_999
_MAX_INTERVAL_COUNT = {"day": 1095, "week": 156, "month": 36, "year": 3}


def new_price(account: Account, params: Params) -> StripeObject:
    """Store a new price, for an existing product or for a new one described by `product_data`."""
    currency = check_currency(params["currency"])
    scheme = params.get("billing_scheme", "per_unit")
    _check_amount(params, scheme)
    amount = params.get("unit_amount")
    recurring = _recurring(params.get("recurring"))
    _check_lookup_key(account, params.get("lookup_key"))
    price: StripeObject = {
        "id": account.ids.new("price"),
        "object": KIND,
        "active": params.get("active", True),
        "billing_scheme": scheme,
        "created": account.clock.timestamp(),
        "currency": currency,
        "custom_unit_amount": None,
        "livemode": account.livemode,
        "lookup_key": params.get("lookup_key"),
        "metadata": merge_metadata({}, params.get("metadata")),
        "nickname": params.get("nickname"),
        "product": _product_id(account, params),
        "recurring": recurring,
        "tax_behavior": params.get("tax_behavior", "unspecified"),
        "tiers_mode": params.get("tiers_mode"),
        "transform_quantity": None,
        "type": "recurring" if recurring else "one_time",
        "unit_amount": amount,
        "unit_amount_decimal": None if amount is None else str(amount),
    }
    account[COLLECTION].add(price)
    account.includable[price["id"], "currency_options"] = _currency_options(price)
    account.includable[price["id"], "tiers"] = _tiers(params.get("tiers"))
    account.publish("price.created", price)
    return price


def _currency_options(price: StripeObject) -> StripeObject:
    names = ("custom_unit_amount", "tax_behavior", "unit_amount", "unit_amount_decimal")
    return {price["currency"]: {name: price[name] for name in names}}


def plan_of(price: StripeObject) -> StripeObject:
    """Return a recurring price as the plan that it once was, which subscription items still contain."""
    same = ("id", "active", "billing_scheme", "created", "currency", "livemode", "metadata", "nickname", "product")
    return {name: price[name] for name in same} | {
        "object": "plan",
        "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"],
        "interval": price["recurring"]["interval"],
        "interval_count": price["recurring"]["interval_count"],
        "meter": price["recurring"]["meter"],
        "tiers_mode": price["tiers_mode"],
        "transform_usage": None,
        "trial_period_days": price["recurring"]["trial_period_days"],
        "usage_type": price["recurring"]["usage_type"],
    }


def _product_id(account: Account, params: Params) -> str:
    if ("product" in params) == ("product_data" in params):
        raise invalid("You must specify exactly one of these parameters: product, product_data.", param="product")
    if "product_data" in params:
        made: str = new_product(account, params["product_data"])["id"]
        return made
    found: str = account["products"].get(params["product"], param="product", status=400)["id"]
    return found


def _check_amount(params: Params, scheme: str) -> None:
    if scheme == "tiered":
        if "unit_amount" in params or not params.get("tiers") or "tiers_mode" not in params:
            raise invalid("A tiered price needs `tiers` and `tiers_mode`, and no amount of its own.", param="tiers")
        return
    if "tiers" in params or "tiers_mode" in params:
        raise invalid("You may only specify `tiers` when `billing_scheme=tiered`.", param="tiers")
    if "unit_amount" not in params:
        raise invalid("Prices require an amount, `unit_amount`.", code="parameter_missing")
    if params["unit_amount"] < 0:
        raise _bad_amount("This value must be greater than or equal to 0.")
    if params["unit_amount"] > _MAX_UNIT_AMOUNT:
        raise _bad_amount("Invalid integer: the amount is too large.")


def _bad_amount(message: str) -> ApiError:
    return invalid(message, param="unit_amount", code="parameter_invalid_integer")


def _tiers(given: list[Params] | None) -> list[Params] | None:
    if given is None:
        return None
    return [
        {
            "flat_amount": tier.get("flat_amount"),
            "flat_amount_decimal": _decimal_text(tier, "flat_amount"),
            "unit_amount": tier.get("unit_amount"),
            "unit_amount_decimal": _decimal_text(tier, "unit_amount"),
            "up_to": None if tier["up_to"] == "inf" else tier["up_to"],
        }
        for tier in given
    ]


def _decimal_text(tier: Params, name: str) -> str | None:
    value = tier.get(f"{name}_decimal", tier.get(name))
    return None if value is None else str(value)


def _recurring(given: Params | None) -> Params | None:
    if given is None:
        return None
    interval, count = given["interval"], given.get("interval_count", 1)
    if not 1 <= count <= _MAX_INTERVAL_COUNT[interval]:
        raise invalid(
            "Invalid interval_count: a price is billed at least once every three years.",
            param="recurring[interval_count]",
        )
    return {
        "interval": interval,
        "interval_count": count,
        "meter": given.get("meter"),
        "trial_period_days": given.get("trial_period_days"),
        "usage_type": given.get("usage_type", "licensed"),
    }


def _check_lookup_key(account: Account, key: str | None) -> None:
    holder = next((price for price in account[COLLECTION] if key and price["lookup_key"] == key), None)
    if holder is not None:
        raise invalid(f"A price (`{holder['id']}`) already uses that lookup key.", param="lookup_key")


def _create(call: Call) -> StripeObject:
    return new_price(call.account, call.params)


def _retrieve(call: Call) -> StripeObject:
    return call.account[COLLECTION].get(call.id)


def _update(call: Call) -> StripeObject:
    price = _retrieve(call)
    changes: Params = {name: call.params[name] for name in ("active", "nickname") if name in call.params}
    if "metadata" in call.params:
        changes["metadata"] = merge_metadata(price["metadata"], call.params["metadata"])
    return call.account.change(COLLECTION, price, "price.updated", **changes)


def _list(call: Call) -> StripeObject:
    params = call.params
    keys, recurring = params.get("lookup_keys"), params.get("recurring")
    wanted = every(
        created_within(params),
        equal_to(params, "active", "currency", "product", "type"),
        lambda price: keys is None or price["lookup_key"] in keys,
        lambda price: recurring is None or _recurs_as(price["recurring"], recurring),
    )
    return call.account[COLLECTION].page(call.url, params, wanted)


def _recurs_as(actual: Any, wanted: Params) -> bool:
    return actual is not None and all(actual[name] == value for name, value in wanted.items())


_CREATE = Parameters(
    shapes.PriceCreateParams,
    (
        "active",
        "billing_scheme",
        "currency",
        "lookup_key",
        "metadata",
        "nickname",
        "product",
        "product_data",
        "recurring",
        "tax_behavior",
        "tiers",
        "tiers_mode",
        "unit_amount",
    ),
)
_UPDATE = Parameters(
    shapes.PriceUpdateParams,
    ("active", "metadata", "nickname"),
)
_FILTERS = ("active", "created", "currency", "lookup_keys", "product", "recurring", "type")
_LIST = Parameters(shapes.PriceListParams, (*_FILTERS, "limit", "starting_after", "ending_before"))

RESOURCE = Resource(
    collection=COLLECTION,
    kind=KIND,
    expandable={"currency_options": None, "product": "products", "tiers": None},
    endpoints=(
        Endpoint("POST", "/v1/prices", _create, _CREATE),
        Endpoint("GET", "/v1/prices", _list, _LIST),
        Endpoint("GET", "/v1/prices/{id}", _retrieve, Parameters(shapes.PriceRetrieveParams, ())),
        Endpoint("POST", "/v1/prices/{id}", _update, _UPDATE),
    ),
)
