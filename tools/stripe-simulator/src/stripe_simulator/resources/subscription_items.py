"""Items of subscriptions (https://docs.stripe.com/api/subscription_items), which an update of these changes."""

from typing import Final

import stripe.params as shapes

from stripe_simulator.account import Account
from stripe_simulator.api_errors import invalid, resource_missing
from stripe_simulator.billing.discounts import DISCOUNTS
from stripe_simulator.billing.objects import SUBSCRIPTIONS
from stripe_simulator.collection import DEFAULT_LIMIT, Collection, StripeObject
from stripe_simulator.endpoints import Call, Endpoint, ExpandableFields, Resource
from stripe_simulator.parameters import NOT_MODELLED, Parameters, Params
from stripe_simulator.resources import prices
from stripe_simulator.resources.prices import plan_of

COLLECTION: Final = "subscription_items"
KIND: Final = "subscription_item"
EXPANDABLE: Final[ExpandableFields] = {"discounts": DISCOUNTS, "price": prices.RESOURCE.expandable}
_MAX_ITEMS: Final = 20


def new_item(account: Account, subscription_id: str, given: Params, place: int) -> StripeObject:
    """Return an item for the parameters at a place of `items`. The caller sets its period."""
    price = find_price(account, given, place)
    return {
        "id": account.ids.new("si"),
        "object": KIND,
        "billing_thresholds": None,
        "created": account.clock.timestamp(),
        "current_period_end": 0,
        "current_period_start": 0,
        "current_trial": None,
        "discounts": [],
        "metadata": given.get("metadata") or {},
        "plan": plan_of(price),
        "price": price,
        "quantity": checked_quantity(given, place),
        "subscription": subscription_id,
        "tax_rates": [],
    }


def checked_quantity(given: Params, place: int) -> int:
    """Return the quantity at a place of `items`, by default 1. Refuses a negative one."""
    quantity: int = given.get("quantity", 1)
    if quantity < 0:
        raise invalid(
            "This value must be greater than or equal to 0.",
            param=f"items[{place}][quantity]",
            code="parameter_invalid_integer",
        )
    return quantity


def find_price(account: Account, given: Params, place: int) -> StripeObject:
    """Return the price at a place of `items`. Refuses one that cannot be subscribed to."""
    param = f"items[{place}][price]"
    if "price" not in given:
        raise invalid(f"Missing required param: {param}.", param=param, code="parameter_missing")
    price = account["prices"].get(given["price"], param=param, status=400)
    if not price["active"]:
        raise invalid("The price specified is inactive. This field only accepts active prices.", param=param)
    if price["recurring"] is None:
        raise invalid(
            "The price specified is set to `type=one_time` but this field only accepts prices with `type=recurring`.",
            param=param,
        )
    if price["recurring"]["usage_type"] != "licensed" or price["unit_amount"] is None:
        raise invalid("The simulator models only licensed prices with whole amounts.", param=param, code=NOT_MODELLED)
    if not account["products"].get(price["product"])["active"]:
        raise invalid("The product of the price specified is inactive.", param=param)
    return price


def check_together(items: list[StripeObject]) -> None:
    """Refuse items that cannot be billed together."""
    if not 1 <= len(items) <= _MAX_ITEMS:
        raise invalid(f"A subscription has 1 to {_MAX_ITEMS} items.", param="items")
    prices = [item["price"] for item in items]
    if len({price["id"] for price in prices}) < len(prices):
        raise invalid("Cannot add multiple subscription items with the same plan.", param="items")
    if len({price["currency"] for price in prices}) > 1:
        raise invalid("All prices on a subscription must have the same currency.", param="items")
    if len({interval_of(price) for price in prices}) > 1:
        raise invalid("The simulator does not model items of two billing intervals.", param="items", code=NOT_MODELLED)


def interval_of(price: StripeObject) -> tuple[str, int]:
    """Return the billing interval of a recurring price, and how many of them a period has."""
    return price["recurring"]["interval"], price["recurring"]["interval_count"]


def item_list(subscription_id: str, items: list[StripeObject]) -> StripeObject:
    """Return a subscription's list of items."""
    url = f"/v1/subscription_items?subscription={subscription_id}"
    return {"object": "list", "data": items, "has_more": False, "url": url}


def first_items(subscription: StripeObject) -> StripeObject:
    """Return a subscription as the API shows it, with its first ten items.

    An embedded list is a first page of the default size, as of an invoice's lines
    (https://github.com/stripe/stripe-dotnet/issues/381). Of a subscription's items Stripe does not say it.
    """
    items = subscription["items"]
    more = len(items["data"]) > DEFAULT_LIMIT
    return subscription | {"items": items | {"data": items["data"][:DEFAULT_LIMIT], "has_more": more}}


def _retrieve(call: Call) -> StripeObject:
    for subscription in call.account[SUBSCRIPTIONS]:
        for item in subscription["items"]["data"]:
            if item["id"] == call.id:
                found: StripeObject = item
                return found
    raise resource_missing(KIND, call.id)


def _list(call: Call) -> StripeObject:
    """Return a page in the order of the subscription's own list."""
    subscription = call.account[SUBSCRIPTIONS].get(call.params["subscription"], param="subscription", status=400)
    items = Collection(KIND)
    for item in reversed(subscription["items"]["data"]):
        items.add(item)
    return items.page(call.url, call.params)


RESOURCE = Resource(
    collection=COLLECTION,
    kind=KIND,
    expandable=EXPANDABLE,
    endpoints=(
        Endpoint(
            "GET",
            "/v1/subscription_items",
            _list,
            Parameters(shapes.SubscriptionItemListParams, ("subscription", "limit", "starting_after", "ending_before")),
        ),
        Endpoint(
            "GET", "/v1/subscription_items/{id}", _retrieve, Parameters(shapes.SubscriptionItemRetrieveParams, ())
        ),
    ),
)
