"""Deletions of recorded attempts, over a fake of checkout-session. test_event_log.py has the batches."""

import pytest

from payments_gateway.domain.attempts import Tombstone
from payments_gateway.write_behind import MAX_BATCH
from servicekit.unavailable import ServiceUnavailable

from ..assembly import WEBHOOK, Gateway
from ..fakes import until
from ..samples import ATTEMPT_ID


async def test_p4_a_webhook_is_answered_before_its_attempt_is_deleted(gateway: Gateway) -> None:
    """The deletion follows in the background."""
    async with gateway.deletions.flush_in_background():
        await gateway.fulfilment.fulfil(gateway.paid_attempt(), WEBHOOK)
        is_answered_first = gateway.attempts.at(ATTEMPT_ID) in gateway.attempts.stored()
        await until(lambda: isinstance(gateway.attempts.at(ATTEMPT_ID), Tombstone))

    assert is_answered_first


async def test_a_failed_deletion_is_left_to_the_reconciler(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    """The webhook was answered: nothing is raised, and the next attempt is deleted."""
    gateway.wire.fail("attempts.delete_all", ServiceUnavailable("checkout-session"))

    await gateway.fulfil(gateway.paid_attempt())

    assert not isinstance(gateway.attempts.at(ATTEMPT_ID), Tombstone)
    assert [record.levelname for record in caplog.records if "left to the reconciler" in record.message] == ["WARNING"]


async def test_one_too_many_is_deleted_at_once(gateway: Gateway) -> None:
    """The buffer is bounded, and nothing is dropped for that."""
    for number in range(MAX_BATCH):
        await gateway.deletions.delete(f"attempt-{number}")

    await gateway.fulfilment.fulfil(gateway.paid_attempt(), WEBHOOK)

    assert isinstance(gateway.attempts.at(ATTEMPT_ID), Tombstone)
