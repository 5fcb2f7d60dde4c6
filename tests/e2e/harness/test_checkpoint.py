import asyncio

import pytest

from .checkpoint import AnswerLost, Call, Checkpoint, Ending, Moment

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


async def test_a_mishap_strikes_the_calls_that_it_concerns() -> None:
    """Other roads, other callers, the ones to skip, and all after the last one pass."""
    checkpoint = Checkpoint()
    mine, others = Call("/s/M", {"x-request-id": "mine"}, b""), Call("/s/M", {"x-request-id": "others"}, b"")
    mishap = checkpoint.spoil(
        "/s/M",
        Moment.BEFORE_EFFECT,
        Ending.BREAKS,
        concerns=lambda call: call.headers["x-request-id"] == "mine",
        skip=1,
        count=1,
    )

    outcomes = [await _outcome(checkpoint, call) for call in (others, mine, mine, others, mine)]

    assert outcomes == ["done", "done", "AnswerLost", "done", "done"]
    assert mishap.hits == 1


@pytest.mark.parametrize(("moment", "effects"), [(Moment.BEFORE_EFFECT, 0), (Moment.AFTER_EFFECT, 1)])
@pytest.mark.parametrize(("ending", "told"), [(Ending.BREAKS, "AnswerLost"), (Ending.FAILS, "CallFailed")])
async def test_a_mishap_comes_before_the_effect_or_after_it(
    moment: Moment, effects: int, ending: Ending, told: str
) -> None:
    """And ends the call in its own way."""
    checkpoint, done = Checkpoint(), []
    checkpoint.spoil("/s/M", moment, ending, concerns=lambda _: True)

    async def forward() -> str:
        done.append("effect")
        return "done"

    with pytest.raises(Exception) as ended:  # noqa: PT011 - which one is the assertion
        await checkpoint.pass_by(Call("/s/M", {}, b""), forward)

    assert type(ended.value).__name__ == told
    assert len(done) == effects


async def test_a_silent_mishap_ends_when_it_is_lifted() -> None:
    """Until then nobody is answered; afterwards calls pass."""
    checkpoint = Checkpoint()
    checkpoint.spoil("/s/M", Moment.BEFORE_EFFECT, Ending.STAYS_SILENT, concerns=lambda _: True)
    waiting = asyncio.create_task(_outcome(checkpoint, Call("/s/M", {}, b"")))
    await asyncio.sleep(0)
    silent = not waiting.done()

    checkpoint.disarm()

    assert silent
    assert await waiting == "AnswerLost"
    assert await _outcome(checkpoint, Call("/s/M", {}, b"")) == "done"


async def _outcome(checkpoint: Checkpoint, call: Call) -> str:
    async def forward() -> str:
        return "done"

    try:
        return await checkpoint.pass_by(call, forward)
    except AnswerLost:
        return "AnswerLost"
