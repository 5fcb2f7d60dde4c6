"""Domain objects to protobuf and back, one function each way."""

from datetime import UTC

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

_KINDS = {
    IntentKind.PAYMENT: common_pb2.Intent.KIND_PAYMENT,
    IntentKind.SETUP: common_pb2.Intent.KIND_SETUP,
}
_KINDS_BACK = {wire: kind for kind, wire in _KINDS.items()}

_INTERVALS = {
    Interval.DAY: common_pb2.Recurring.INTERVAL_DAY,
    Interval.WEEK: common_pb2.Recurring.INTERVAL_WEEK,
    Interval.MONTH: common_pb2.Recurring.INTERVAL_MONTH,
    Interval.YEAR: common_pb2.Recurring.INTERVAL_YEAR,
}
_INTERVALS_BACK = {wire: interval for interval, wire in _INTERVALS.items()}


def money_message(amount: Money) -> common_pb2.Money:
    """Return an amount's message."""
    return common_pb2.Money(minor_units=amount.minor_units, currency=amount.currency)


def read_money(message: common_pb2.Money) -> Money:
    """Read an amount."""
    return Money(message.minor_units, message.currency)


def intent_message(ref: IntentRef) -> common_pb2.Intent:
    """Return an intent's message."""
    return common_pb2.Intent(id=ref.id, kind=_KINDS[ref.kind])


def read_intent(message: common_pb2.Intent) -> IntentRef:
    """Read an intent."""
    return IntentRef(message.id, _KINDS_BACK[message.kind])


def context_message(context: CheckoutContext) -> common_pb2.CheckoutContext:
    """Return a checkout's message."""
    pay_by = Timestamp()
    pay_by.FromDatetime(context.pay_by)
    return common_pb2.CheckoutContext(
        user_id=context.user_id or "",
        contact=_contact_message(context.contact),
        shipping_address=_address_message(context.shipping_address) if context.shipping_address else None,
        shipping_option=_shipping_option_message(context.shipping_option) if context.shipping_option else None,
        items=[_line_item_message(item) for item in context.items],
        total=money_message(context.total),
        pay_by=pay_by,
        supersedes=context.supersedes or "",
        stripe_customer_id=context.stripe_customer_id or "",
    )


def read_context(message: common_pb2.CheckoutContext) -> CheckoutContext:
    """Read a checkout."""
    return CheckoutContext(
        user_id=message.user_id or None,
        contact=read_contact(message.contact),
        shipping_address=read_address(message.shipping_address) if message.HasField("shipping_address") else None,
        shipping_option=read_shipping_option(message.shipping_option) if message.HasField("shipping_option") else None,
        items=tuple(_read_line_item(item) for item in message.items),
        total=read_money(message.total),
        pay_by=message.pay_by.ToDatetime(tzinfo=UTC),
        supersedes=message.supersedes or None,
        stripe_customer_id=message.stripe_customer_id or None,
    )


def _contact_message(contact: Contact) -> common_pb2.Contact:
    return common_pb2.Contact(name=contact.name, email=contact.email, phone=contact.phone or "")


def read_contact(message: common_pb2.Contact) -> Contact:
    """Read how to reach a buyer."""
    return Contact(message.name, message.email, message.phone or None)


def _address_message(address: Address) -> common_pb2.Address:
    return common_pb2.Address(
        line1=address.line1,
        line2=address.line2 or "",
        city=address.city or "",
        state=address.state or "",
        postal_code=address.postal_code or "",
        country=address.country,
    )


def read_address(message: common_pb2.Address) -> Address:
    """Read a postal address."""
    return Address(
        line1=message.line1,
        line2=message.line2 or None,
        city=message.city or None,
        state=message.state or None,
        postal_code=message.postal_code or None,
        country=message.country,
    )


def _shipping_option_message(option: ShippingOption) -> common_pb2.ShippingOption:
    return common_pb2.ShippingOption(
        shipping_rate_id=option.shipping_rate_id, name=option.name, amount=money_message(option.amount)
    )


def read_shipping_option(message: common_pb2.ShippingOption) -> ShippingOption:
    """Read the shipping that was chosen."""
    return ShippingOption(message.shipping_rate_id, message.name, read_money(message.amount))


def _line_item_message(item: LineItem) -> common_pb2.LineItem:
    return common_pb2.LineItem(
        price_id=item.price_id,
        product_id=item.product_id,
        name=item.name,
        quantity=item.quantity,
        unit_price=money_message(item.unit_price),
        recurring=recurring_message(item.recurring) if item.recurring else None,
    )


def _read_line_item(message: common_pb2.LineItem) -> LineItem:
    return LineItem(
        price_id=message.price_id,
        product_id=message.product_id,
        name=message.name,
        quantity=message.quantity,
        unit_price=read_money(message.unit_price),
        recurring=read_recurring(message.recurring) if message.HasField("recurring") else None,
    )


def recurring_message(recurring: Recurring) -> common_pb2.Recurring:
    """Return a billing interval's message."""
    return common_pb2.Recurring(
        interval=_INTERVALS[recurring.interval],
        interval_count=recurring.interval_count,
        trial_days=recurring.trial_days,
    )


def read_recurring(message: common_pb2.Recurring) -> Recurring:
    """Read a billing interval."""
    return Recurring(_INTERVALS_BACK[message.interval], message.interval_count, message.trial_days)
