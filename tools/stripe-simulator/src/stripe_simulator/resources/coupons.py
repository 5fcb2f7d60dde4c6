"""Coupons (https://docs.stripe.com/api/coupons)."""

from typing import Final

import stripe.params as shapes

from stripe_simulator.api_errors import invalid
from stripe_simulator.billing.discounts import COUPONS
from stripe_simulator.collection import StripeObject, created_within
from stripe_simulator.endpoints import Call, Endpoint, Resource
from stripe_simulator.money import check_currency
from stripe_simulator.parameters import Parameters, Params, merge_metadata

KIND: Final = "coupon"
_WHOLE: Final = 100


def _create(call: Call) -> StripeObject:
    account, params = call.account, call.params
    _check(params)
    coupon = account[COUPONS].add(
        {
            "id": params.get("id") or account.ids.fingerprint()[:8],
            "object": KIND,
            "amount_off": params.get("amount_off"),
            "created": account.clock.timestamp(),
            "currency": check_currency(params["currency"]) if "currency" in params else None,
            "duration": params.get("duration", "once"),
            "duration_in_months": params.get("duration_in_months"),
            "livemode": account.livemode,
            "max_redemptions": params.get("max_redemptions"),
            "metadata": merge_metadata({}, params.get("metadata")),
            "name": params.get("name"),
            "percent_off": params.get("percent_off"),
            "redeem_by": None,
            "times_redeemed": 0,
            "valid": True,
        }
    )
    own = {coupon["currency"]: {"amount_off": coupon["amount_off"]}} if coupon["currency"] else {}
    account.includable[coupon["id"], "currency_options"] = own
    account.publish("coupon.created", coupon)
    return coupon


def _check(params: Params) -> None:
    if ("amount_off" in params) == ("percent_off" in params):
        raise invalid("You must pass exactly one of these parameters: amount_off, percent_off.")
    if "amount_off" in params and (params["amount_off"] < 1 or "currency" not in params):
        raise invalid("A coupon with amount_off needs a positive amount and a currency.", param="currency")
    if "percent_off" in params and not 0 < params["percent_off"] <= _WHOLE:
        raise invalid("Invalid percent_off: must be greater than 0 and at most 100.", param="percent_off")
    if (params.get("duration") == "repeating") != ("duration_in_months" in params):
        raise invalid("You must pass duration_in_months if and only if duration is repeating.", param="duration")


def _retrieve(call: Call) -> StripeObject:
    return call.account[COUPONS].get(call.id, param="coupon")


def _list(call: Call) -> StripeObject:
    return call.account[COUPONS].page(call.url, call.params, created_within(call.params))


_CREATE = (
    "amount_off",
    "currency",
    "duration",
    "duration_in_months",
    "id",
    "max_redemptions",
    "metadata",
    "name",
    "percent_off",
)
_FILTERS = ("created", "limit", "starting_after", "ending_before")

RESOURCE = Resource(
    collection=COUPONS,
    kind=KIND,
    expandable={"currency_options": None},
    endpoints=(
        Endpoint("POST", "/v1/coupons", _create, Parameters(shapes.CouponCreateParams, _CREATE)),
        Endpoint("GET", "/v1/coupons", _list, Parameters(shapes.CouponListParams, _FILTERS)),
        Endpoint("GET", "/v1/coupons/{id}", _retrieve, Parameters(shapes.CouponRetrieveParams, ())),
    ),
)
