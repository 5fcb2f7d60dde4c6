import asyncio
import errno
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
import stripe

from stripe_simulator.testing import webhook_receiver

KEY = {"Authorization": "Bearer sk_test_command"}


@asynccontextmanager
async def command(*options: str, **variables: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Run the command and yield the process and its address."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "stripe_simulator",
        *("--listen", "127.0.0.1:0", "--secret-key", "sk_test_command", "--seed", "3"),
        *options,
        env={**os.environ, **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 20)
        yield process, json.loads(line)["url"]
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_it_stops_while_requests_and_webhooks_are_held() -> None:
    """A held request and a delayed retry do not delay SIGTERM."""
    async with command() as (process, url), aiohttp.ClientSession() as session:
        endpoint = {"url": "http://127.0.0.1:1/webhook", "enabled_events[]": "*"}
        async with session.post(f"{url}/v1/webhook_endpoints", data=endpoint, headers=KEY) as made:
            assert made.status == 200
        fault = {"kind": "hold_before", "path": "/v1/prices"}
        async with session.post(f"{url}/_simulator/faults", json=fault) as made:
            held = (await made.json())["id"]
        asking = asyncio.create_task(session.get(f"{url}/v1/prices", headers=KEY))
        async with session.get(f"{url}/_simulator/faults/{held}/wait") as waited:
            assert waited.status == 200
        async with session.post(f"{url}/v1/products", data={"name": "Tea"}, headers=KEY) as made:
            assert made.status == 200

        process.send_signal(signal.SIGTERM)
        code = await asyncio.wait_for(process.wait(), 10)
        await asyncio.gather(asking, return_exceptions=True)

    assert code == 0


async def test_logs_are_json_without_secrets() -> None:
    """P7: a request is one JSON line with method, path and status, and without query and body."""
    async with command() as (process, url), aiohttp.ClientSession() as session:
        form = {"amount": "1000", "currency": "usd", "description": "personal"}
        async with session.post(f"{url}/v1/payment_intents?expand[]=customer", data=form, headers=KEY) as made:
            intent = await made.json()
        process.send_signal(signal.SIGTERM)
        _, logged = await asyncio.wait_for(process.communicate(), 10)

    (line,) = [json.loads(each) for each in logged.splitlines() if b'"request"' in each]
    assert (line["method"], line["path"], line["status"]) == ("POST", "/v1/payment_intents", 200)
    assert line["request_id"].startswith("req_")
    assert not any(
        secret in logged for secret in (b"personal", b"expand", b"sk_test", intent["client_secret"].encode())
    )


@pytest.mark.parametrize("kind", ["reset_before", "reset_after"])
async def test_connection_resets_are_real(kind: str) -> None:
    """On uvloop too, which the command runs on."""
    async with command() as (_, url), aiohttp.ClientSession() as session:
        async with session.post(f"{url}/_simulator/faults", json={"kind": kind, "path": "/v1/customers"}) as made:
            assert made.status == 200

        with pytest.raises(aiohttp.ClientOSError) as broken:
            await session.post(f"{url}/v1/customers", headers=KEY)

    assert broken.value.errno == errno.ECONNRESET


async def test_initial_data_is_there_once_the_address_is_printed() -> None:
    """A sample shop with random ids, and a webhook endpoint with the given signing secret."""
    secret = {"STRIPE_SIMULATOR_WEBHOOK_SECRET": "whsec_given"}
    seen = []
    async with webhook_receiver() as receiver, aiohttp.ClientSession() as session:
        options = ("--sample-shop", "--seed", "random", "--webhook-url", receiver.url)
        for _ in range(2):
            async with command(*options, **secret) as (_process, url):
                async with session.get(f"{url}/v1/prices?limit=100", headers=KEY) as page:
                    prices: list[Any] = (await page.json())["data"]
                async with session.get(f"{url}/_simulator/webhooks/idle") as idle:
                    assert idle.status == 200
                seen.append({price["id"] for price in prices})

    received = receiver.received[0]
    assert {price["type"] for price in prices} == {"one_time", "recurring"}
    assert seen[0].isdisjoint(seen[1])
    stripe.WebhookSignature.verify_header(received.body.decode(), received.headers["Stripe-Signature"], "whsec_given")


async def test_the_initial_data_is_not_limited() -> None:
    """The limits apply from then on: Stripe's, unless an option gives others."""
    seen = []
    async with aiohttp.ClientSession() as session:
        for options in (("--requests-per-second", "80"), ("--no-rate-limits",)):
            async with (
                command("--sample-shop", *options) as (_, url),
                session.get(f"{url}/_simulator/rate_limits") as limits,
            ):
                seen.append(await limits.json())

    assert seen == [
        {"requests_per_second": 80, "operation_requests_per_second": 25, "refused": {}},
        {"requests_per_second": None, "operation_requests_per_second": None, "refused": {}},
    ]
