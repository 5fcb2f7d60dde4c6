"""Actions of banks after a payment: open and decide disputes, return refunds, decline a saved card."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from stripe_simulator.instruments import INSTRUMENTS_BY_TOKEN
from stripe_simulator.resources import disputes, refunds
from stripe_simulator.resources.payment_methods import method_state

if TYPE_CHECKING:
    from stripe_simulator.account import Account

DisputeStatus = Literal[
    "warning_needs_response", "warning_under_review", "warning_closed", "needs_response", "under_review", "won", "lost"
]


class OpenDispute(BaseModel):
    """A dispute to open: of the whole charge, or of an amount in minor units."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    amount: int | None = Field(default=None, ge=1)
    reason: str = "fraudulent"
    status: Literal["needs_response", "warning_needs_response"] = "needs_response"


class DisputeOutcome(BaseModel):
    """Status that a dispute moves to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: DisputeStatus


class RefundOutcome(BaseModel):
    """Status that a refund moves to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: Literal["succeeded", "failed", "canceled", "requires_action"]


class SimulatedCard(BaseModel):
    """Token of the test card that a saved payment method behaves like from now on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    like: str


def open_dispute(account: "Account", intent_id: str, dispute: OpenDispute) -> dict[str, Any]:
    """Dispute an intent's charge."""
    intent = account["payment_intents"].get(intent_id, param="intent")
    charge = account["charges"].get(intent["latest_charge"] or "")
    return disputes.open_dispute(account, charge, amount=dispute.amount, reason=dispute.reason, status=dispute.status)


def move_dispute(account: "Account", dispute_id: str, outcome: DisputeOutcome) -> dict[str, Any]:
    """Move a dispute to another status, or close it."""
    return disputes.move_dispute(account, account[disputes.COLLECTION].get(dispute_id), outcome.status)


def finish_refund(account: "Account", refund_id: str, outcome: RefundOutcome) -> dict[str, Any]:
    """Complete, fail or cancel a refund."""
    return refunds.finish(account, account[refunds.COLLECTION].get(refund_id), outcome.status)


def change_behaviour(account: "Account", method_id: str, card: SimulatedCard) -> dict[str, Any]:
    """Make a saved payment method behave like another test card, for example one without funds."""
    method = account["payment_methods"].get(method_id, param="payment_method")
    instrument = INSTRUMENTS_BY_TOKEN.get(card.like)
    if instrument is None or instrument.type != method["type"]:
        raise ValueError(f"{card.like} is not a test token for this type of payment method")
    account.secrets[method_id] = replace(method_state(account, method_id), instrument=instrument)
    return method
