"""Where keys live must never change: a stored attempt would be lost from sight."""

import uuid
from collections import Counter

from redis.crc import key_slot

from checkout_session.redis_backend.keys import SHARDS, keys_of, shard_of


def test_an_attempts_keys_are_laid_out_as_documented() -> None:
    """The layout is read by operators and tools, and by every version that runs at the same time."""
    keys = keys_of("0b8e3a52-5c8f-4f7e-9a53-6c0f3c1f2a10")

    assert keys.in_order() == (
        "{s07}:attempt:0b8e3a52-5c8f-4f7e-9a53-6c0f3c1f2a10",
        "{s07}:closed:0b8e3a52-5c8f-4f7e-9a53-6c0f3c1f2a10",
        "{s07}:due",
    )


def test_the_shard_of_an_id_never_changes() -> None:
    """The same in every process, version and platform."""
    assert [shard_of(str(uuid.UUID(int=number))) for number in range(4)] == [9, 31, 37, 51]


def test_an_attempts_keys_are_in_one_slot() -> None:
    """Redis Cluster refuses a script whose keys are in several."""
    for _ in range(200):
        slots = {key_slot(key.encode()) for key in keys_of(str(uuid.uuid4())).in_order()}

        assert len(slots) == 1


def test_attempts_spread_over_all_shards() -> None:
    """No shard stays empty or takes several times its part."""
    spread = Counter(shard_of(str(uuid.uuid5(uuid.NAMESPACE_URL, str(number)))) for number in range(64 * 200))

    assert set(spread) == set(range(SHARDS))
    assert max(spread.values()) < 2 * 200
