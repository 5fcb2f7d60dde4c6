"""The words that several answers share, from the domain's terms into protobuf."""

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from checkout.common.v1 import common_pb2
from orders.domain.checkout import Address, Contact, Money
from orders.domain.payments import Intent, IntentKind

_KINDS = {
    IntentKind.PAYMENT: common_pb2.Intent.KIND_PAYMENT,
    IntentKind.SETUP: common_pb2.Intent.KIND_SETUP,
}


def write_intent(intent: Intent) -> common_pb2.Intent:
    """Write an intent."""
    return common_pb2.Intent(id=intent.id, kind=_KINDS[intent.kind])


def write_money(money: Money) -> common_pb2.Money:
    """Write an amount."""
    return common_pb2.Money(minor_units=money.minor_units, currency=money.currency)


def write_contact(contact: Contact) -> common_pb2.Contact:
    """Write how the shop reaches the buyer."""
    return common_pb2.Contact(name=contact.name, email=contact.email, phone=contact.phone or "")


def write_address(address: Address) -> common_pb2.Address:
    """Write a postal address."""
    return common_pb2.Address(
        line1=address.line1,
        line2=address.line2 or "",
        city=address.city or "",
        state=address.state or "",
        postal_code=address.postal_code or "",
        country=address.country,
    )


def write_moment(moment: datetime) -> Timestamp:
    """Write a moment."""
    written = Timestamp()
    written.FromDatetime(moment)
    return written


def write_moment_if_any(moment: datetime | None) -> Timestamp | None:
    """Write a moment, or nothing."""
    return write_moment(moment) if moment else None
