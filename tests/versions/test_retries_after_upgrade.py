"""An upgrade makes good what the older version acknowledged without understanding it.

The newest release plays the older version, with less knowledge: no version has learned a word of refunds or disputes
since. It reads the refunds of one status only, and no events of disputes at all. It says that it is another version.
"""

from pathlib import Path
from typing import Final

import pytest

from devstack.stack_options import StackOptions
from tests.e2e.conftest import until
from tests.e2e.harness.backend import EmbeddedBackend
from tests.e2e.harness.control_api import ControlApi
from tests.e2e.harness.shop import Checkout
from tests.e2e.harness.system import System, running_system

from .released import Release, check_out

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]

RECONCILERS: Final = ("reconciler", "reconciler-2")
UPGRADED: Final = ("gateway", *RECONCILERS)
OLDER: Final = "0.0.9"
SETTINGS: Final = {"RECONCILE_EVENTS_SECONDS": "0.5", "RECONCILE_INTERVAL_SECONDS": "0.5"}
FOLDER_OF_GATEWAY: Final = "services/payments-gateway/src"
KNOWS_LESS: Final = {
    "stripe_api/refunds.py": (
        'status=RefundStatus(fields["status"])',
        'status={"pending": RefundStatus.PENDING}[fields["status"]]',
    ),
    "stripe_api/webhooks.py": ('"charge.dispute.', '"unknown.dispute.'),
}
"""Replacements in the release's code, by file."""


async def test_p3_what_was_not_understood_is_recorded_once_after_an_upgrade(tmp_path: Path) -> None:
    """A refund by the sweep of retries, a dispute by the list of events; two reconcilers race for both."""
    release = check_out(tmp_path / "released")
    forget(tmp_path / "released" / FOLDER_OF_GATEWAY)
    options = StackOptions(
        reconcilers=len(RECONCILERS),
        durable=False,
        seed=1,
        settings=dict.fromkeys(RECONCILERS, SETTINGS),
        environment=dict.fromkeys(UPGRADED, release.environment),
    )
    async with (
        running_system(tmp_path / "home", options=options, embedded=True) as system,
        ControlApi(system.backend.addresses.stripe_api) as stripe_side,
    ):
        checkout = await refunded_and_disputed(system, stripe_side)
        deliveries = await stripe_side.delivery_attempts()
        waiting = await system.orders_db.rows("SELECT not_understood_by FROM event_retries")
        before = await recorded(system, checkout)
        await let_time_pass(system)

        await upgrade(system, release)
        # A try that fails on a busy machine is repeated after two minutes.
        await until(lambda: arrived(system, checkout), "the refund and the dispute", seconds=180)
        retries = await system.orders_db.rows("SELECT id FROM event_retries")
        payments = await system.orders_db.payments_of(checkout.attempt_id)

    assert {each["status"] for each in deliveries} == {200}
    assert {"refund.created", "charge.dispute.created"} <= {each["event_type"] for each in deliveries}
    assert ([row["not_understood_by"] for row in waiting], before) == ([OLDER], ([], []))
    assert (retries, len(payments)) == ([], 1)


def forget(gateway: Path) -> None:
    """Let the release's gateway know less, and say that it is an older version."""
    for name, (known, forgotten) in KNOWS_LESS.items():
        file = gateway / "payments_gateway" / name
        code = file.read_text()
        assert known in code, name
        file.write_text(code.replace(known, forgotten))
    metadata = gateway / f"holdfast_payments_gateway-{OLDER}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.4\nName: holdfast-payments-gateway\nVersion: {OLDER}\n")


async def refunded_and_disputed(system: System, stripe_side: ControlApi) -> Checkout:
    """Buy, and let Stripe tell of a refund and of a dispute."""
    async with system.shop(user_id="user-1") as shop:
        checkout = await shop.checkout(system.cart(mug=1))
        (await shop.pay(checkout)).ok()
        (await shop.complete(checkout)).ok()
    await system.stripe.v1.refunds.create_async({"payment_intent": checkout.intent_id, "amount": 100})
    await stripe_side.open_dispute(checkout.intent_id, amount=70)
    await stripe_side.until_idle()
    return checkout


async def let_time_pass(system: System) -> None:
    """Bring on what an hour would: the retry is due, and the cursors have passed the events."""
    await system.orders_db.rows("UPDATE event_retries SET next_try_at = now() RETURNING id")
    await system.orders_db.rows("UPDATE cursors SET position = now() + interval '1 hour' RETURNING name")


async def upgrade(system: System, release: Release) -> None:
    """Replace the release's gateway and reconcilers by those of this checkout."""
    assert isinstance(system.backend, EmbeddedBackend)
    for name in UPGRADED:
        environment = system.backend.environment_of(name)
        for variable in release.environment:
            del environment[variable]
        await system.backend.restart(name)


async def recorded(system: System, checkout: Checkout) -> tuple[list[int], list[int]]:
    """Return the amounts of the refunds and the disputes that orders knows."""
    refunds, disputes = [
        await system.orders_db.rows(f"SELECT amount_minor FROM {table} WHERE intent_id = $1", checkout.intent_id)  # noqa: S608 — names of ours
        for table in ("refunds", "disputes")
    ]
    return [row["amount_minor"] for row in refunds], [row["amount_minor"] for row in disputes]


async def arrived(system: System, checkout: Checkout) -> bool:
    """Return True once both are recorded, once each, and nothing waits."""
    waiting = await system.orders_db.rows("SELECT id FROM event_retries")
    return not waiting and await recorded(system, checkout) == ([100], [70])
