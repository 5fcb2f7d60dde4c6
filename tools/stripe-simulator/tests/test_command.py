import asyncio
import errno
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import stripe

from stripe_simulator.testing import listening

KEY = {"Authorization": "Bearer sk_test_command"}


@asynccontextmanager
async def command(*options: str, **variables: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Run the command and answer the process and its address."""
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


async def test_the_command_listens_and_stops(tmp_path: Path) -> None:
    """It prints its address, writes the ready file, serves, and stops promptly on SIGTERM."""
    ready = tmp_path / "ready.json"
    async with command("--ready-file", str(ready)) as (process, url), aiohttp.ClientSession() as session:
        async with session.get(f"{url}/v1/prices", headers=KEY) as answer:
            status = answer.status

        process.send_signal(signal.SIGTERM)
        code = await asyncio.wait_for(process.wait(), 10)

    assert (status, code) == (200, 0)
    assert json.loads(ready.read_text()) == {"url": url}


async def test_it_stops_while_requests_and_webhooks_are_held() -> None:
    """A held request and a delayed delivery do not keep it from stopping."""
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
    """Each request is one JSON line with method, path and status, and nothing of query or body."""
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
async def test_resets_are_real(kind: str) -> None:
    """The command breaks connections like the embedded simulator does, though it runs on another event loop."""
    async with command("--quiet") as (_, url), aiohttp.ClientSession() as session:
        async with session.post(f"{url}/_simulator/faults", json={"kind": kind, "path": "/v1/customers"}) as made:
            assert made.status == 200

        with pytest.raises(aiohttp.ClientOSError) as broken:
            await session.post(f"{url}/v1/customers", headers=KEY)

    assert broken.value.errno == errno.ECONNRESET


async def test_a_sample_shop_is_on_sale_from_the_start() -> None:
    """Once the address is printed there is something to buy once, something to buy again and again, and shipping."""
    async with command("--sample-shop") as (_, url):
        prices = await _list(url, "prices")
        rates = await _list(url, "shipping_rates")

    assert {price["type"] for price in prices} == {"one_time", "recurring"}
    assert {rate["display_name"] for rate in rates} == {"Standard", "Express"}


async def test_a_webhook_endpoint_is_there_from_the_start_and_signs_with_the_secret_it_was_given() -> None:
    """Whoever listens has to know the secret before anybody could be asked for it."""
    async with listening() as receiver, aiohttp.ClientSession() as session:
        given = {"STRIPE_SIMULATOR_WEBHOOK_SECRET": "whsec_given"}
        async with command("--webhook-url", receiver.url, **given) as (_, url):
            async with session.post(f"{url}/v1/products", data={"name": "Tea"}, headers=KEY) as made:
                assert made.status == 200
            async with session.get(f"{url}/_simulator/webhooks/idle") as idle:
                assert idle.status == 200

    (received,) = receiver.received
    stripe.WebhookSignature.verify_header(received.body.decode(), received.headers["Stripe-Signature"], "whsec_given")


async def test_a_random_seed_makes_other_ids_at_each_start() -> None:
    """Whoever keeps the ids of an earlier start must not meet them again."""
    seen = []
    for _ in range(2):
        async with command("--seed", "random", "--sample-shop") as (_, url):
            seen.append({price["id"] for price in await _list(url, "prices")})

    assert seen[0].isdisjoint(seen[1])


async def _list(url: str, collection: str) -> list[Any]:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/v1/{collection}?limit=100", headers=KEY) as page:
        return list((await page.json())["data"])
