"""Checkouts of other users, and erased ones, look unknown to every use case that takes an attempt id."""

from collections.abc import Awaitable, Callable

import pytest

from payments_gateway.access.tokens import GUEST
from payments_gateway.domain.attempts import DeleteReason
from payments_gateway.domain.callers import Caller
from payments_gateway.domain.errors import AttemptNotFound

from ..assembly import Gateway
from ..samples import ATTEMPT_ID, checkout_request

USE_CASES: dict[str, Callable[[Gateway, Caller], Awaitable[object]]] = {
    "status": lambda gateway, caller: gateway.statuses.status(ATTEMPT_ID, caller),
    "complete": lambda gateway, caller: gateway.complete.complete(ATTEMPT_ID, gateway.intents.all()[-1].ref, caller),
    "supersede": lambda gateway, caller: gateway.supersede.ensure_replaceable(ATTEMPT_ID, caller),
    "initiate": lambda gateway, caller: gateway.initiate.begin(checkout_request(supersedes=ATTEMPT_ID), caller, None),
}


@pytest.mark.parametrize("caller", [GUEST, Caller("user_bob")], ids=["guest", "user"])
@pytest.mark.parametrize("use_case", USE_CASES)
async def test_p6_another_users_checkout_is_not_found(gateway: Gateway, use_case: str, caller: Caller) -> None:
    """Open, quarantined, recorded or with its tombstone expired: nothing changes, and Stripe is not asked."""

    async def assert_not_found() -> None:
        gateway.wire.calls.clear()
        with pytest.raises(AttemptNotFound):
            await USE_CASES[use_case](gateway, caller)
        assert set(gateway.wire.calls) <= {"attempts.find", "orders.find_purchase"}

    gateway.stored_attempt(user_id="user_ada")
    await assert_not_found()
    await gateway.attempts.delete(ATTEMPT_ID, DeleteReason.QUARANTINED)
    await assert_not_found()
    gateway.attempts.lose(ATTEMPT_ID)
    await gateway.fulfil(gateway.paid_attempt(user_id="user_ada"))
    await assert_not_found()
    gateway.attempts.lose(ATTEMPT_ID)
    await assert_not_found()


@pytest.mark.parametrize("owner", [None, "user_ada"])
@pytest.mark.parametrize("use_case", ["status", "complete"])
async def test_p7_an_erased_purchase_is_shown_to_nobody(gateway: Gateway, use_case: str, owner: str | None) -> None:
    """Its owner is not known any more, with its tombstone or without; it is not bought a second time either."""
    await gateway.fulfil(gateway.paid_attempt(user_id=owner))
    gateway.orders.erase(ATTEMPT_ID)

    for _ in ("with the tombstone", "without"):
        with pytest.raises(AttemptNotFound):
            await USE_CASES[use_case](gateway, Caller(owner))
        gateway.attempts.lose(ATTEMPT_ID)

    assert len(gateway.orders.purchases()) == 1
