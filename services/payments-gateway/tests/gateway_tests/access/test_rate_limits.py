import random

import pytest

from payments_gateway.access.rate_limits import Rate, RateLimited, RateLimiter

from ..fakes import FakeClock

SLOW = Rate(per_minute=6, burst=3)


def limiter(clock: FakeClock, rate: Rate = SLOW, secret: bytes = b"s") -> RateLimiter:
    """Make a limiter on a clock."""
    return RateLimiter("tests", rate, secret=secret, monotonic=clock.seconds)


def granted(limits: RateLimiter, key: str, tries: int = 1) -> int:
    """Return how many of some tries at once were granted."""
    count = 0
    for _ in range(tries):
        try:
            limits.take(key)
        except RateLimited:
            continue
        count += 1
    return count


def test_a_burst_is_granted_and_no_more() -> None:
    """As many as the burst at once, and none after."""
    limits = limiter(FakeClock())

    assert granted(limits, "ada", 10) == 3


def test_after_a_refusal_the_time_told_is_the_time_it_takes() -> None:
    """One second earlier is too early; at the second told it is granted."""
    clock = FakeClock()
    limits = limiter(clock)
    granted(limits, "ada", 3)
    clock.advance(2.5)

    with pytest.raises(RateLimited) as refused:
        limits.take("ada")
    clock.advance(refused.value.retry_after_seconds - 1)
    early = granted(limits, "ada")
    clock.advance(1)
    in_time = granted(limits, "ada")

    assert refused.value.retry_after_seconds == 8
    assert (early, in_time) == (0, 1)


def test_a_refusal_costs_nothing() -> None:
    """Who asks all the time is served at the rate, not never."""
    clock = FakeClock()
    limits = limiter(clock)
    count = 0
    for _ in range(600):
        count += granted(limits, "ada")
        clock.advance(0.1)

    assert count == 3 + 6 - 1


def test_a_rest_earns_no_more_than_the_burst() -> None:
    """A week without a request is no reason for more at once."""
    clock = FakeClock()
    limits = limiter(clock)
    clock.advance(7 * 86_400)

    assert granted(limits, "ada", 10) == 3


def test_keys_do_not_share() -> None:
    """One's spent tokens are not another's."""
    limits = limiter(FakeClock())
    granted(limits, "ada", 10)

    assert granted(limits, "bob", 10) == 3


def test_a_flood_of_other_keys_gives_nobody_a_second_burst() -> None:
    """A hundred thousand other keys evict nothing: who was over the limit still is."""
    clock = FakeClock()
    limits = limiter(clock)
    granted(limits, "tester", 10)

    for number in range(100_000):
        granted(limits, f"other-{number}")

    assert granted(limits, "tester", 10) == 0


def test_memory_does_not_grow_with_the_number_of_keys() -> None:
    """All state is one table whose size never changes."""
    limits = limiter(FakeClock())
    before = limits._full_at.buffer_info()

    for number in range(100_000):
        granted(limits, f"other-{number}")

    assert limits._full_at.buffer_info() == before
    assert before[1] * limits._full_at.itemsize == 1 << 20


def test_a_thousand_abusers_hardly_ever_stop_anybody_else() -> None:
    """Sharing a place with one of them is not enough: a thousand buyers come through beside a thousand abusers."""
    limits = limiter(FakeClock())
    for number in range(1000):
        granted(limits, f"abuser-{number}", 10)

    served = sum(granted(limits, f"buyer-{number}") for number in range(1000))

    assert served >= 998


def test_no_key_gets_more_than_the_rate_even_in_a_crowd() -> None:
    """With places shared by many, over an hour: never more than the burst and what the rate has added."""
    clock, chance = FakeClock(), random.Random(1)  # noqa: S311 — a crowd, not a secret
    limits = limiter(clock, Rate(per_minute=60, burst=5))
    count = 0
    for _ in range(3600):
        for _ in range(20):
            granted(limits, f"other-{chance.randrange(200_000)}", 3)
        count += granted(limits, "tester", 2)
        clock.advance(1)

    assert count <= 5 + 3600


def test_nobody_can_aim_at_anothers_place() -> None:
    """Places follow from a secret: with another secret other keys meet."""
    one, other = limiter(FakeClock(), secret=b"one"), limiter(FakeClock(), secret=b"other")

    assert list(one._slots("ada")) != list(other._slots("ada"))


def test_a_key_may_be_any_text() -> None:
    """Also half a character, which no encoding has."""
    assert granted(limiter(FakeClock()), "\ud800") == 1
