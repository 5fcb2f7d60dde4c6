"""Conventions of all tables: names of constraints, and the column type of each Python type."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import BigInteger, DateTime, Enum, LargeBinary, MetaData, Text
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


def enum_type(words: type[StrEnum], name: str) -> Enum:
    """Return the enumerated type of a domain enum."""
    return Enum(words, name=name, values_callable=lambda members: [member.value for member in members])


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
        IntentKind: enum_type(IntentKind, "intent_kind"),
        Outcome: enum_type(Outcome, "payment_outcome"),
        QuarantineReason: enum_type(QuarantineReason, "quarantine_reason"),
        ReportChannel: enum_type(ReportChannel, "report_channel"),
        OrderStatus: enum_type(OrderStatus, "order_status"),
        SubscriptionStatus: enum_type(SubscriptionStatus, "subscription_status"),
        BillingInterval: enum_type(BillingInterval, "billing_interval"),
        InvoiceStatus: enum_type(InvoiceStatus, "invoice_status"),
        RefundStatus: enum_type(RefundStatus, "refund_status"),
        DisputeStatus: enum_type(DisputeStatus, "dispute_status"),
        Settlement: enum_type(Settlement, "settlement"),
        OperatorVerb: enum_type(OperatorVerb, "operator_verb"),
        EventKind: enum_type(EventKind, "event_kind"),
    }
