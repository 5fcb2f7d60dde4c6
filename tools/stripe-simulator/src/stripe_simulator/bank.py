"""What banks do after a payment: open and decide disputes, send refunds back, stop honouring a card."""

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
    """A dispute to be opened; of the whole charge if no amount is given, in minor units."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    amount: int | None = Field(default=None, ge=1)
    reason: str = "fraudulent"
    status: Literal["needs_response", "warning_needs_response"] = "needs_response"


class DisputeOutcome(BaseModel):
    """Where a dispute moves."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: DisputeStatus


class RefundOutcome(BaseModel):
    """How a refund ends."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: Literal["succeeded", "failed", "canceled", "requires_action"]


class TestCard(BaseModel):
    """The test card, by its token, that a saved payment method behaves like from now on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    like: str


def dispute(account: "Account", intent_id: str, opening: OpenDispute) -> dict[str, Any]:
    """Dispute an intent's charge."""
    intent = account["payment_intents"].get(intent_id, param="intent")
    charge = account["charges"].get(intent["latest_charge"] or "")
    return disputes.open_dispute(account, charge, amount=opening.amount, reason=opening.reason, status=opening.status)


def move_dispute(account: "Account", dispute_id: str, outcome: DisputeOutcome) -> dict[str, Any]:
    """Move a dispute on, or close it."""
    found = account[disputes.COLLECTION].get(dispute_id)
    if outcome.status in disputes.CLOSED:
        return disputes.close_dispute(account, found, outcome.status)
    return disputes.escalate(account, found, outcome.status)


def finish_refund(account: "Account", refund_id: str, outcome: RefundOutcome) -> dict[str, Any]:
    """Let a refund end."""
    return refunds.finish(account, account[refunds.COLLECTION].get(refund_id), outcome.status)


def change_behaviour(account: "Account", method_id: str, behaviour: TestCard) -> dict[str, Any]:
    """Let a saved payment method behave like another test card, as when it runs out of money."""
    method = account["payment_methods"].get(method_id, param="payment_method")
    instrument = INSTRUMENTS_BY_TOKEN.get(behaviour.like)
    if instrument is None or instrument.type != method["type"]:
        raise ValueError(f"{behaviour.like} is no test token of this kind of payment method")
    account.secrets[method_id] = replace(method_state(account, method_id), instrument=instrument)
    return method
