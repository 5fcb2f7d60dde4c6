"""State of a Stripe subscription: what Stripe bills now, and until when."""

from typing import Final

from checkout.orders.v1 import orders_pb2
from checkout_rules.fields import currency_violations, text_violations
from checkout_rules.limits import MAX_NAME_CHARACTERS, MAX_SUBSCRIPTION_DISCOUNTS, MAX_SUBSCRIPTION_ITEMS
from orders.api.carts import BILLING_INTERVALS
from orders.api.field_reader import FieldReader
from orders.api.messages import money_to_proto, timestamp_to_proto
from orders.domain.subscriptions import BilledItem, Discount, PauseCollection, StripeState, SubscriptionStatus
from servicekit.enum_codec import EnumCodec

STATUSES: Final = EnumCodec(SubscriptionStatus, orders_pb2.SubscriptionStatus)
_NOT_AT_STRIPE: Final = (SubscriptionStatus.PENDING, SubscriptionStatus.ACTIVATION_FAILED)
_MAX_PERCENT: Final = 100


def state_from_proto(fields: FieldReader, message: orders_pb2.StripeSubscriptionState) -> StripeState:
    """Read a state."""
    # A word of Stripe's that the contract lacks blocks nothing else of the state, its end for example.
    status = STATUSES.from_proto(message.status, SubscriptionStatus.UNKNOWN)
    fields.require(status not in _NOT_AT_STRIPE, "state.status", "must be one of Stripe's")
    fields.require(len(message.items) <= MAX_SUBSCRIPTION_ITEMS, "state.items", "must not be more than Stripe allows")
    fields.require(len(message.discounts) <= MAX_SUBSCRIPTION_DISCOUNTS, "state.discounts", "must not be so many")
    fields.raise_if_invalid()
    times = {
        name: fields.optional_timestamp(f"state.{name}", getattr(message, name), present=message.HasField(name))
        for name in ("current_period_end", "trial_end", "cancel_at", "canceled_at", "ended_at")
    }
    payment_method = message.default_payment_method_id
    return StripeState(
        stripe_subscription_id=fields.id("state.stripe_subscription_id", message.stripe_subscription_id),
        status=status,
        cancel_at_period_end=message.cancel_at_period_end,
        latest_invoice_id=fields.optional_id("state.latest_invoice_id", message.latest_invoice_id),
        items=tuple(_item_from_proto(fields, f"state.items[{at}]", each) for at, each in enumerate(message.items)),
        pause_collection=_pause_from_proto(fields, message) if message.HasField("pause_collection") else None,
        discounts=tuple(
            _discount_from_proto(fields, f"state.discounts[{at}]", each) for at, each in enumerate(message.discounts)
        ),
        default_payment_method_id=fields.optional_id("state.default_payment_method_id", payment_method),
        collection_method=fields.optional_id("state.collection_method", message.collection_method),
        **times,
    )


def _item_from_proto(fields: FieldReader, path: str, message: orders_pb2.BilledItem) -> BilledItem:
    fields.require(message.quantity >= 0, f"{path}.quantity", "must not be negative")
    fields.require(message.unit_amount_minor >= 0, f"{path}.unit_amount_minor", "must not be negative")
    has_count = message.HasField("interval_count")
    fields.require(not has_count or message.interval_count >= 1, f"{path}.interval_count", "must be at least 1")
    fields.add(currency_violations(f"{path}.currency", message.currency))
    fields.add(text_violations(f"{path}.name", message.name, MAX_NAME_CHARACTERS))
    period_end, has_period_end = message.current_period_end, message.HasField("current_period_end")
    return BilledItem(
        stripe_item_id=fields.id(f"{path}.stripe_item_id", message.stripe_item_id),
        price_id=fields.id(f"{path}.price_id", message.price_id),
        product_id=fields.id(f"{path}.product_id", message.product_id),
        name=message.name,
        quantity=message.quantity if message.HasField("quantity") else None,
        unit_amount_minor=message.unit_amount_minor if message.HasField("unit_amount_minor") else None,
        currency=message.currency,
        interval=fields.enum(f"{path}.interval", message.interval, BILLING_INTERVALS) if message.interval else None,
        interval_count=message.interval_count if has_count else None,
        current_period_end=fields.optional_timestamp(f"{path}.current_period_end", period_end, present=has_period_end),
    )


def _pause_from_proto(fields: FieldReader, message: orders_pb2.StripeSubscriptionState) -> PauseCollection:
    pause, path = message.pause_collection, "state.pause_collection"
    resumes_at = fields.optional_timestamp(f"{path}.resumes_at", pause.resumes_at, present=pause.HasField("resumes_at"))
    return PauseCollection(fields.id(f"{path}.behavior", pause.behavior), resumes_at)


def _discount_from_proto(fields: FieldReader, path: str, message: orders_pb2.Discount) -> Discount:
    has_percent, has_amount = message.HasField("percent_off"), message.HasField("amount_off")
    fields.require(
        not has_percent or 0 < message.percent_off <= _MAX_PERCENT, f"{path}.percent_off", "must be 0 to 100"
    )
    fields.add(text_violations(f"{path}.name", message.name, MAX_NAME_CHARACTERS))
    amount_off = fields.money(f"{path}.amount_off", message.amount_off, present=True) if has_amount else None
    return Discount(
        stripe_discount_id=fields.id(f"{path}.stripe_discount_id", message.stripe_discount_id),
        coupon_id=fields.optional_id(f"{path}.coupon_id", message.coupon_id),
        name=message.name,
        percent_off=message.percent_off if has_percent else None,
        amount_off=amount_off,
        ends_at=fields.optional_timestamp(f"{path}.ends_at", message.ends_at, present=message.HasField("ends_at")),
        stripe_item_id=fields.optional_id(f"{path}.stripe_item_id", message.stripe_item_id),
        duration=fields.optional_id(f"{path}.duration", message.duration),
    )


def state_to_proto(state: StripeState) -> orders_pb2.StripeSubscriptionState:
    """Write a state."""
    return orders_pb2.StripeSubscriptionState(
        stripe_subscription_id=state.stripe_subscription_id,
        status=STATUSES.to_proto(state.status),
        current_period_end=timestamp_to_proto(state.current_period_end),
        trial_end=timestamp_to_proto(state.trial_end),
        cancel_at_period_end=state.cancel_at_period_end,
        cancel_at=timestamp_to_proto(state.cancel_at),
        canceled_at=timestamp_to_proto(state.canceled_at),
        ended_at=timestamp_to_proto(state.ended_at),
        latest_invoice_id=state.latest_invoice_id or "",
        items=map(_item_to_proto, state.items),
        pause_collection=_pause_to_proto(state.pause_collection) if state.pause_collection else None,
        discounts=map(_discount_to_proto, state.discounts),
        default_payment_method_id=state.default_payment_method_id or "",
        collection_method=state.collection_method or "",
    )


def _item_to_proto(item: BilledItem) -> orders_pb2.BilledItem:
    return orders_pb2.BilledItem(
        stripe_item_id=item.stripe_item_id,
        price_id=item.price_id,
        product_id=item.product_id,
        name=item.name,
        quantity=item.quantity,
        unit_amount_minor=item.unit_amount_minor,
        currency=item.currency,
        interval=BILLING_INTERVALS.to_proto(item.interval),
        interval_count=item.interval_count,
        current_period_end=timestamp_to_proto(item.current_period_end),
    )


def _pause_to_proto(pause: PauseCollection) -> orders_pb2.PauseCollection:
    return orders_pb2.PauseCollection(behavior=pause.behavior, resumes_at=timestamp_to_proto(pause.resumes_at))


def _discount_to_proto(discount: Discount) -> orders_pb2.Discount:
    return orders_pb2.Discount(
        stripe_discount_id=discount.stripe_discount_id,
        coupon_id=discount.coupon_id or "",
        name=discount.name,
        percent_off=discount.percent_off,
        amount_off=money_to_proto(discount.amount_off) if discount.amount_off else None,
        ends_at=timestamp_to_proto(discount.ends_at),
        stripe_item_id=discount.stripe_item_id or "",
        duration=discount.duration or "",
    )
