import asyncio

import pytest

from .checkpoint import AnswerLost, Call, Checkpoint

CALL = Call("GET /v1/things", {}, b"")


async def answer() -> str:
    """Answer at once."""
    return "answer"


async def test_passes_calls_and_writes_them_down() -> None:
    """Without a trap a call goes through and is on the record."""
    checkpoint = Checkpoint()

    got = await checkpoint.pass_by(CALL, answer)

    assert (got, checkpoint.roads["GET /v1/things"]) == ("answer", 1)


async def test_holds_a_call_before_it_is_forwarded() -> None:
    """A held call has no effect until it is released."""
    checkpoint, forwarded = Checkpoint(), asyncio.Event()

    async def forward() -> str:
        forwarded.set()
        return "late"

    trap = checkpoint.hold_next("GET /v1/things")
    caller = asyncio.create_task(checkpoint.pass_by(CALL, forward))
    await trap.sprung()
    held = not forwarded.is_set()

    trap.release()

    assert (held, await caller) == (True, "late")


async def test_a_dropped_call_is_never_forwarded() -> None:
    """After a drop the caller has no answer and the other side no request."""
    checkpoint, forwarded = Checkpoint(), asyncio.Event()

    async def forward() -> None:
        forwarded.set()

    trap = checkpoint.hold_next("GET /v1/things")
    caller = asyncio.create_task(checkpoint.pass_by(CALL, forward))
    await trap.sprung()

    trap.drop()

    with pytest.raises(AnswerLost):
        await caller
    assert not forwarded.is_set()


async def test_swallows_an_answer_after_the_effect() -> None:
    """The other side has done its work when the answer gets lost."""
    checkpoint, forwarded = Checkpoint(), asyncio.Event()

    async def forward() -> None:
        forwarded.set()

    trap = checkpoint.swallow_next("GET /v1/things")
    caller = asyncio.create_task(checkpoint.pass_by(CALL, forward))
    await trap.sprung()
    done = forwarded.is_set()

    trap.drop()

    with pytest.raises(AnswerLost):
        await caller
    assert done


async def test_swallows_a_refusal() -> None:
    """Where the other side answers with an error, the caller does not learn it."""
    checkpoint = Checkpoint()

    async def forward() -> None:
        raise LookupError

    trap = checkpoint.swallow_next("GET /v1/things")
    caller = asyncio.create_task(checkpoint.pass_by(CALL, forward))
    await trap.sprung()

    trap.drop()

    with pytest.raises(AnswerLost):
        await caller


async def test_a_trap_catches_one_call_only() -> None:
    """The repeat of a caught call goes through."""
    checkpoint = Checkpoint()
    trap = checkpoint.hold_next("GET /v1/things")
    caller = asyncio.create_task(checkpoint.pass_by(CALL, answer))
    await trap.sprung()

    got = await checkpoint.pass_by(CALL, answer)

    trap.release()
    assert (got, await caller) == ("answer", "answer")


async def test_a_trap_can_let_some_calls_pass_first() -> None:
    """The second call by a road can be the one that is caught."""
    checkpoint = Checkpoint()
    trap = checkpoint.hold_next("GET /v1/things", skip=1)

    got = await checkpoint.pass_by(CALL, answer)

    assert (got, trap.has_sprung) == ("answer", False)


async def test_other_roads_are_not_caught() -> None:
    """A trap on one road leaves the others alone."""
    checkpoint = Checkpoint()
    trap = checkpoint.hold_next("POST /v1/things")

    await checkpoint.pass_by(CALL, answer)

    assert not trap.has_sprung


async def test_waiting_in_vain_names_the_road() -> None:
    """A test that waits for a call that nobody makes says which."""
    trap = Checkpoint().hold_next("POST /v1/things")

    with pytest.raises(TimeoutError, match="POST /v1/things"):
        await trap.sprung(seconds=0.01)
