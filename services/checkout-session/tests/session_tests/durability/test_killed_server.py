"""Acknowledged changes survive a killed server.

A kill cannot lose what the kernel has. test_write_confirmation.py shows that the reply of WAITAOF is obeyed. Level
`aof` is tested without syncs: with `everysec` a server that is syncing may keep changes back for up to two seconds.
"""

import asyncio

import pytest

from devstack.embedded_valkey import EmbeddedValkey

from ..harness import run_service
from ..traffic import traffic_on


@pytest.mark.parametrize(("durability", "appendfsync"), [("aof", "no"), ("fsync", "always")])
async def test_a_killed_server_loses_nothing_that_was_acknowledged(durability: str, appendfsync: str) -> None:
    """Saves, replays, closes and deletions that were answered are there after each SIGKILL (P2, P4)."""
    with EmbeddedValkey.temporary(options={"appendfsync": appendfsync}) as server:
        async with run_service(server.url, durability=durability) as channel, traffic_on(channel) as traffic:
            for _ in range(3):
                await traffic.until_answered(100)
                await asyncio.to_thread(server.kill)
                await asyncio.to_thread(server.start)

    assert traffic.problems == []
