"""What every table has in common: how its constraints are named, and which column type stands for what."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, DateTime, Enum, LargeBinary, MetaData, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase

from orders.domain.checkout import BillingInterval
from orders.domain.orders import OrderStatus
from orders.domain.payments import IntentKind, ReportChannel
from orders.domain.purchases import Outcome, QuarantineReason
from orders.domain.refunds import DisputeStatus, RefundStatus
from orders.domain.subscriptions import InvoiceStatus, SubscriptionStatus

WHO_BOUGHT = (
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
"""The columns of `orders` and of `subscriptions` that say who bought."""


def enumerated(words: type[StrEnum], name: str) -> Enum:
    """Return the enumerated type of a set of words."""
    return Enum(words, name=name, values_callable=lambda members: [member.value for member in members])


def holds_nobody(*columns: str) -> str:
    """Return the condition that an erased row has none of the columns that say who bought."""
    return f"erased_at IS NULL OR num_nonnulls({', '.join(columns)}) = 0"


class Row(DeclarativeBase):
    """A table of the service."""

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
        IntentKind: enumerated(IntentKind, "intent_kind"),
        Outcome: enumerated(Outcome, "payment_outcome"),
        QuarantineReason: enumerated(QuarantineReason, "quarantine_reason"),
        ReportChannel: enumerated(ReportChannel, "report_channel"),
        OrderStatus: enumerated(OrderStatus, "order_status"),
        SubscriptionStatus: enumerated(SubscriptionStatus, "subscription_status"),
        BillingInterval: enumerated(BillingInterval, "billing_interval"),
        InvoiceStatus: enumerated(InvoiceStatus, "invoice_status"),
        RefundStatus: enumerated(RefundStatus, "refund_status"),
        DisputeStatus: enumerated(DisputeStatus, "dispute_status"),
    }
