"""Subscriptions with automatic charges (https://docs.stripe.com/api/subscriptions)."""

from typing import Final

import stripe.params as shapes

from stripe_simulator.account import Account
from stripe_simulator.api_errors import ApiError, invalid, resource_missing
from stripe_simulator.billing import discounts, lifecycle
from stripe_simulator.billing.endings import cancel_now
from stripe_simulator.billing.invoices import intent_of
from stripe_simulator.billing.objects import ENDED, SUBSCRIPTIONS, usable_method
from stripe_simulator.collection import StripeObject, created_within, equal_to, every
from stripe_simulator.endpoints import Call, Endpoint, Handler, Resource
from stripe_simulator.parameters import NOT_MODELLED, Parameters, Params
from stripe_simulator.resources import subscription_items
from stripe_simulator.resources.new_subscription import KIND, new_subscription, no_payment_method, required
from stripe_simulator.resources.subscription_updates import update

_BEHAVIOURS: Final = ("allow_incomplete", "default_incomplete", "error_if_incomplete")
_ALL_OR_NOTHING: Final = "error_if_incomplete"


def _create(call: Call) -> StripeObject:
    account, params = call.account, call.params
    customer = account["customers"].get(required(params, "customer"), param="customer", status=400)
    subscription = new_subscription(account, customer, params)
    charge = _charges(account, subscription, params)
    lifecycle.check_currency(customer, subscription["currency"])
    if params.get("payment_behavior") != _ALL_OR_NOTHING:
        return _begin(account, subscription, params, charge=charge)
    with account.all_or_nothing():
        created = _begin(account, subscription, params, charge=charge)
        _require_paid(account, created)
    return created


def _begin(account: Account, subscription: StripeObject, params: Params, *, charge: bool) -> StripeObject:
    subscription["discounts"] = discounts.redeem(account, subscription, params.get("discounts") or [])
    for item, given in zip(subscription["items"]["data"], params["items"], strict=True):
        item["discounts"] = discounts.redeem(account, subscription, given.get("discounts") or [], item)
    return lifecycle.create(account, subscription, charge=charge, off_session=params.get("off_session", False))


def _require_paid(account: Account, created: StripeObject) -> None:
    """Raise Stripe's 402 if the first charge failed or needs the customer: then there is no subscription."""
    invoice = account["invoices"].get(created["latest_invoice"])
    if invoice["status"] != "open":
        return
    intent = intent_of(account, invoice["id"])
    if intent["status"] == "requires_action":
        raise _action_required()
    if intent["status"] == "requires_payment_method":
        error = intent["last_payment_error"]
        details = {name: error[name] for name in ("decline_code",) if name in error}
        raise ApiError(402, error["message"], kind=error["type"], code=error["code"], details=details)


def _action_required() -> ApiError:
    """Build the 402 of https://docs.stripe.com/error-codes#subscription-payment-intent-requires-action."""
    return ApiError(
        402,
        "Payment for this subscription requires additional user action before it can be completed successfully.",
        kind="card_error",
        code="subscription_payment_intent_requires_action",
    )


def _charges(account: Account, subscription: StripeObject, params: Params) -> bool:
    """Return true if the first invoice is charged at once, which needs a payment method unless it costs nothing.

    See https://docs.stripe.com/billing/subscriptions/trials: "no payment method is required".
    """
    behaviour = params.get("payment_behavior", "allow_incomplete")
    if behaviour not in _BEHAVIOURS:
        message = f"The simulator does not model payment_behavior={behaviour}."
        raise invalid(message, param="payment_behavior", code=NOT_MODELLED)
    if behaviour == "default_incomplete":
        return False
    costs = any(item["price"]["unit_amount"] * item["quantity"] for item in subscription["items"]["data"])
    if subscription["status"] == "trialing" or not costs:
        return False
    if usable_method(account, subscription) is None:
        raise no_payment_method()
    return True


def _retrieve(call: Call) -> StripeObject:
    return call.account[SUBSCRIPTIONS].get(call.id)


def _cancel(call: Call) -> StripeObject:
    subscription = _retrieve(call)
    if subscription["status"] in ENDED:
        raise resource_missing(KIND, call.id)
    details = {**subscription["cancellation_details"], **call.params.get("cancellation_details", {})}
    call.account.change(SUBSCRIPTIONS, subscription, cancellation_details=details)
    return cancel_now(call.account, call.id, "cancellation_requested")


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
    page = call.account[SUBSCRIPTIONS].page(call.url, call.params, wanted)
    return page | {"data": [subscription_items.first_items(each) for each in page["data"]]}


def _shown(handler: Handler) -> Handler:
    return lambda call: subscription_items.first_items(handler(call))


def _listed(actual: str, wanted: str | None) -> bool:
    """Return true if a list with this status filter contains the status. By default canceled ones are left out."""
    if wanted is None:
        return actual != "canceled"
    return wanted in ("all", actual) or (wanted == "ended" and actual in ENDED)


_BOTH = (
    "cancel_at",
    "cancel_at_period_end",
    "default_payment_method",
    "description",
    "discounts",
    "items",
    "metadata",
    "off_session",
    "payment_behavior",
    "payment_settings",
)
_CREATE = (*_BOTH, "customer", "trial_period_days")
_UPDATE = (*_BOTH, "cancellation_details", "pause_collection", "proration_behavior", "trial_end")
_FILTERS = ("created", "customer", "price", "status", "limit", "starting_after", "ending_before")

RESOURCE = Resource(
    collection=SUBSCRIPTIONS,
    kind=KIND,
    expandable={
        "customer": "customers",
        "default_payment_method": "payment_methods",
        "discounts": "discounts",
        "items": {"data": subscription_items.EXPANDABLE},
        "latest_invoice": "invoices",
    },
    endpoints=(
        Endpoint("POST", "/v1/subscriptions", _shown(_create), Parameters(shapes.SubscriptionCreateParams, _CREATE)),
        Endpoint("GET", "/v1/subscriptions", _list, Parameters(shapes.SubscriptionListParams, _FILTERS)),
        Endpoint("GET", "/v1/subscriptions/{id}", _shown(_retrieve), Parameters(shapes.SubscriptionRetrieveParams, ())),
        Endpoint(
            "POST", "/v1/subscriptions/{id}", _shown(update), Parameters(shapes.SubscriptionUpdateParams, _UPDATE)
        ),
        Endpoint(
            "DELETE",
            "/v1/subscriptions/{id}",
            _shown(_cancel),
            Parameters(shapes.SubscriptionCancelParams, ("cancellation_details",)),
        ),
    ),
)
