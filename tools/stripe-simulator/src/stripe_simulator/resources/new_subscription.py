"""Construction of subscriptions, from the parameters of the create call."""

from typing import Any, Final

from stripe_simulator.account import Account
from stripe_simulator.api_errors import ApiError, invalid, resource_missing
from stripe_simulator.billing.endings import cancellation_details
from stripe_simulator.billing.objects import DAY_SECONDS, current_period_end
from stripe_simulator.billing_periods import period_end
from stripe_simulator.collection import StripeObject
from stripe_simulator.parameters import NOT_MODELLED, Params, merge_metadata, refuse_unmodelled
from stripe_simulator.resources.subscription_items import check_together, interval_of, item_list, new_item

KIND: Final = "subscription"
_MAX_TRIAL_DAYS: Final = 730
_ONE_END_ONLY: Final = "You may only specify one of these parameters: cancel_at, cancel_at_period_end."


def new_subscription(account: Account, customer: StripeObject, params: Params) -> StripeObject:
    """Return the subscription that the parameters of a create call describe. The caller stores it."""
    now = account.clock.timestamp()
    subscription_id = account.ids.new("sub")
    given = required(params, "items")
    for place, each in enumerate(given):
        refuse_unmodelled(each, ("price", "quantity", "metadata", "discounts"), f"items[{place}]")
    items = [new_item(account, subscription_id, each, place) for place, each in enumerate(given)]
    check_together(items)
    trial_end = _trial_end(params, now)
    anchor = trial_end or now
    end = trial_end or period_end(anchor, *interval_of(items[0]["price"]), after=now)
    periods = {"current_period_start": now, "current_period_end": end}
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
        "cancellation_details": cancellation_details(None),
        "collection_method": "charge_automatically",
        "created": now,
        "currency": items[0]["price"]["currency"],
        "customer": customer["id"],
        "customer_account": None,
        "days_until_due": None,
        "default_payment_method": checked_method(account, customer["id"], params.get("default_payment_method")),
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
        "items": item_list(subscription_id, [item | periods for item in items]),
        "latest_invoice": None,
        "livemode": account.livemode,
        "managed_payments": {"enabled": False},
        "metadata": merge_metadata({}, params.get("metadata")),
        "next_pending_invoice_item_invoice": None,
        "on_behalf_of": None,
        "pause_collection": None,
        "payment_settings": payment_settings(_OFF, params),
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
    return subscription | cancellation(account, subscription, params)


_OFF: Final = {
    "payment_method_options": None,
    "payment_method_types": None,
    "save_default_payment_method": "off",
}


def required(params: Params, name: str) -> Any:
    """Return a parameter. Raises Stripe's error if it is missing."""
    if name not in params:
        raise invalid(f"Missing required param: {name}.", param=name, code="parameter_missing")
    return params[name]


def checked_method(account: Account, customer_id: str, method_id: str | None) -> str | None:
    """Return a given payment method's id. Refuses one that is not attached to the customer."""
    if not method_id:
        return None
    method = account["payment_methods"].find(method_id)
    if method is None:
        raise resource_missing("PaymentMethod", method_id, param="default_payment_method", status=400)
    if method["customer"] != customer_id:
        raise invalid(
            f"The customer does not have a payment method with the ID {method_id}. The payment method must be attached "
            "to the customer.",
            param="default_payment_method",
            code="resource_missing",
        )
    return method_id


def no_payment_method() -> ApiError:
    """Build the 400 for a charge without a payment method."""
    return invalid(
        "This customer has no attached payment source or default payment method. Please consider adding a default "
        "payment method.",
        code="resource_missing",
    )


def payment_settings(before: Params, params: Params) -> Params:
    """Return `payment_settings` with what the parameters change."""
    given = params.get("payment_settings") or {}
    refuse_unmodelled(given, ("save_default_payment_method",), "payment_settings")
    kept = given.get("save_default_payment_method", before["save_default_payment_method"])
    return {**before, "save_default_payment_method": kept}


def cancellation(account: Account, subscription: StripeObject, params: Params) -> Params:
    """Return the fields that `cancel_at` and `cancel_at_period_end` change, to set an end or to undo it."""
    if params.get("cancel_at") and params.get("cancel_at_period_end"):
        raise invalid(_ONE_END_ONLY, param="cancel_at")
    now = account.clock.timestamp()
    if params.get("cancel_at_period_end"):
        return _ending(now, current_period_end(subscription), at_period_end=True)
    if params.get("cancel_at"):
        return _ending(now, _checked_end(now, params["cancel_at"]), at_period_end=False)
    if "cancel_at" in params or ("cancel_at_period_end" in params and subscription["cancel_at_period_end"]):
        undone = {"cancel_at": None, "cancel_at_period_end": False, "canceled_at": None}
        return undone | {"cancellation_details": cancellation_details(None)}
    return {}


def _ending(now: int, end: int, *, at_period_end: bool) -> Params:
    details = cancellation_details("cancellation_requested")
    return {
        "cancel_at": end,
        "cancel_at_period_end": at_period_end,
        "canceled_at": now,
        "cancellation_details": details,
    }


def _checked_end(now: int, given: Any) -> int:
    if not isinstance(given, int):
        raise invalid("The simulator models only timestamps for cancel_at.", param="cancel_at", code=NOT_MODELLED)
    if given <= now:
        raise invalid("Cancel_at must be in the future.", param="cancel_at")
    return given


def _trial_end(params: Params, now: int) -> int | None:
    days = params.get("trial_period_days")
    if days is None:
        return None
    if not 1 <= days <= _MAX_TRIAL_DAYS:
        raise invalid(f"The trial must last 1 to {_MAX_TRIAL_DAYS} days.", param="trial_period_days")
    end: int = now + days * DAY_SECONDS
    return end
