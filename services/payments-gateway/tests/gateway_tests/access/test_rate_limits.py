import random

import pytest

from payments_gateway.access.rate_limits import Rate, RateLimited, RateLimiter

from ..fakes import FakeClock

SLOW = Rate(per_minute=6, burst=3)


def limiter(clock: FakeClock, rate: Rate = SLOW, secret: bytes = b"s") -> RateLimiter:
    """Return a limiter on a clock."""
    return RateLimiter("tests", rate, secret=secret, monotonic=clock.seconds)


def granted(limits: RateLimiter, key: str, tries: int = 1) -> int:
    """Return the number of tries at once that were granted."""
    count = 0
    for _ in range(tries):
        try:
            limits.take(key)
        except RateLimited:
            continue
        count += 1
    return count


@pytest.mark.parametrize("rest_seconds", [0, 7 * 86_400])
def test_a_burst_is_granted_and_no_more(rest_seconds: float) -> None:
    """Also after a week without a request; other keys have bursts of their own, whatever their text."""
    clock = FakeClock()
    limits = limiter(clock)
    clock.advance(rest_seconds)

    assert [granted(limits, key, 10) for key in ("ada", "bob", "\ud800")] == [3, 3, 3]


def test_the_time_to_wait_is_exact() -> None:
    """One second earlier is too early."""
    clock = FakeClock()
    limits = limiter(clock)
    granted(limits, "ada", 3)
    clock.advance(2.5)

    with pytest.raises(RateLimited) as limited:
        limits.take("ada")
    clock.advance(limited.value.retry_after_seconds - 1)
    early = granted(limits, "ada")
    clock.advance(1)
    in_time = granted(limits, "ada")

    assert limited.value.retry_after_seconds == 8
    assert (early, in_time) == (0, 1)


def test_a_limited_request_takes_no_token() -> None:
    """A client that never pauses is served at the rate."""
    clock = FakeClock()
    limits = limiter(clock)
    count = 0
    for _ in range(600):
        count += granted(limits, "ada")
        clock.advance(0.1)

    assert count == 3 + 6 - 1


def test_a_flood_of_other_keys_evicts_nothing_and_takes_no_memory() -> None:
    """A client over its limit stays so; the table keeps its size."""
    limits = limiter(FakeClock())
    granted(limits, "tester", 10)
    before = limits._full_at.buffer_info()

    for number in range(100_000):
        granted(limits, f"other-{number}")

    assert granted(limits, "tester", 10) == 0
    assert limits._full_at.buffer_info() == before
    assert before[1] * limits._full_at.itemsize == 1 << 20


def test_a_thousand_abusers_hardly_ever_limit_others() -> None:
    """A buyer is limited only if both of its slots are empty."""
    limits = limiter(FakeClock())
    for number in range(1000):
        granted(limits, f"abuser-{number}", 10)

    served = sum(granted(limits, f"buyer-{number}") for number in range(1000))

    assert served >= 998


def test_no_key_exceeds_the_rate_even_in_a_crowd() -> None:
    """With shared slots, over an hour: at most the burst and what the rate has added."""
    clock, chance = FakeClock(), random.Random(1)  # noqa: S311 — a crowd, not a secret
    limits = limiter(clock, Rate(per_minute=60, burst=5))
    count = 0
    for _ in range(3600):
        for _ in range(20):
            granted(limits, f"other-{chance.randrange(200_000)}", 3)
        count += granted(limits, "tester", 2)
        clock.advance(1)

    assert count <= 5 + 3600


def test_slots_depend_on_a_secret() -> None:
    """Nobody can aim at another client's slot."""
    one, other = limiter(FakeClock(), secret=b"one"), limiter(FakeClock(), secret=b"other")

    assert list(one._slots("ada")) != list(other._slots("ada"))
