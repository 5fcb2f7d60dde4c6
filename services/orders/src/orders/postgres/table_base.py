"""Conventions of all tables: names of constraints, and the column type of each Python type."""

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import BigInteger, DateTime, Dialect, Enum, LargeBinary, MetaData, Text, TypeDecorator
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase

from orders.domain.checkout import BillingInterval
from orders.domain.orders import OrderStatus
from orders.domain.payments import IntentKind, ReportChannel
from orders.domain.purchases import Outcome, QuarantineReason
from orders.domain.refunds import DisputeStatus, RefundStatus
from orders.domain.settlements import OperatorVerb, Settlement
from orders.domain.stripe_events import EventKind
from orders.domain.subscriptions import InvoiceStatus, SubscriptionStatus

PERSONAL_COLUMNS: Final = (
    "user_id",
    "contact_name",
    "contact_email",
    "contact_phone",
    "shipping_line1",
    "shipping_line2",
    "shipping_city",
    "shipping_state",
    "shipping_postal_code",
    "shipping_country",
)
"""Columns of `orders` and `subscriptions` that identify the buyer (P7). An erased row has none of them."""


class Words(TypeDecorator[StrEnum]):
    """Enumerated type of a domain enum. A word of a newer version is read as the enum's UNKNOWN (ADR 45).

    UNKNOWN itself is no word of the type unless it is `stored`: it cannot be written over what the newer version wrote.
    """

    impl = Enum
    cache_ok = True

    def __init__(self, words: type[StrEnum], name: str, *, stored: bool = False) -> None:
        self._by_value = {member.value: member for member in words}
        self._unknown = words.__members__.get("UNKNOWN")
        super().__init__(*[word.value for word in words if stored or word is not self._unknown], name=name)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[str | None], StrEnum | None]:  # noqa: ARG002 - SQLAlchemy's signature
        """Return the function that reads a word. Enum's own raises for one that it does not know."""
        return lambda word: None if word is None else self._read(word)

    def _read(self, word: str) -> StrEnum:
        found = self._by_value.get(word, self._unknown)
        if found is None:
            raise LookupError(f"{word} is no word of this version")
        return found


def erased_has_no_personal_data(*columns: str) -> str:
    """Return the condition that an erased row has none of the personal columns."""
    return f"erased_at IS NULL OR num_nonnulls({', '.join(columns)}) = 0"


class Row(DeclarativeBase):
    """Base of the tables."""

    metadata = MetaData(
        naming_convention={
            "pk": "%(table_name)s_pkey",
            "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "ix": "%(table_name)s_%(column_0_N_name)s_idx",
            "ck": "%(table_name)s_%(constraint_name)s_check",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it as a plain class attribute
        str: Text,
        int: BigInteger,
        bytes: LargeBinary,
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        list[dict[str, Any]]: JSONB,
        IntentKind: Words(IntentKind, "intent_kind"),
        Outcome: Words(Outcome, "payment_outcome"),
        QuarantineReason: Words(QuarantineReason, "quarantine_reason"),
        ReportChannel: Words(ReportChannel, "report_channel"),
        OrderStatus: Words(OrderStatus, "order_status"),
        SubscriptionStatus: Words(SubscriptionStatus, "subscription_status", stored=True),
        BillingInterval: Words(BillingInterval, "billing_interval"),
        InvoiceStatus: Words(InvoiceStatus, "invoice_status"),
        RefundStatus: Words(RefundStatus, "refund_status"),
        DisputeStatus: Words(DisputeStatus, "dispute_status"),
        Settlement: Words(Settlement, "settlement"),
        OperatorVerb: Words(OperatorVerb, "operator_verb"),
        EventKind: Words(EventKind, "event_kind"),
    }
