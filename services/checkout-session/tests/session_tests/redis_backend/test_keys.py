"""Keys must never change: a stored attempt would no longer be found."""

import uuid
from collections import Counter

from redis.crc import key_slot

from checkout_session.redis_backend.keys import SHARDS, keys_of, shard_of


def test_the_keys_of_an_attempt_are_as_documented() -> None:
    """Operators, tools and other versions read them."""
    keys = keys_of("0b8e3a52-5c8f-4f7e-9a53-6c0f3c1f2a10")

    assert keys.in_order() == (
        "{s07}:attempt:0b8e3a52-5c8f-4f7e-9a53-6c0f3c1f2a10",
        "{s07}:closed:0b8e3a52-5c8f-4f7e-9a53-6c0f3c1f2a10",
        "{s07}:due",
        "{s07}:intents",
    )
    assert [shard_of(str(uuid.UUID(int=number))) for number in range(4)] == [9, 31, 37, 51]


def test_the_keys_of_an_attempt_are_in_one_slot() -> None:
    """Redis Cluster refuses a script whose keys are in several."""
    for _ in range(200):
        slots = {key_slot(key.encode()) for key in keys_of(str(uuid.uuid4())).in_order()}

        assert len(slots) == 1


def test_attempts_are_spread_over_all_shards() -> None:
    """No shard is empty or twice as full as the average."""
    spread = Counter(shard_of(str(uuid.uuid5(uuid.NAMESPACE_URL, str(number)))) for number in range(64 * 200))

    assert set(spread) == set(range(SHARDS))
    assert max(spread.values()) < 2 * 200
