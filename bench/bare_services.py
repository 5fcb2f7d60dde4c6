"""Bare services: three processes that make the calls of a checkout and do nothing else.

They are the floor: what the three services would cost if they neither checked, encoded, logged nor retried anything.
`python -m bench.bare_services gateway|checkout-session|orders` reads its settings as a JSON line, and writes its port.
"""

import asyncio
import json
import socket
import sys
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Final

import aiohttp
import asyncpg  # type: ignore[import-untyped] # asyncpg ships no types
import grpc
import stripe
import uvicorn
import uvloop

Call = Callable[[], Awaitable[object]]

LOOPBACK: Final = "127.0.0.1"
TABLES: Final = """
    CREATE TABLE bare_orders (id uuid PRIMARY KEY, intent text UNIQUE, total bigint, content bytea);
    CREATE TABLE bare_items (order_id uuid REFERENCES bare_orders, position int, price text, amount bigint,
        PRIMARY KEY (order_id, position))
"""
_METHOD: Final = "/bench.Bare/Call"
_MESSAGE: Final = b"x" * 500
"""Request and answer of every call between the services, about as long as theirs."""
_ANSWER: Final = json.dumps(
    {"checkoutAttemptId": "a" * 43, "clientSecret": "pi_secret_" + "b" * 50, "padding": "c" * 350}
).encode()
_SCRIPT: Final = b"redis.call('HSET',KEYS[1],'c',ARGV[1]) redis.call('EXPIRE',KEYS[1],ARGV[2]) return 1"
_TRANSACTION: Final = """
    WITH placed AS (INSERT INTO bare_orders VALUES ($1, $2, 2750, $3) RETURNING id)
    INSERT INTO bare_items SELECT id, position, 'price', 1000 FROM placed, generate_series(1, 2) AS position
"""


async def gateway(settings: dict[str, str]) -> None:
    """Serve HTTP on the gateway's server without a framework; call Stripe with the gateway's HTTP client."""
    headers = {"Authorization": f"Bearer {settings['key']}", "Stripe-Version": stripe.api_version}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        grpc.aio.insecure_channel(settings["checkout_session"]) as attempts,
        grpc.aio.insecure_channel(settings["orders"]) as orders,
    ):
        of_attempts: Any = attempts.unary_unary(_METHOD)
        of_orders: Any = orders.unary_unary(_METHOD)

        async def initiate() -> None:
            form = {
                "amount": "2750",
                "currency": "usd",
                "automatic_payment_methods[enabled]": "true",
                "metadata[checkoutAttemptId]": uuid.uuid4().hex,
            }
            key = {"Idempotency-Key": uuid.uuid4().hex}
            async with session.post(f"{settings['stripe_api']}/v1/payment_intents", data=form, headers=key) as answer:
                answer.raise_for_status()
                json.loads(await answer.read())
            await of_attempts(_MESSAGE)

        async def report() -> None:
            await of_attempts(_MESSAGE)
            await of_orders(_MESSAGE)
            await of_attempts(_MESSAGE)

        await _serve_http({"/api/stripe/initiate-checkout": initiate, "/api/stripe/webhook": report})


async def checkout_session(settings: dict[str, str]) -> None:
    """Serve gRPC; each call runs one script that writes 500 bytes, with nothing but a socket between."""
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        connection = await asyncio.open_connection(LOOPBACK, int(settings["port"]))
        await _send(*connection, b"AUTH", settings["password"].encode())
        return connection

    async def run_script() -> None:
        connection = idle.pop() if idle else await connect()
        key = b"bare:" + uuid.uuid4().hex.encode()
        await _send(*connection, b"EVALSHA", sha, b"1", key, _MESSAGE, b"600")
        idle.append(connection)

    idle.append(await connect())
    sha = await _send(*idle[0], b"SCRIPT", b"LOAD", _SCRIPT)
    await _serve_grpc(run_script)


async def _send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *words: bytes) -> bytes:
    writer.write(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words))
    answer = await reader.readline()
    if not answer or answer.startswith(b"-"):
        raise ConnectionError(answer.decode())
    return (await reader.readexactly(int(answer[1:]) + 2))[:-2] if answer.startswith(b"$") else answer


async def orders(settings: dict[str, str]) -> None:
    """Serve gRPC; each call inserts an order with two items in one statement, on the driver."""
    async with asyncpg.create_pool(settings["url"], min_size=1, max_size=10) as pool:

        async def record() -> None:
            async with pool.acquire() as connection:
                await connection.fetch(_TRANSACTION, uuid.uuid4(), uuid.uuid4().hex, _MESSAGE)

        await _serve_grpc(record)


async def _serve_http(calls: dict[str, Call]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        await calls[scope["path"]]()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_ANSWER))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": _ANSWER})

    listening = socket.create_server((LOOPBACK, 0))
    print(listening.getsockname()[1], flush=True)
    config = uvicorn.Config(app, loop="none", http="httptools", lifespan="off", log_level="warning", access_log=False)
    await uvicorn.Server(config).serve([listening])


class _Handler(grpc.GenericRpcHandler):
    """Makes one call and answers with bytes, which nothing encodes or decodes."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def service(self, _handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Return the handler of any method."""

        async def answer(_request: bytes, _context: Any) -> bytes:
            await self._call()
            return _MESSAGE

        return grpc.unary_unary_rpc_method_handler(answer)


async def _serve_grpc(call: Call) -> None:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_Handler(call),))
    port = server.add_insecure_port(f"{LOOPBACK}:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


def main() -> None:
    """Serve until killed."""
    services = {"gateway": gateway, "checkout-session": checkout_session, "orders": orders}
    uvloop.run(services[sys.argv[1]](json.loads(sys.stdin.readline())))


if __name__ == "__main__":
    main()
