"""Content of an attempt, after checkout_rules has validated it."""

from typing import Final

from checkout.common.v1 import common_pb2
from orders.api.messages import money_from_proto
from orders.domain.checkout import (
    Address,
    BillingInterval,
    CheckoutContext,
    Contact,
    LineItem,
    Recurring,
    ShippingOption,
)
from servicekit.enum_codec import EnumCodec

BILLING_INTERVALS: Final = EnumCodec(BillingInterval, common_pb2.Recurring.Interval)


def context_from_proto(message: common_pb2.CheckoutContext) -> CheckoutContext:
    """Read a context without violations. `pay_by` and `supersedes` concern the attempt alone and are not read."""
    shipped, has_option = message.HasField("shipping_address"), message.HasField("shipping_option")
    return CheckoutContext(
        user_id=message.user_id or None,
        contact=_contact_from_proto(message.contact),
        shipping_address=_address_from_proto(message.shipping_address) if shipped else None,
        shipping_option=_shipping_option_from_proto(message.shipping_option) if has_option else None,
        items=tuple(_item_from_proto(item) for item in message.items),
        total=money_from_proto(message.total),
        stripe_customer_id=message.stripe_customer_id or None,
    )


def _contact_from_proto(message: common_pb2.Contact) -> Contact:
    return Contact(name=message.name, email=message.email, phone=message.phone or None)


def _address_from_proto(message: common_pb2.Address) -> Address:
    return Address(
        line1=message.line1,
        line2=message.line2 or None,
        city=message.city or None,
        state=message.state or None,
        postal_code=message.postal_code or None,
        country=message.country,
    )


def _shipping_option_from_proto(message: common_pb2.ShippingOption) -> ShippingOption:
    return ShippingOption(message.shipping_rate_id, message.name, money_from_proto(message.amount))


def _item_from_proto(message: common_pb2.LineItem) -> LineItem:
    return LineItem(
        price_id=message.price_id,
        product_id=message.product_id,
        name=message.name,
        quantity=message.quantity,
        unit_price=money_from_proto(message.unit_price),
        recurring=_recurring_from_proto(message.recurring) if message.HasField("recurring") else None,
    )


def _recurring_from_proto(message: common_pb2.Recurring) -> Recurring:
    interval = BILLING_INTERVALS.from_valid_proto(message.interval)
    return Recurring(interval, message.interval_count, message.trial_days)
