"""States of Stripe subscriptions to protobuf and back, one function each way. Empty strings of the wire are None."""

from datetime import datetime
from typing import Final

from google.protobuf.message import Message

from checkout.common.v1 import common_pb2
from checkout.orders.v1 import orders_pb2
from payments_gateway.domain.attempts import Interval
from payments_gateway.domain.subscriptions import (
    BilledItem,
    Discount,
    PauseCollection,
    StripeSubscriptionState,
    SubscriptionStatus,
)
from payments_gateway.rpc.messages import money_from_proto, money_to_proto, time_from_proto, time_to_proto
from servicekit.enum_codec import EnumCodec

STATUSES: Final = EnumCodec(SubscriptionStatus, orders_pb2.SubscriptionStatus)
_INTERVALS: Final = EnumCodec(Interval, common_pb2.Recurring.Interval)


def state_to_proto(state: StripeSubscriptionState) -> orders_pb2.StripeSubscriptionState:
    """Return a state's message."""
    return orders_pb2.StripeSubscriptionState(
        stripe_subscription_id=state.stripe_subscription_id,
        status=STATUSES.to_proto(state.status),
        current_period_end=time_to_proto(state.current_period_end),
        trial_end=time_to_proto(state.trial_end),
        cancel_at_period_end=state.cancel_at_period_end,
        cancel_at=time_to_proto(state.cancel_at),
        canceled_at=time_to_proto(state.canceled_at),
        ended_at=time_to_proto(state.ended_at),
        latest_invoice_id=state.latest_invoice_id or "",
        items=map(_item_to_proto, state.items),
        pause_collection=_pause_to_proto(state.pause_collection) if state.pause_collection else None,
        discounts=map(_discount_to_proto, state.discounts),
        default_payment_method_id=state.default_payment_method_id or "",
        collection_method=state.collection_method or "",
    )


def state_from_proto(message: orders_pb2.StripeSubscriptionState) -> StripeSubscriptionState:
    """Read a state. Words of a newer version are UNKNOWN."""
    return StripeSubscriptionState(
        stripe_subscription_id=message.stripe_subscription_id,
        status=STATUSES.from_proto(message.status, SubscriptionStatus.UNKNOWN),
        current_period_end=optional_time(message, "current_period_end"),
        trial_end=optional_time(message, "trial_end"),
        cancel_at_period_end=message.cancel_at_period_end,
        cancel_at=optional_time(message, "cancel_at"),
        canceled_at=optional_time(message, "canceled_at"),
        ended_at=optional_time(message, "ended_at"),
        latest_invoice_id=message.latest_invoice_id or None,
        items=tuple(map(_item_from_proto, message.items)),
        pause_collection=(
            _pause_from_proto(message.pause_collection) if message.HasField("pause_collection") else None
        ),
        discounts=tuple(map(_discount_from_proto, message.discounts)),
        default_payment_method_id=message.default_payment_method_id or None,
        collection_method=message.collection_method or None,
    )


def _item_to_proto(item: BilledItem) -> orders_pb2.BilledItem:
    return orders_pb2.BilledItem(
        stripe_item_id=item.stripe_item_id or "",
        price_id=item.price_id,
        product_id=item.product_id,
        name=item.name,
        quantity=item.quantity,
        unit_amount_minor=item.unit_amount,
        currency=item.currency,
        interval=_INTERVALS.to_proto(item.interval),
        interval_count=item.interval_count,
        current_period_end=time_to_proto(item.current_period_end),
    )


def _item_from_proto(message: orders_pb2.BilledItem) -> BilledItem:
    return BilledItem(
        stripe_item_id=message.stripe_item_id or None,
        price_id=message.price_id,
        product_id=message.product_id,
        name=message.name,
        quantity=message.quantity if message.HasField("quantity") else None,
        unit_amount=message.unit_amount_minor if message.HasField("unit_amount_minor") else None,
        currency=message.currency,
        interval=_INTERVALS.from_proto(message.interval, Interval.UNKNOWN) if message.interval else None,
        interval_count=message.interval_count if message.HasField("interval_count") else None,
        current_period_end=optional_time(message, "current_period_end"),
    )


def _pause_to_proto(pause: PauseCollection) -> orders_pb2.PauseCollection:
    return orders_pb2.PauseCollection(behavior=pause.behavior, resumes_at=time_to_proto(pause.resumes_at))


def _pause_from_proto(message: orders_pb2.PauseCollection) -> PauseCollection:
    return PauseCollection(message.behavior, optional_time(message, "resumes_at"))


def _discount_to_proto(discount: Discount) -> orders_pb2.Discount:
    return orders_pb2.Discount(
        stripe_discount_id=discount.stripe_discount_id,
        coupon_id=discount.coupon_id or "",
        name=discount.name,
        percent_off=discount.percent_off,
        amount_off=money_to_proto(discount.amount_off) if discount.amount_off else None,
        ends_at=time_to_proto(discount.ends_at),
        stripe_item_id=discount.stripe_item_id or "",
        duration=discount.duration or "",
    )


def _discount_from_proto(message: orders_pb2.Discount) -> Discount:
    return Discount(
        stripe_discount_id=message.stripe_discount_id,
        coupon_id=message.coupon_id or None,
        name=message.name,
        percent_off=message.percent_off if message.HasField("percent_off") else None,
        amount_off=money_from_proto(message.amount_off) if message.HasField("amount_off") else None,
        ends_at=optional_time(message, "ends_at"),
        stripe_item_id=message.stripe_item_id or None,
        duration=message.duration or None,
    )


def optional_time(message: Message, field: str) -> datetime | None:
    """Read a time that may be absent."""
    return time_from_proto(getattr(message, field)) if message.HasField(field) else None
