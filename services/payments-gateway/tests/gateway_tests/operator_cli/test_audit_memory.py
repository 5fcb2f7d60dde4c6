"""An audit of 10^5 intents, with its peak memory."""

import asyncio
import json
import sys
from collections.abc import Sequence
from typing import Any, Final

import pytest
from aiohttp import web
from google.protobuf.timestamp_pb2 import Timestamp

from checkout.common.v1 import common_pb2
from checkout.orders.v1 import audit_pb2 as pb

from ..audit_stand_in import AuditStandIn
from ..operator_command import environment
from ..samples import ATTEMPT_ID, INTENT_CREATED_AT
from ..stripe_stand_in import intent_json, serving

NEWEST: Final = int(INTENT_CREATED_AT.timestamp())
IN_A_SECOND: Final = 3
COMMAND: Final = """
import resource, sys
from payments_gateway.operator_cli.app import main
try:
    main(sys.argv[1:])
finally:
    sys.stderr.write(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}\\n")
"""
"""Runs holdfast, and writes its peak memory in KiB."""


class Decisions(Sequence[pb.RecordedPayment]):
    """Decisions on all intents but one, made when they are read."""

    def __init__(self, count: int, lost: int) -> None:
        self._count = count
        self._lost = lost

    def __len__(self) -> int:
        return self._count - 1

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        if place >= len(self):
            raise IndexError
        number = place if place < self._lost else place + 1
        return pb.RecordedPayment(
            intent=common_pb2.Intent(id=f"pi_{number}", kind=common_pb2.Intent.KIND_PAYMENT),
            attempt_id=ATTEMPT_ID,
            received=common_pb2.Money(minor_units=1250, currency="usd"),
            intent_created_at=Timestamp(seconds=NEWEST - number // IN_A_SECOND),
        )


def paid(number: int) -> dict[str, Any]:
    """Return a succeeded intent."""
    return intent_json(f"pi_{number}", created=NEWEST - number // IN_A_SECOND, status="succeeded", amount_received=1250)


async def audited(count: int) -> tuple[Any, int, int]:
    """Audit so many intents, one of which was lost. Return the document, requests to Stripe, peak memory in KiB."""
    lost = count // 2
    requests = 0

    async def stripe(request: web.Request) -> web.Response:
        nonlocal requests
        requests += 1
        if request.path == f"/v1/payment_intents/pi_{lost}":
            return web.json_response(paid(lost))
        start = int(request.query.get("starting_after", "pi_-1").removeprefix("pi_")) + 1
        rows = range(start, min(count, start + 100)) if request.path == "/v1/payment_intents" else range(0)
        listed = {"object": "list", "url": request.path, "has_more": bool(rows) and rows[-1] < count - 1}
        return web.json_response({**listed, "data": [paid(number) for number in rows]})

    async with serving(stripe) as url, AuditStandIn(Decisions(count, lost)).served_at() as orders:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", COMMAND, "audit", "--json", "--grace", "0s", "--since", "30d"),
            env=environment(orders=orders, stripe=url) | {"GATEWAY_SERVICE_TIMEOUT_SECONDS": "30"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        stdout, stderr = await process.communicate()
    assert process.returncode == 1, stderr.decode()
    return json.loads(stdout), requests, int(stderr.split()[-1])


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_an_audit_of_100_000_intents_needs_no_more_memory_than_one_of_10_000() -> None:
    """Its one lost payment is found, with a request for each hundred intents."""
    _, _, small_kib = await audited(10_000)
    document, requests, large_kib = await audited(100_000)

    assert [each["intent"] for each in document["differences"]] == ["pi_50000"]
    assert (document["succeededAtStripe"], document["purchases"]) == (100_000, 99_999)
    assert requests == 1_000 + 1 + 1
    assert large_kib - small_kib < 8 * 1024
