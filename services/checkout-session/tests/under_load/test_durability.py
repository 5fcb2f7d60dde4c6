"""Acknowledged changes survive a killed server.

A kill cannot lose what the kernel has. That a change is on the disk is what Redis answers to WAITAOF, and it is
believed; test_acknowledgement.py shows that the answer is asked for and obeyed.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import grpc
import pytest

from checkout.session.v1 import checkout_session_pb2 as pb
from devstack.embedded_valkey import EmbeddedValkey

from .traffic import traffic_on

RunService = Callable[..., AbstractAsyncContextManager[grpc.aio.Channel]]
MakeRequest = Callable[..., pb.SaveAttemptRequest]


@pytest.mark.parametrize(("durability", "appendfsync"), [("aof", "everysec"), ("fsync", "always")])
async def test_a_killed_server_loses_nothing_that_was_acknowledged(
    durability: str, appendfsync: str, run_service: RunService, new_request: MakeRequest
) -> None:
    """P2, P4: saves, replays, closes and deletions that were answered are there after each SIGKILL."""
    with EmbeddedValkey.temporary(options={"appendfsync": appendfsync}) as server:
        async with (
            run_service(server.url, durability=durability) as channel,
            traffic_on(channel, new_request) as traffic,
        ):
            for _ in range(3):
                await traffic.go_on(100)
                await asyncio.to_thread(server.kill)
                await asyncio.to_thread(server.start)

    assert traffic.problems == []
