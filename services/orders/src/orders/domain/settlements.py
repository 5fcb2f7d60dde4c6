"""Steps of operators: settlements of quarantined payments, refunds, and failed activations."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID


class Settlement(StrEnum):
    """Way in which an operator settles a quarantined payment."""

    ORDER = "order"
    REFUNDED = "refunded"
    WRITTEN_OFF = "written_off"
    UNKNOWN = "unknown"
    """A word that a newer version wrote."""


class OperatorVerb(StrEnum):
    """Kind of an operator's step."""

    SHOW_PERSONAL_DATA = "show_personal_data"
    BEGIN_REFUND = "begin_refund"
    ABANDON_REFUND = "abandon_refund"
    SETTLE_PAYMENT = "settle_payment"
    REFUND_ORDER = "refund_order"
    RETRY_SUBSCRIPTION = "retry_subscription"
    GIVE_UP_SUBSCRIPTION = "give_up_subscription"
    UNKNOWN = "unknown"
    """A word that a newer version wrote."""


@dataclass(frozen=True, slots=True)
class OperatorStep:
    """Step that an operator takes. `id` is the caller's own: a step that is repeated is recorded once."""

    id: UUID
    operator: str
    reason: str


@dataclass(frozen=True, slots=True)
class OperatorAction:
    """Record of a step. `before` and `after` have ids, statuses and amounts only, no personal data (P7)."""

    step: OperatorStep
    at: datetime
    verb: OperatorVerb
    subject: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]
