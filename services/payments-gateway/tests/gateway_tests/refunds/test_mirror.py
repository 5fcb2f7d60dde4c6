"""Mirrors of refunds and disputes over a Stripe simulator."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from payments_gateway.checkout.attempt_ids import AttemptIds
from payments_gateway.domain.errors import ConflictRetriesExhausted, VersionConflict
from payments_gateway.domain.money import Money
from payments_gateway.domain.refunds import Dispute, DisputeStatus, Refund, RefundStatus
from payments_gateway.domain.webhook_events import ChargeRefunded, DisputeChanged, RefundChanged
from payments_gateway.refunds.mirror import RefundLists, StripeMirror
from payments_gateway.stripe_api.refunds import StripeDisputes, StripeRefunds
from payments_gateway.stripe_api.webhooks import StripeWebhooks
from stripe_simulator.rate_limits import UNLIMITED
from stripe_simulator.settings import SimulatorSettings
from stripe_simulator.testing import SimulatedStripe, simulated_stripe

from ..assembly import Gateway
from ..fake_services import FakeAttempts, FakeMirrorRepository
from ..fake_stripe_events import FakeUnsupportedObjects
from ..fakes import Wire, wired
from ..http_edge import WEBHOOK_SECRET, signature_of
from ..samples import ATTEMPT_ID, ATTEMPT_ID_SECRET, FOREIGN_ATTEMPT_ID, attempt, intent_ref
from ..stripe_stand_in import roomy_limiter, stripe_client, stripe_stand_in

IDS = AttemptIds([ATTEMPT_ID_SECRET])
OURS = {"metadata": {"checkoutAttemptId": ATTEMPT_ID}, "amount": 2000}
CARD: dict[str, str] = {}
DEBIT = {"payment_method": "pm_usBankAccount", "settle": "paid"}


@dataclass(frozen=True)
class Mirrors:
    """A simulator, and mirrors of its refunds and disputes."""

    stripe: SimulatedStripe
    stripe_refunds: StripeRefunds
    wire: Wire
    attempts: FakeAttempts
    refund_copies: FakeMirrorRepository[Refund]
    dispute_copies: FakeMirrorRepository[Dispute]
    disputes: StripeMirror[Dispute]
    unsupported: FakeUnsupportedObjects

    def refund_lists(self) -> RefundLists:
        """Return the refunds of charges and payments."""
        return RefundLists(self.refunds(), self.stripe_refunds, self.unsupported)

    def refunds(self, *, livemode: bool = False) -> StripeMirror[Refund]:
        """Return a mirror of refunds, as another gateway process has it."""
        return StripeMirror(
            "refund",
            self.stripe_refunds,
            self.refund_copies,
            self.attempts,
            IDS,
            unsupported=self.unsupported,
            changed=RefundChanged,
            livemode=livemode,
        )

    async def pay(self, payment: dict[str, Any] | None = None, **changes: Any) -> str:
        """Let an intent be paid; return its id."""
        intent = await self.stripe.intent(automatic_payment_methods={"enabled": True}, **{**OURS, **changes})
        await self.stripe.pay(intent.id, **(payment or {}))
        return intent.id

    async def refund(self, intent_id: str, amount: int = 500) -> str:
        """Refund a part of an intent; return the refund's id."""
        return (await self.stripe.api.v1.refunds.create_async({"payment_intent": intent_id, "amount": amount})).id

    async def finish(self, refund_id: str, status: str) -> str:
        """Let a refund reach its final status."""
        await self.stripe.control("POST", f"/refunds/{refund_id}/finish", {"status": status})
        return refund_id

    async def dispute(self, intent_id: str, *statuses: str) -> str:
        """Let the buyer's bank dispute an intent and move the dispute on; return its id."""
        first, *others = statuses or ("needs_response",)
        body = {"amount": 700, "status": first}
        dispute_id = (await self.stripe.control("POST", f"/payment_intents/{intent_id}/dispute", body))["id"]
        for status in others:
            await self.stripe.control("POST", f"/disputes/{dispute_id}/move", {"status": status})
        return str(dispute_id)


@pytest.fixture
async def mirrors() -> AsyncIterator[Mirrors]:
    """Give mirrors over a simulator."""
    async with simulated_stripe(SimulatorSettings(seed=7, secret_key="sk_test_1", rate_limits=UNLIMITED)) as stripe:
        client = stripe_client(stripe.simulator.url, stripe.session, roomy_limiter())
        wire, attempts = Wire(), FakeAttempts()
        refund_copies = wired(wire, "refunds", FakeMirrorRepository[Refund]())
        dispute_copies = wired(wire, "disputes", FakeMirrorRepository[Dispute]())
        unsupported = FakeUnsupportedObjects()
        disputes = StripeMirror(
            "dispute",
            StripeDisputes(client),
            dispute_copies,
            attempts,
            IDS,
            unsupported=unsupported,
            changed=DisputeChanged,
            livemode=False,
        )
        yield Mirrors(
            stripe, StripeRefunds(client), wire, attempts, refund_copies, dispute_copies, disputes, unsupported
        )


async def refund_fails_later(mirrors: Mirrors) -> str:
    """Refund a payment, and let the refund fail after it succeeded; return its id."""
    return await mirrors.finish(await mirrors.refund(await mirrors.pay()), "failed")


@pytest.mark.parametrize(
    ("payment", "final", "status"),
    [
        (CARD, None, RefundStatus.SUCCEEDED),
        (CARD, "failed", RefundStatus.FAILED),
        (DEBIT, None, RefundStatus.PENDING),
        (DEBIT, "succeeded", RefundStatus.SUCCEEDED),
        (DEBIT, "canceled", RefundStatus.CANCELED),
    ],
)
async def test_a_refunds_copy_is_as_stripe_shows_it(
    mirrors: Mirrors, payment: dict[str, str], final: str | None, status: RefundStatus
) -> None:
    """With its charge, its amount and the intent that it belongs to."""
    refund_id = await mirrors.refund(await mirrors.pay(payment))
    if final is not None:
        await mirrors.finish(refund_id, final)

    await mirrors.refunds().sync(refund_id)

    refund, intent_id = mirrors.refund_copies.copies[refund_id], mirrors.refund_copies.intents[refund_id]
    intent = await mirrors.stripe.api.v1.payment_intents.retrieve_async(intent_id)
    assert (refund.status, refund.amount) == (status, Money(500, "usd"))
    assert refund.charge_id == intent.latest_charge


@pytest.mark.parametrize(
    "statuses",
    [
        ["needs_response"],
        ["needs_response", "under_review", "won"],
        ["needs_response", "lost"],
        ["warning_needs_response", "warning_closed"],
        ["warning_needs_response", "needs_response"],
    ],
    ids="/".join,
)
async def test_a_disputes_copy_is_as_stripe_shows_it(mirrors: Mirrors, statuses: list[str]) -> None:
    """With its charge, its amount, its reason and the intent that it belongs to."""
    intent_id = await mirrors.pay()
    dispute_id = await mirrors.dispute(intent_id, *statuses)

    await mirrors.disputes.sync(dispute_id)

    dispute = mirrors.dispute_copies.copies[dispute_id]
    intent = await mirrors.stripe.api.v1.payment_intents.retrieve_async(intent_id)
    assert (dispute.status, dispute.amount) == (DisputeStatus(statuses[-1]), Money(700, "usd"))
    assert (dispute.charge_id, dispute.reason) == (intent.latest_charge, "fraudulent")
    assert mirrors.dispute_copies.intents == {dispute_id: intent_id}


@pytest.mark.parametrize("kind", ["refund.created", "charge.refunded"])
async def test_an_old_event_writes_stripes_present_state(mirrors: Mirrors, gateway: Gateway, kind: str) -> None:
    """Events come late, twice and in any order, so an event only triggers a fetch."""
    refund_id = await refund_fails_later(mirrors)
    listed = await mirrors.stripe.api.v1.events.list_async({"type": kind})
    body = json.dumps(listed.data[0].to_dict()).encode()
    refunds = mirrors.refunds()
    dispatcher = replace(gateway.dispatcher, refunds=refunds, refund_lists=mirrors.refund_lists())

    webhooks = StripeWebhooks([WEBHOOK_SECRET], now=gateway.clock.seconds)
    delivery = webhooks.read(body, signature_of(body, gateway.clock.seconds()))
    assert delivery.event is not None
    for _ in range(2):
        await dispatcher.dispatch(delivery.event, delivery.id, delivery.created_at)

    assert mirrors.refund_copies.copies[refund_id].status is RefundStatus.FAILED


async def test_every_page_of_a_charges_refunds_is_mirrored(mirrors: Mirrors) -> None:
    """The event of a refunded charge does not name the refund."""
    intent_id = await mirrors.pay()
    ids = [await mirrors.refund(intent_id, 1) for _ in range(102)]
    intent = await mirrors.stripe.api.v1.payment_intents.retrieve_async(intent_id)

    await mirrors.refund_lists().sync_charge(str(intent.latest_charge))

    assert set(mirrors.refund_copies.copies) == set(ids)


UNPROVEN = [{}, {"order": "17"}, {"checkoutAttemptId": "of-other-software"}, {"checkoutAttemptId": FOREIGN_ATTEMPT_ID}]


@pytest.mark.parametrize("metadata", UNPROVEN)
async def test_refunds_and_disputes_of_foreign_intents_are_left_alone(
    mirrors: Mirrors, metadata: dict[str, str]
) -> None:
    """Invoices of subscriptions, other software and other shops on this Stripe account make intents too."""
    intent_id = await mirrors.pay(metadata=metadata)

    await mirrors.refunds().sync(await mirrors.refund(intent_id))
    await mirrors.disputes.sync(await mirrors.dispute(intent_id))

    assert (mirrors.refund_copies.copies, mirrors.dispute_copies.copies) == ({}, {})


@pytest.mark.parametrize("metadata", UNPROVEN)
async def test_an_intent_that_orders_has_decided_is_ours_whatever_its_metadata(
    mirrors: Mirrors, metadata: dict[str, str]
) -> None:
    """It was edited at Stripe, or the secret of its attempt's id is no longer configured."""
    intent_id = await mirrors.pay(metadata=metadata)
    mirrors.refund_copies.decided.add(intent_id)

    refund_id = await mirrors.refund(intent_id)
    await mirrors.refunds().sync(refund_id)

    assert mirrors.refund_copies.intents == {refund_id: intent_id}


async def test_a_refund_of_a_stored_attempt_is_ours_whatever_secret_made_its_id(mirrors: Mirrors) -> None:
    """As in fulfilment: a secret that was removed too early loses no refund that precedes the decision."""
    intent_id = await mirrors.pay(metadata={"checkoutAttemptId": FOREIGN_ATTEMPT_ID})
    mirrors.attempts.put(attempt(intent_ref(intent_id), attempt_id=FOREIGN_ATTEMPT_ID))

    refund_id = await mirrors.refund(intent_id)
    await mirrors.refunds().sync(refund_id)

    assert mirrors.refund_copies.intents == {refund_id: intent_id}


@pytest.mark.parametrize("metadata", UNPROVEN)
async def test_every_refund_of_a_payment_that_is_ours_is_mirrored(mirrors: Mirrors, metadata: dict[str, str]) -> None:
    """Before the decision, and whatever the metadata says. Other payments are left alone."""
    intent_id, other = await mirrors.pay(metadata=metadata), await mirrors.pay(metadata=metadata)
    ids = [await mirrors.refund(intent_id, 1) for _ in range(2)]
    await mirrors.refund(other)

    await mirrors.refund_lists().sync_payment(intent_id)

    assert mirrors.refund_copies.intents == dict.fromkeys(ids, intent_id)


async def test_refunds_of_the_other_mode_are_left_alone(mirrors: Mirrors) -> None:
    """A gateway of live mode writes nothing of test mode."""
    refund_id = await mirrors.refund(await mirrors.pay())

    await mirrors.refunds(livemode=True).sync(refund_id)

    assert mirrors.refund_copies.copies == {}


async def test_a_slow_fetch_of_an_old_state_does_not_replace_a_newer_one(mirrors: Mirrors) -> None:
    """Two gateways fetch at the same time; the slower one meets a conflict and fetches again."""
    refund_id = await mirrors.refund(await mirrors.pay())
    hold = {"kind": "hold_after", "method": "GET", "path": f"/v1/refunds/{refund_id}"}
    fault = (await mirrors.stripe.control("POST", "/faults", hold))["id"]
    slow = asyncio.create_task(mirrors.refunds().sync(refund_id))
    await mirrors.stripe.control("GET", f"/faults/{fault}/wait?holding=1&timeout=20")
    await mirrors.finish(refund_id, "failed")
    await mirrors.refunds().sync(refund_id)

    await mirrors.stripe.control("POST", f"/faults/{fault}/release")
    await slow

    assert mirrors.refund_copies.copies[refund_id].status is RefundStatus.FAILED


async def test_an_equal_state_advances_the_version(mirrors: Mirrors) -> None:
    """Else a slower gateway that fetched an older state in between could write it afterwards."""
    refund_id = await mirrors.refund(await mirrors.pay())

    for expected in (1, 2):
        await mirrors.refunds().sync(refund_id)
        assert await mirrors.refund_copies.version_of(refund_id) == expected


async def test_conflicts_without_end_fail_the_event(mirrors: Mirrors) -> None:
    """After ten of them Stripe delivers it again."""
    refund_id = await mirrors.refund(await mirrors.pay())
    mirrors.wire.fail("refunds.write", VersionConflict())

    with pytest.raises(ConflictRetriesExhausted):
        await mirrors.refunds().sync(refund_id)

    assert mirrors.wire.calls == ["refunds.version_of", "refunds.write"] * 10


async def test_a_refused_write_is_logged_and_acknowledged(mirrors: Mirrors, caplog: pytest.LogCaptureFixture) -> None:
    """A repeat would be refused too, and Stripe disables an endpoint that fails for days."""
    refund_id = await mirrors.refund(await mirrors.pay())
    mirrors.refund_copies.refused.add(refund_id)

    await mirrors.refunds().sync(refund_id)

    assert [(record.levelname, record.__dict__["stripe_id"]) for record in caplog.records] == [("ERROR", refund_id)]


@pytest.mark.parametrize(
    ("status", "body", "level"),
    [
        (404, {"error": {"code": "resource_missing", "message": "No such charge"}}, "WARNING"),
        (200, {"object": "list", "url": "/v1/refunds", "data": [{}], "has_more": False}, "ERROR"),
    ],
    ids=["not found", "unsupported"],
)
@pytest.mark.parametrize("of_charge", [False, True], ids=["refund", "charge"])
async def test_a_permanent_failure_is_logged_and_acknowledged(
    mirrors: Mirrors,
    caplog: pytest.LogCaptureFixture,
    status: int,
    body: dict[str, Any],
    level: str,
    *,
    of_charge: bool,
) -> None:
    """Stripe would answer the same for days. What is not understood waits for a newer version."""
    async with stripe_stand_in() as stand_in:
        stand_in.answer(body, status=status)
        again = replace(mirrors, stripe_refunds=StripeRefunds(stand_in.client))
        await (again.refund_lists().sync_charge if of_charge else again.refunds().sync)("xx_1")

    logged = [record.levelname for record in caplog.records if record.__dict__.get("stripe_id") == "xx_1"]
    waiting = [ChargeRefunded("xx_1") if of_charge else RefundChanged("xx_1")] if level == "ERROR" else []
    assert (logged, mirrors.refund_copies.copies, mirrors.unsupported.events) == ([level], {}, waiting)


async def test_no_event_moves_money(mirrors: Mirrors) -> None:
    """The gateway only reads at Stripe."""
    ids = [await refund_fails_later(mirrors), await mirrors.dispute(await mirrors.pay(), "needs_response", "lost")]
    before = len((await mirrors.stripe.control("GET", "/requests"))["data"])

    await mirrors.refunds().sync(ids[0])
    await mirrors.disputes.sync(ids[1])

    requests = (await mirrors.stripe.control("GET", "/requests"))["data"][before:]
    assert {request["method"] for request in requests} == {"GET"}
