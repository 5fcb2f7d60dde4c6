"""Tables of Stripe's events. They hold ids of Stripe's objects and of subscriptions only, no personal data (P7)."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Index, Integer
from sqlalchemy.orm import Mapped, mapped_column

from orders.domain.stripe_events import EventKind
from orders.postgres.table_base import Row


class StripeEventRow(Row):
    """Event that was handled. It spares the backfill work, and proves nothing (ADR 40)."""

    __tablename__ = "stripe_events"

    event_id: Mapped[str] = mapped_column(primary_key=True)
    type: Mapped[str]
    created_at: Mapped[datetime]
    handled_at: Mapped[datetime]

    __table_args__ = (Index(None, "created_at"),)


class EventRetryRow(Row):
    """Event to try again, or object that a version of the gateway did not understand."""

    __tablename__ = "event_retries"

    id: Mapped[str] = mapped_column(primary_key=True)
    type: Mapped[str | None]
    kind: Mapped[EventKind]
    stripe_id: Mapped[str]
    subscription_id: Mapped[str | None]
    stripe_invoice_id: Mapped[str | None]
    created_at: Mapped[datetime]
    failures: Mapped[int] = mapped_column(Integer)
    next_try_at: Mapped[datetime]
    reason: Mapped[str]
    not_understood_by: Mapped[str | None]

    __table_args__ = (
        CheckConstraint("failures >= 1", name="failures"),
        Index(None, "next_try_at"),
    )


class CursorRow(Row):
    """Position up to which a reconciler has done its work, and the time until which one of them has it."""

    __tablename__ = "cursors"

    name: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[datetime | None]
    leased_until: Mapped[datetime]
