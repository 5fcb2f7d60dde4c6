"""A flood of requests with made-up attempt ids, in a process of its own: `python -m tests.e2e.harness.flood URL`.

Each connection sends its next request as soon as the last one is answered. Prints the number of responses by status.
"""

import asyncio
import json
import random
import sys
import uuid
from collections import Counter
from typing import Final

import uvloop

ADDRESSES: Final = 40
CONNECTIONS_PER_ADDRESS: Final = 15
ALL_SENT: Final = "every connection was answered once"


async def flood(host: str, port: int) -> None:
    """Send until standard input is closed."""
    answers = Counter[str]()
    connections = [
        asyncio.create_task(_send(host, port, f"203.0.113.{address}", answers))
        for address in range(ADDRESSES)
        for _ in range(CONNECTIONS_PER_ADDRESS)
    ]
    while answers.total() < len(connections):  # noqa: ASYNC110 — a counter signals no event
        await asyncio.sleep(0.05)
    print(ALL_SENT, flush=True)  # noqa: T201 — read by the test
    await asyncio.to_thread(sys.stdin.read)
    for connection in connections:
        connection.cancel()
    print(json.dumps(answers))  # noqa: T201 — read by the test


async def _send(host: str, port: int, address: str, answers: Counter[str]) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    while True:
        writer.write(_request(address))
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        answers[head[9:12].decode()] += 1


def _request(address: str) -> bytes:
    common = f"Host: shop\r\nX-Forwarded-For: {address}\r\n"
    attempt_id = uuid.uuid4()
    if random.random() < 0.5:  # noqa: S311 — half of them
        return f"GET /api/checkout/{attempt_id} HTTP/1.1\r\n{common}\r\n".encode()
    body = json.dumps({"checkoutAttemptId": str(attempt_id), "paymentIntentId": f"pi_{attempt_id.hex}"})
    common += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"POST /api/orders HTTP/1.1\r\n{common}\r\n{body}".encode()


if __name__ == "__main__":
    given_host, _, given_port = sys.argv[1].removeprefix("http://").partition(":")
    uvloop.run(flood(given_host, int(given_port)))
