"""Domain objects to protobuf and back, one function each way. Empty strings of the wire are None."""

from datetime import UTC, datetime
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from checkout.common.v1 import common_pb2
from payments_gateway.domain.attempts import (
    Address,
    CheckoutContext,
    Contact,
    IntentKind,
    IntentRef,
    Interval,
    LineItem,
    Recurring,
    ShippingOption,
)
from payments_gateway.domain.money import Money
from servicekit.enum_codec import EnumCodec

_KINDS: Final = EnumCodec(IntentKind, common_pb2.Intent.Kind)
_INTERVALS: Final = EnumCodec(Interval, common_pb2.Recurring.Interval)


def money_to_proto(amount: Money) -> common_pb2.Money:
    """Return an amount's message."""
    return common_pb2.Money(minor_units=amount.minor_units, currency=amount.currency)


def money_from_proto(message: common_pb2.Money) -> Money:
    """Read an amount."""
    return Money(message.minor_units, message.currency)


def time_to_proto(time: datetime | None) -> Timestamp | None:
    """Return a time's message."""
    if time is None:
        return None
    message = Timestamp()
    message.FromDatetime(time)
    return message


def time_from_proto(message: Timestamp) -> datetime:
    """Read a time."""
    return message.ToDatetime(tzinfo=UTC)


def intent_to_proto(ref: IntentRef) -> common_pb2.Intent:
    """Return an intent's message."""
    return common_pb2.Intent(id=ref.id, kind=_KINDS.to_proto(ref.kind))


def intent_kind_to_proto(kind: IntentKind) -> common_pb2.Intent.Kind.ValueType:
    """Return the value of an intent's kind."""
    return _KINDS.to_proto(kind)


def intent_from_proto(message: common_pb2.Intent) -> IntentRef:
    """Read an intent. A kind of a newer version is UNKNOWN."""
    return IntentRef(message.id, _KINDS.from_proto(message.kind, IntentKind.UNKNOWN))


def context_to_proto(context: CheckoutContext) -> common_pb2.CheckoutContext:
    """Return a checkout's message."""
    return common_pb2.CheckoutContext(
        user_id=context.user_id or "",
        contact=_contact_to_proto(context.contact),
        shipping_address=_address_to_proto(context.shipping_address) if context.shipping_address else None,
        shipping_option=_shipping_option_to_proto(context.shipping_option) if context.shipping_option else None,
        items=[_line_item_to_proto(item) for item in context.items],
        total=money_to_proto(context.total),
        pay_by=time_to_proto(context.pay_by),
        supersedes=context.supersedes or "",
        stripe_customer_id=context.stripe_customer_id or "",
    )


def context_from_proto(message: common_pb2.CheckoutContext) -> CheckoutContext:
    """Read a checkout. Raises KeyError for a billing interval of a newer version: it could not be recorded."""
    return CheckoutContext(
        user_id=message.user_id or None,
        contact=contact_from_proto(message.contact),
        shipping_address=(
            address_from_proto(message.shipping_address) if message.HasField("shipping_address") else None
        ),
        shipping_option=(
            shipping_option_from_proto(message.shipping_option) if message.HasField("shipping_option") else None
        ),
        items=tuple(_line_item_from_proto(item) for item in message.items),
        total=money_from_proto(message.total),
        pay_by=time_from_proto(message.pay_by),
        supersedes=message.supersedes or None,
        stripe_customer_id=message.stripe_customer_id or None,
    )


def _contact_to_proto(contact: Contact) -> common_pb2.Contact:
    return common_pb2.Contact(name=contact.name, email=contact.email, phone=contact.phone or "")


def contact_from_proto(message: common_pb2.Contact) -> Contact:
    """Read a contact."""
    return Contact(message.name, message.email, message.phone or None)


def _address_to_proto(address: Address) -> common_pb2.Address:
    return common_pb2.Address(
        line1=address.line1,
        line2=address.line2 or "",
        city=address.city or "",
        state=address.state or "",
        postal_code=address.postal_code or "",
        country=address.country,
    )


def address_from_proto(message: common_pb2.Address) -> Address:
    """Read a postal address."""
    return Address(
        line1=message.line1,
        line2=message.line2 or None,
        city=message.city or None,
        state=message.state or None,
        postal_code=message.postal_code or None,
        country=message.country,
    )


def _shipping_option_to_proto(option: ShippingOption) -> common_pb2.ShippingOption:
    return common_pb2.ShippingOption(
        shipping_rate_id=option.shipping_rate_id, name=option.name, amount=money_to_proto(option.amount)
    )


def shipping_option_from_proto(message: common_pb2.ShippingOption) -> ShippingOption:
    """Read a shipping option."""
    return ShippingOption(message.shipping_rate_id, message.name, money_from_proto(message.amount))


def _line_item_to_proto(item: LineItem) -> common_pb2.LineItem:
    return common_pb2.LineItem(
        price_id=item.price_id,
        product_id=item.product_id,
        name=item.name,
        quantity=item.quantity,
        unit_price=money_to_proto(item.unit_price),
        recurring=recurring_to_proto(item.recurring) if item.recurring else None,
    )


def _line_item_from_proto(message: common_pb2.LineItem) -> LineItem:
    recurring = message.recurring
    return LineItem(
        price_id=message.price_id,
        product_id=message.product_id,
        name=message.name,
        quantity=message.quantity,
        unit_price=money_from_proto(message.unit_price),
        recurring=(
            Recurring(_INTERVALS.from_valid_proto(recurring.interval), recurring.interval_count, recurring.trial_days)
            if message.HasField("recurring")
            else None
        ),
    )


def recurring_to_proto(recurring: Recurring) -> common_pb2.Recurring:
    """Return a billing interval's message."""
    return common_pb2.Recurring(
        interval=_INTERVALS.to_proto(recurring.interval),
        interval_count=recurring.interval_count,
        trial_days=recurring.trial_days,
    )


def recurring_from_proto(message: common_pb2.Recurring) -> Recurring:
    """Read the billing interval of a recorded subscription; one of a newer version is UNKNOWN."""
    interval = _INTERVALS.from_proto(message.interval, Interval.UNKNOWN)
    return Recurring(interval, message.interval_count, message.trial_days)
