"""Subscriptions with automatic charges (https://docs.stripe.com/api/subscriptions)."""

from typing import Any, Final

import stripe.params as shapes

from stripe_simulator import billing
from stripe_simulator.account import Account
from stripe_simulator.api_errors import ApiError, invalid, resource_missing
from stripe_simulator.billing import SUBSCRIPTIONS
from stripe_simulator.billing_periods import period_end
from stripe_simulator.collection import StripeObject, created_within, equal_to, every
from stripe_simulator.endpoints import Call, Endpoint, Resource
from stripe_simulator.parameters import NOT_MODELLED, Parameters, Params, merge_metadata
from stripe_simulator.resources.prices import plan_of

KIND: Final = "subscription"
_MAX_ITEMS: Final = 20
_MAX_TRIAL_DAYS: Final = 730
_DAY_SECONDS: Final = 24 * 3600
_ENDED: Final = frozenset({"canceled", "incomplete_expired"})
_BEHAVIOURS: Final = ("allow_incomplete", "default_incomplete")


def _create(call: Call) -> StripeObject:
    account, params = call.account, call.params
    customer = account["customers"].get(_required(params, "customer"), param="customer", status=400)
    prices = _prices(account, _required(params, "items"))
    method = _default_method(account, customer, params.get("default_payment_method"))
    behaviour = params.get("payment_behavior", "allow_incomplete")
    if behaviour not in _BEHAVIOURS:
        raise invalid(
            f"The simulator does not model payment_behavior={behaviour}.", param="payment_behavior", code=NOT_MODELLED
        )
    subscription = _new_subscription(account, params, prices, method)
    return billing.create(account, subscription, charge=behaviour == "allow_incomplete")


def _required(params: Params, name: str) -> Any:
    if name not in params:
        raise invalid(f"Missing required param: {name}.", param=name, code="parameter_missing")
    return params[name]


def _prices(account: Account, items: list[Params]) -> list[tuple[StripeObject, int]]:
    """Return the price and quantity of each item. Refuses items that cannot be billed together."""
    if not 1 <= len(items) <= _MAX_ITEMS:
        raise invalid(f"A subscription has 1 to {_MAX_ITEMS} items.", param="items")
    found = [(_price(account, item, place), item.get("quantity", 1)) for place, item in enumerate(items)]
    if len({price["id"] for price, _ in found}) < len(found):
        raise invalid("Cannot add multiple subscription items with the same plan.", param="items")
    if len({price["currency"] for price, _ in found}) > 1:
        raise invalid("All prices on a subscription must have the same currency.", param="items")
    if len({(p["recurring"]["interval"], p["recurring"]["interval_count"]) for p, _ in found}) > 1:
        raise invalid("The simulator does not model items of two billing intervals.", param="items", code=NOT_MODELLED)
    return found


def _price(account: Account, item: Params, place: int) -> StripeObject:
    param = f"items[{place}][price]"
    if "price" not in item:
        raise invalid(f"Missing required param: {param}.", param=param, code="parameter_missing")
    price = account["prices"].get(item["price"], param=param, status=400)
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


def _default_method(account: Account, customer: StripeObject, given: str | None) -> str:
    method_id = given or customer["invoice_settings"]["default_payment_method"]
    if method_id is None:
        raise _no_payment_method()
    method = account["payment_methods"].find(method_id)
    if method is None:
        raise resource_missing("PaymentMethod", method_id, param="default_payment_method", status=400)
    if method["customer"] != customer["id"]:
        raise invalid(
            f"The customer does not have a payment method with the ID {method_id}. The payment method must be attached "
            "to the customer.",
            param="default_payment_method",
            code="resource_missing",
        )
    found: str = method["id"]
    return found


def _no_payment_method() -> ApiError:
    return invalid(
        "This customer has no attached payment source or default payment method. Please consider adding a default "
        "payment method.",
        code="resource_missing",
    )


def _new_subscription(
    account: Account, params: Params, prices: list[tuple[StripeObject, int]], method: str
) -> StripeObject:
    now = account.clock.timestamp()
    trial_end = _trial_end(params, now)
    recurring = prices[0][0]["recurring"]
    anchor = trial_end or now
    end = trial_end or period_end(anchor, recurring["interval"], recurring["interval_count"], after=now)
    subscription_id = account.ids.new("sub")
    subscription: StripeObject = {
        "id": subscription_id,
        "object": KIND,
        "application": None,
        "application_fee_percent": None,
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "billing_cycle_anchor": anchor,
        "billing_cycle_anchor_config": None,
        "billing_mode": {"flexible": {"proration_discounts": "included"}, "type": "flexible"},
        "billing_schedules": [],
        "billing_thresholds": None,
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "cancellation_details": billing.cancellation_details(None),
        "collection_method": "charge_automatically",
        "created": now,
        "currency": prices[0][0]["currency"],
        "customer": params["customer"],
        "customer_account": None,
        "days_until_due": None,
        "default_payment_method": method,
        "default_source": None,
        "default_tax_rates": [],
        "description": params.get("description"),
        "discounts": [],
        "ended_at": None,
        "invoice_settings": {
            "account_tax_ids": None,
            "custom_fields": None,
            "description": None,
            "footer": None,
            "issuer": {"type": "self"},
        },
        "items": _items(account, subscription_id, prices, now, end),
        "latest_invoice": None,
        "livemode": False,
        "managed_payments": {"enabled": False},
        "metadata": merge_metadata({}, params.get("metadata")),
        "next_pending_invoice_item_invoice": None,
        "on_behalf_of": None,
        "pause_collection": None,
        "payment_settings": {
            "payment_method_options": None,
            "payment_method_types": None,
            "save_default_payment_method": "off",
        },
        "pending_invoice_item_interval": None,
        "pending_setup_intent": None,
        "pending_update": None,
        "schedule": None,
        "start_date": now,
        "status": "trialing" if trial_end else "incomplete",
        "test_clock": None,
        "transfer_data": None,
        "trial_end": trial_end,
        "trial_settings": {"end_behavior": {"billing_cycle_anchor": None, "missing_payment_method": "create_invoice"}},
        "trial_start": now if trial_end else None,
    }
    return subscription | (_cancellation(end, now) if params.get("cancel_at_period_end") else {})


def _trial_end(params: Params, now: int) -> int | None:
    days = params.get("trial_period_days")
    if days is None:
        return None
    if not 1 <= days <= _MAX_TRIAL_DAYS:
        raise invalid(f"The trial must last 1 to {_MAX_TRIAL_DAYS} days.", param="trial_period_days")
    end: int = now + days * _DAY_SECONDS
    return end


def _items(
    account: Account, subscription_id: str, prices: list[tuple[StripeObject, int]], start: int, end: int
) -> StripeObject:
    data: list[StripeObject] = [
        {
            "id": account.ids.new("si"),
            "object": "subscription_item",
            "billing_thresholds": None,
            "created": start,
            "current_period_end": end,
            "current_period_start": start,
            "current_trial": None,
            "discounts": [],
            "metadata": {},
            "plan": plan_of(price),
            "price": price,
            "quantity": quantity,
            "subscription": subscription_id,
            "tax_rates": [],
        }
        for price, quantity in prices
    ]
    url = f"/v1/subscription_items?subscription={subscription_id}"
    return {"object": "list", "data": data, "has_more": False, "url": url}


def _retrieve(call: Call) -> StripeObject:
    return call.account[SUBSCRIPTIONS].get(call.id)


def _update(call: Call) -> StripeObject:
    subscription = _retrieve(call)
    if subscription["status"] in _ENDED:
        raise invalid("A canceled subscription can only update its cancellation_details and metadata.")
    params = call.params
    changes: Params = {}
    if "metadata" in params:
        changes["metadata"] = merge_metadata(subscription["metadata"], params["metadata"])
    if "default_payment_method" in params:
        customer = call.account["customers"].get(subscription["customer"])
        changes["default_payment_method"] = _default_method(call.account, customer, params["default_payment_method"])
    if "cancel_at_period_end" in params:
        now = call.account.clock.timestamp()
        wanted = params["cancel_at_period_end"]
        changes |= _cancellation(billing.current_period_end(subscription), now) if wanted else _NO_CANCELLATION
    return call.account.change(SUBSCRIPTIONS, subscription, "customer.subscription.updated", **changes)


def _cancellation(end: int, now: int) -> Params:
    details = billing.cancellation_details("cancellation_requested")
    return {"cancel_at_period_end": True, "cancel_at": end, "canceled_at": now, "cancellation_details": details}


_NO_CANCELLATION: Final[Params] = {
    "cancel_at_period_end": False,
    "cancel_at": None,
    "canceled_at": None,
    "cancellation_details": billing.cancellation_details(None),
}


def _cancel(call: Call) -> StripeObject:
    subscription = _retrieve(call)
    if subscription["status"] in _ENDED:
        raise resource_missing(KIND, call.id)
    return billing.cancel_now(call.account, subscription, "cancellation_requested")


def _list(call: Call) -> StripeObject:
    status = call.params.get("status")
    price = call.params.get("price")
    wanted = every(
        created_within(call.params),
        equal_to(call.params, "customer"),
        lambda subscription: _listed(subscription["status"], status),
        lambda subscription: (
            price is None or any(item["price"]["id"] == price for item in subscription["items"]["data"])
        ),
    )
    return call.account[SUBSCRIPTIONS].page(call.url, call.params, wanted)


def _listed(actual: str, wanted: str | None) -> bool:
    """Return true if a list with this status filter contains the status. By default canceled ones are left out."""
    if wanted is None:
        return actual != "canceled"
    return wanted in ("all", actual) or (wanted == "ended" and actual in _ENDED)


_CREATE = (
    "cancel_at_period_end",
    "customer",
    "default_payment_method",
    "description",
    "items",
    "metadata",
    "off_session",
    "payment_behavior",
    "trial_period_days",
)
_UPDATE = ("cancel_at_period_end", "default_payment_method", "metadata")
_FILTERS = ("created", "customer", "price", "status", "limit", "starting_after", "ending_before")

RESOURCE = Resource(
    collection=SUBSCRIPTIONS,
    kind=KIND,
    expandable={
        "customer": "customers",
        "default_payment_method": "payment_methods",
        "latest_invoice": "invoices",
    },
    endpoints=(
        Endpoint("POST", "/v1/subscriptions", _create, Parameters(shapes.SubscriptionCreateParams, _CREATE)),
        Endpoint("GET", "/v1/subscriptions", _list, Parameters(shapes.SubscriptionListParams, _FILTERS)),
        Endpoint("GET", "/v1/subscriptions/{id}", _retrieve, Parameters(shapes.SubscriptionRetrieveParams, ())),
        Endpoint("POST", "/v1/subscriptions/{id}", _update, Parameters(shapes.SubscriptionUpdateParams, _UPDATE)),
        Endpoint("DELETE", "/v1/subscriptions/{id}", _cancel, Parameters(shapes.SubscriptionCancelParams, ())),
    ),
)
