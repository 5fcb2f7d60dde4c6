"""PostgreSQL dies while many purchases are being recorded."""

import asyncio
import uuid
from pathlib import Path
from typing import Any

import grpc
import pytest

from checkout.orders.v1 import orders_pb2, orders_pb2_grpc
from devstack.stack_options import StackOptions
from servicekit.grpc_client import open_channel
from tests.e2e.harness.system import running_system
from tests.fuzz.message_inputs import valid_message

PURCHASES = 200
KILLED_AFTER = 40
"""Purchases that are acknowledged before the kill."""
_AGAIN = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
"""Statuses after which the gateway reports a payment again."""


@pytest.mark.long
async def test_p3_a_kill_of_postgresql_loses_and_doubles_no_purchase(tmp_path: Path) -> None:
    """Of 200 concurrent RecordPurchase calls all are repeated until they succeed; each is recorded once."""
    requests = [_request(number) for number in range(PURCHASES)]
    numbers: dict[str, set[str]] = {request.payment.intent.id: set() for request in requests}
    begun = asyncio.Semaphore(0)
    options = StackOptions(durable=False, seed=1, settings={"orders": {"MAX_IN_FLIGHT": str(4 * PURCHASES)}})
    async with (
        running_system(tmp_path, options=options) as system,
        open_channel(system.backend.addresses.orders) as channel,
    ):
        stub: Any = orders_pb2_grpc.OrdersServiceStub(channel)

        async def record(request: orders_pb2.RecordPurchaseRequest) -> None:
            while True:
                try:
                    answer = await stub.RecordPurchase(request, timeout=10)
                except grpc.aio.AioRpcError as failure:
                    if failure.code() not in _AGAIN:
                        raise
                else:
                    numbers[request.payment.intent.id].add(answer.decision.purchase.order.number)
                    begun.release()
                    return

        async def kill() -> None:
            for _ in range(KILLED_AFTER):
                await begun.acquire()
            await system.backend.kill("postgres")
            await system.backend.start("postgres")

        await asyncio.gather(kill(), *(record(request) for request in requests))
        # Each is reported again, as by another channel.
        await asyncio.gather(*(record(request) for request in requests))
        counts = await system.orders_db.counts()

    assert (counts.orders, counts.purchases, counts.quarantined) == (PURCHASES, PURCHASES, 0)
    assert all(len(told) == 1 for told in numbers.values())


def _request(number: int) -> orders_pb2.RecordPurchaseRequest:
    descriptor = orders_pb2.DESCRIPTOR.services_by_name["OrdersService"].methods_by_name["RecordPurchase"].input_type
    request: orders_pb2.RecordPurchaseRequest = valid_message(descriptor, uuid.UUID(int=number, version=4))
    return request
