"""Update of subscriptions (https://docs.stripe.com/api/subscriptions/update).

What the customer portal and the Dashboard do to a subscription, they do by these parameters too.
"""

from typing import Final

from stripe_simulator.account import Account
from stripe_simulator.api_errors import ApiError, invalid
from stripe_simulator.billing import discounts, updates
from stripe_simulator.billing.objects import BILLED, ENDED, SUBSCRIPTIONS
from stripe_simulator.collection import StripeObject
from stripe_simulator.endpoints import Call
from stripe_simulator.parameters import NOT_MODELLED, Params, merge_metadata, refuse_unmodelled
from stripe_simulator.resources.new_subscription import cancellation, checked_method, payment_settings
from stripe_simulator.resources.prices import plan_of
from stripe_simulator.resources.subscription_items import (
    check_together,
    checked_quantity,
    find_price,
    item_list,
    new_item,
)

_WHEN_ENDED: Final = frozenset({"cancellation_details", "expand", "metadata"})
_WHEN_INCOMPLETE: Final = frozenset({"default_payment_method", "expand", "metadata"})
"""https://docs.stripe.com/api/subscriptions/object#subscription_object-status: metadata and default source;
https://docs.stripe.com/billing/subscriptions/overview#requires-payment-method: the default payment method too."""
_ITEM_PARAMETERS: Final = ("id", "price", "quantity", "metadata", "deleted", "discounts")
_BEHAVIOURS: Final = ("allow_incomplete", "default_incomplete")


def update(call: Call) -> StripeObject:
    """Change a subscription, and bill what the change costs."""
    account, params = call.account, call.params
    subscription = account[SUBSCRIPTIONS].get(call.id)
    _check_status(subscription, params)
    change = updates.Change(
        fields=_changes(account, subscription, params),
        prorates=params.get("proration_behavior", "create_prorations"),
        trial_end=_trial_end(account, subscription, params),
        charge=_behaviour(params) == "allow_incomplete",
        off_session=params.get("off_session", False),
    )
    if "discounts" in params:
        change.fields["discounts"] = discounts.redeem(account, subscription, params["discounts"] or [])
    return updates.apply(account, subscription, change)


def _check_status(subscription: StripeObject, params: Params) -> None:
    status = subscription["status"]
    if status in ENDED and set(params) - _WHEN_ENDED:
        raise invalid(
            "A canceled subscription can only update its cancellation_details and metadata.",
            code="invalid_canceled_subscription_fields",
        )
    if status == "incomplete" and set(params) - _WHEN_INCOMPLETE:
        raise invalid(
            "A subscription in `incomplete` status can only have its metadata and default payment method updated.",
            param=min(set(params) - _WHEN_INCOMPLETE),
        )


def _changes(account: Account, subscription: StripeObject, params: Params) -> Params:
    changes = cancellation(account, subscription, params)
    if "cancellation_details" in params:
        before = (subscription | changes)["cancellation_details"]
        changes["cancellation_details"] = {**before, **params["cancellation_details"]}
    if "metadata" in params:
        changes["metadata"] = merge_metadata(subscription["metadata"], params["metadata"])
    if "description" in params:
        changes["description"] = params["description"] or None
    if "default_payment_method" in params:
        method = checked_method(account, subscription["customer"], params["default_payment_method"])
        changes["default_payment_method"] = method
    if "payment_settings" in params:
        changes["payment_settings"] = payment_settings(subscription["payment_settings"], params)
    if "pause_collection" in params:
        changes["pause_collection"] = _pause(account, params["pause_collection"])
    if "items" in params:
        changes["items"] = item_list(subscription["id"], _items(account, subscription, params["items"]))
    return changes


def _pause(account: Account, given: Params) -> Params | None:
    if not given:
        return None
    resumes_at = given.get("resumes_at")
    if resumes_at is not None and resumes_at <= account.clock.now():
        raise invalid("The resumes_at must be in the future.", param="pause_collection[resumes_at]")
    return {"behavior": given["behavior"], "resumes_at": resumes_at}


def _items(account: Account, subscription: StripeObject, given: list[Params]) -> list[StripeObject]:
    """Return the items after the change: items with an id are changed or deleted, those without are added."""
    for place, each in enumerate(given):
        refuse_unmodelled(each, _ITEM_PARAMETERS, f"items[{place}]")
    items: dict[str, StripeObject] = {item["id"]: item for item in subscription["items"]["data"]}
    first = next(iter(items.values()))
    periods = {name: first[name] for name in ("current_period_start", "current_period_end")}
    for place, each in enumerate(given):
        if "id" not in each:
            added = new_item(account, subscription["id"], each, place) | periods
            items[added["id"]] = _with_discounts(account, subscription, added, each)
        elif each["id"] not in items:
            raise _no_such_item(each["id"], place)
        elif each.get("deleted"):
            del items[each["id"]]
        else:
            changed = _changed_item(account, items[each["id"]], each, place)
            items[each["id"]] = _with_discounts(account, subscription, changed, each)
    after = list(items.values())
    check_together(after)
    if after[0]["price"]["currency"] != subscription["currency"]:
        raise invalid("The price's currency must be the subscription's.", param="items")
    return after


def _with_discounts(account: Account, subscription: StripeObject, item: StripeObject, given: Params) -> StripeObject:
    if "discounts" not in given:
        return item
    return item | {"discounts": discounts.redeem(account, subscription, given["discounts"] or [], item)}


def _changed_item(account: Account, item: StripeObject, given: Params, place: int) -> StripeObject:
    changes: Params = {"quantity": checked_quantity(given, place)} if "quantity" in given else {}
    if "price" in given:
        price = find_price(account, given, place)
        changes |= {"price": price, "plan": plan_of(price)}
    if "metadata" in given:
        changes["metadata"] = merge_metadata(item["metadata"], given["metadata"])
    return item | changes


def _no_such_item(item_id: str, place: int) -> ApiError:
    return invalid(f"No such subscription item: '{item_id}'", param=f"items[{place}][id]", code="resource_missing")


def _trial_end(account: Account, subscription: StripeObject, params: Params) -> int | None:
    """Return the new end of the trial, in seconds, or None if it stays."""
    given = params.get("trial_end")
    if given is None:
        return None
    now = account.clock.timestamp()
    if subscription["status"] not in BILLED or (given == "now" and subscription["status"] != "trialing"):
        raise invalid("The simulator does not model this end of a trial.", param="trial_end", code=NOT_MODELLED)
    if given != "now" and given <= now:
        raise invalid("Trial end must be in the future, or 'now'.", param="trial_end")
    return now if given == "now" else int(given)


def _behaviour(params: Params) -> str:
    behaviour: str = params.get("payment_behavior", "allow_incomplete")
    if behaviour not in _BEHAVIOURS:
        message = f"The simulator does not model payment_behavior={behaviour}."
        raise invalid(message, param="payment_behavior", code=NOT_MODELLED)
    return behaviour
