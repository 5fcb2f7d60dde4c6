import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import stripe

from payments_gateway.attempts import IntentKind, IntentRef
from payments_gateway.clients.stripe_http import StripeHttp
from payments_gateway.clients.stripe_intents import StripeIntents

BODY = b'{"id": "pi_1", "object": "payment_intent", "status": "succeeded", "amount_received": 5, "currency": "usd", '
BODY += b'"livemode": false}'


@asynccontextmanager
async def cutting_server(cuts: int) -> AsyncIterator[str]:
    """Serve an intent; the first answers break off in the middle of their body."""
    answered = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal answered
        await reader.readuntil(b"\r\n\r\n")
        answered += 1
        body = BODY[:20] if answered <= cuts else BODY
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(BODY)}\r\n"
        writer.write(head.encode() + b"Connection: close\r\n\r\n" + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield f"http://{host}:{port}"


async def test_an_answer_that_breaks_off_is_asked_for_again() -> None:
    """The library retries it as it retries a connection that failed."""
    async with cutting_server(cuts=1) as url:
        http = StripeHttp(timeout=5)
        client = stripe.StripeClient("sk_test_1", http_client=http, base_addresses={"api": url}, max_network_retries=1)

        intent = await StripeIntents(client).retrieve(IntentRef("pi_1", IntentKind.PAYMENT))

        await http.close_async()  # type: ignore[no-untyped-call]  # the library leaves it out

    assert intent.ref.id == "pi_1"
