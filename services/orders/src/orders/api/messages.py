"""Messages that several requests and responses share."""

from datetime import datetime
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from checkout.common.v1 import common_pb2
from orders.domain.checkout import Address, Contact, Money
from orders.domain.payments import Intent, IntentKind
from servicekit.enum_codec import EnumCodec

INTENT_KINDS: Final = EnumCodec(IntentKind, common_pb2.Intent.Kind)


def intent_to_proto(intent: Intent) -> common_pb2.Intent:
    """Write an intent."""
    return common_pb2.Intent(id=intent.id, kind=INTENT_KINDS.to_proto(intent.kind))


def money_to_proto(money: Money) -> common_pb2.Money:
    """Write an amount."""
    return common_pb2.Money(minor_units=money.minor_units, currency=money.currency)


def money_from_proto(message: common_pb2.Money) -> Money:
    """Read an amount without violations."""
    return Money(message.minor_units, message.currency)


def contact_to_proto(contact: Contact) -> common_pb2.Contact:
    """Write contact data."""
    return common_pb2.Contact(name=contact.name, email=contact.email, phone=contact.phone or "")


def address_to_proto(address: Address) -> common_pb2.Address:
    """Write a postal address."""
    return common_pb2.Address(
        line1=address.line1,
        line2=address.line2 or "",
        city=address.city or "",
        state=address.state or "",
        postal_code=address.postal_code or "",
        country=address.country,
    )


def timestamp_to_proto(moment: datetime | None) -> Timestamp | None:
    """Write a moment; None for None."""
    if moment is None:
        return None
    message = Timestamp()
    message.FromDatetime(moment)
    return message
