import asyncio
import os
import sys
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
import stripe
from pydantic import SecretStr

from payments_gateway.commands.webhook_endpoint import DIFFERS, DONE, FAILED, ensure
from payments_gateway.domain.webhook_events import IntentSucceeded
from payments_gateway.settings.backends import StripeSettings
from payments_gateway.stripe_api.webhooks import EVENT_TYPES, StripeWebhooks
from stripe_simulator.testing import SimulatedStripe, simulated_stripe, webhook_receiver

from ..fakes import until

URL: Final = "https://shop.example/api/stripe/webhook"
CREATE: Final = {"method": "POST", "path": "/v1/webhook_endpoints"}
READ: Final = "/v1/webhook_endpoints/*"


@pytest.fixture
async def sim() -> AsyncIterator[SimulatedStripe]:
    """Give a Stripe without endpoints."""
    async with simulated_stripe() as simulated:
        yield simulated


def settings_for(sim: SimulatedStripe) -> StripeSettings:
    """Return the settings that the command reads."""
    return StripeSettings(
        stripe_secret_key=SecretStr(sim.simulator.settings.secret_key), stripe_api_base=sim.simulator.url
    )


async def run(sim: SimulatedStripe, url: str = URL, *, check: bool = False) -> int:
    """Run the command."""
    return await ensure(settings_for(sim), url, check=check)


async def endpoints(sim: SimulatedStripe) -> list[stripe.WebhookEndpoint]:
    """Return all endpoints at Stripe, newest first."""
    return (await sim.api.v1.webhook_endpoints.list_async({"limit": 100})).data


async def given(sim: SimulatedStripe, **changes: Any) -> stripe.WebhookEndpoint:
    """Create the endpoint as it must be, but for changes."""
    params: Any = {"url": URL, "enabled_events": sorted(EVENT_TYPES), "api_version": stripe.api_version}
    return await sim.api.v1.webhook_endpoints.create_async(params | changes)


async def writes(sim: SimulatedStripe) -> list[str]:
    """Return the requests that changed endpoints."""
    requests = await sim.control("GET", "/requests?limit=1000")
    return [f"{each['method']} {each['path']}" for each in requests["data"] if each["method"] != "GET"]


async def test_the_endpoint_is_created(sim: SimulatedStripe, capsys: pytest.CaptureFixture[str]) -> None:
    """It gets exactly our events, and standard output alone has the secret, with which the gateway reads them."""
    async with webhook_receiver() as receiver:
        code = await run(sim, receiver.url)
        printed = capsys.readouterr()
        secret = printed.out.strip()
        intent = await sim.intent()
        await sim.pay(intent.id)
        await until(lambda: bool(receiver.received))
        await sim.wait_until_idle()

    (created,) = await endpoints(sim)
    (delivery,) = receiver.received
    read = StripeWebhooks([secret], now=lambda: float(delivery.headers["Stripe-Signature"][2:12]))
    assert code == DONE
    assert (frozenset(created.enabled_events), created.api_version) == (EVENT_TYPES, stripe.api_version)
    assert isinstance(read.read(delivery.body, delivery.headers["Stripe-Signature"]).event, IntentSucceeded)
    assert printed.out == f"{secret}\n"
    assert secret not in printed.err
    assert f"created {created.id}" in printed.err


async def test_an_endpoint_is_corrected_once(sim: SimulatedStripe, capsys: pytest.CaptureFixture[str]) -> None:
    """Types of events, and one that Stripe disabled; the second run finds nothing to change."""
    wanted = sorted(EVENT_TYPES - {"invoice.paid"})
    endpoint = await given(sim, enabled_events=[*wanted, "charge.captured"])
    await sim.api.v1.webhook_endpoints.update_async(endpoint.id, {"disabled": True})

    codes = [await run(sim) for _ in range(2)]

    (corrected,) = await endpoints(sim)
    assert codes == [DONE, DONE]
    assert (corrected.id, frozenset(corrected.enabled_events), corrected.status) == (
        endpoint.id,
        EVENT_TYPES,
        "enabled",
    )
    printed = capsys.readouterr()
    assert printed.out == ""
    assert f"corrected {endpoint.id}: + invoice.paid, - charge.captured, enabled\n" in printed.err
    assert f"{endpoint.id} is as it must be: nothing changed\n" in printed.err


async def test_check_compares_and_changes_nothing(sim: SimulatedStripe, capsys: pytest.CaptureFixture[str]) -> None:
    """Its exit code says if the endpoint is missing or differs."""
    missing = await run(sim, check=True)
    endpoint = await given(sim, enabled_events=["*"])
    differs = await run(sim, check=True)
    ours: Any = sorted(EVENT_TYPES)
    await sim.api.v1.webhook_endpoints.update_async(endpoint.id, {"enabled_events": ours})
    before = await writes(sim)
    agrees = await run(sim, check=True)

    assert (missing, differs, agrees) == (DIFFERS, DIFFERS, DONE)
    assert await writes(sim) == before
    printed = capsys.readouterr()
    assert printed.out == ""
    assert [line.split(":")[0] for line in printed.err.splitlines()] == [
        "missing",
        f"{endpoint.id} differs",
        f"{endpoint.id} is as it must be",
    ]


@pytest.mark.parametrize("api_version", ["2024-06-20", None])
async def test_an_endpoint_of_another_version_gets_a_successor(
    sim: SimulatedStripe, capsys: pytest.CaptureFixture[str], api_version: str | None
) -> None:
    """Stripe cannot change a version. The old one sends on until an operator deletes it, so that no event is lost."""
    params: Any = {"url": URL, "enabled_events": ["*"]} | ({"api_version": api_version} if api_version else {})
    old = await sim.api.v1.webhook_endpoints.create_async(params)

    code = await run(sim)

    *created, kept = await endpoints(sim)
    assert (code, [each.api_version for each in created]) == (DONE, [stripe.api_version])
    assert (kept.id, kept.enabled_events, kept.status) == (old.id, ["*"], "enabled")
    assert f"{old.id} sends to this URL, too" in capsys.readouterr().err


async def test_of_two_endpoints_the_better_one_is_kept(
    sim: SimulatedStripe, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither is deleted: the gateways may know the secret of either."""
    right = await given(sim)
    other = await given(sim, enabled_events=["*"])
    before = await writes(sim)

    code = await run(sim)

    assert (code, await writes(sim)) == (DONE, before)
    printed = capsys.readouterr().err
    assert f"{right.id} is as it must be: nothing changed\n" in printed
    assert f"{other.id} sends to this URL, too" in printed


async def test_a_disabled_endpoint_is_not_preferred_to_the_one_that_sends(
    sim: SimulatedStripe, capsys: pytest.CaptureFixture[str]
) -> None:
    """The gateways know the secret of the one that sends, and a second one does not begin to."""
    disabled = await given(sim)
    await sim.api.v1.webhook_endpoints.update_async(disabled.id, {"disabled": True})
    sending = await given(sim, enabled_events=["payment_intent.succeeded", "setup_intent.succeeded"])

    codes = [await run(sim, check=True), await run(sim)]

    found = {each.id: (each.status, len(each.enabled_events)) for each in await endpoints(sim)}
    assert codes == [DIFFERS, DONE]
    assert found == {sending.id: ("enabled", len(EVENT_TYPES)), disabled.id: ("disabled", len(EVENT_TYPES))}
    assert f"{disabled.id} has this URL, too, but is disabled" in capsys.readouterr().err


async def test_an_endpoint_for_connected_accounts_is_not_taken_for_ours(
    sim: SimulatedStripe, capsys: pytest.CaptureFixture[str]
) -> None:
    """It sends none of our account's events, and Stripe cannot change that."""
    others = await given(sim, connect=True)

    codes = [await run(sim, check=True), await run(sim)]

    found = await endpoints(sim)
    assert codes == [DIFFERS, DONE]
    assert [(each.url, each.application) for each in found] == [(URL, None), (URL, others.application)]
    assert f"{others.id} sends this URL the events of connected accounts" in capsys.readouterr().err


async def test_endpoints_of_other_urls_are_left_alone(sim: SimulatedStripe) -> None:
    """Another shop of the account has its own."""
    other = await given(sim, url="https://other.example/api/stripe/webhook", enabled_events=["charge.captured"])

    await run(sim)

    _, kept = await endpoints(sim)
    assert kept.to_dict() == {name: value for name, value in other.to_dict().items() if name != "secret"}


async def test_two_runs_at_once_create_one_endpoint(sim: SimulatedStripe, capsys: pytest.CaptureFixture[str]) -> None:
    """Both find none; both print the secret of the one that is created."""
    await sim.control("POST", "/faults", {"kind": "latency_before", "seconds": 0.2, "count": 2, **CREATE})

    codes = await asyncio.gather(run(sim), run(sim))

    secrets = capsys.readouterr().out.splitlines()
    assert set(codes) == {DONE}
    assert len(await endpoints(sim)) == 1
    assert (len(secrets), len(set(secrets))) == (2, 1)


async def test_a_deleted_endpoint_is_created_again(sim: SimulatedStripe, capsys: pytest.CaptureFixture[str]) -> None:
    """Although Stripe replays the deleted one for a day."""
    await run(sim)
    (deleted,) = await endpoints(sim)
    await sim.api.v1.webhook_endpoints.delete_async(deleted.id)

    code = await run(sim)

    created = await endpoints(sim)
    assert (code, [each.id == deleted.id for each in created]) == (DONE, [False])
    assert len(set(capsys.readouterr().out.splitlines())) == 2


async def test_a_created_endpoint_that_got_another_url_gets_a_successor(
    sim: SimulatedStripe, capsys: pytest.CaptureFixture[str]
) -> None:
    """Although Stripe replays its creation for a day: it sends elsewhere now."""
    await run(sim)
    (moved,) = await endpoints(sim)
    await sim.api.v1.webhook_endpoints.update_async(moved.id, {"url": "https://staging.example/api/stripe/webhook"})

    code = await run(sim)

    assert (code, [each.id == moved.id for each in await endpoints(sim) if each.url == URL]) == (DONE, [False])
    assert len(set(capsys.readouterr().out.splitlines())) == 2


async def test_a_create_whose_answer_is_lost_is_found_again(
    sim: SimulatedStripe, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stripe stored a failure for it: no second one is created, and the Dashboard has the secret."""
    await sim.control("POST", "/faults", {"kind": "error_after", **CREATE})

    code = await run(sim)

    assert (code, len(await endpoints(sim))) == (DONE, 1)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Stripe's Dashboard shows it" in printed.err


async def test_the_secret_is_printed_whatever_fails_after_the_creation(
    sim: SimulatedStripe, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stripe shows it this once."""
    await sim.control("POST", "/faults", {"kind": "error_before", "count": 9, "method": "GET", "path": READ})

    code = await run(sim)

    assert (code, len(await endpoints(sim))) == (DONE, 1)
    assert capsys.readouterr().out.startswith("whsec_")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("unauthorized", "Stripe refuses the key of GATEWAY_STRIPE_SECRET_KEY"),
        ("forbidden", "it needs the permission rak_webhook_write"),
        ("rate_limit", "Stripe is unavailable; run the command again"),
        ("cut_body_after", "Stripe is unavailable; run the command again"),
        ("foreign_json_after", "Stripe is unavailable; run the command again"),
    ],
)
async def test_a_failure_is_explained(
    sim: SimulatedStripe, capsys: pytest.CaptureFixture[str], fault: str, message: str
) -> None:
    """With an exit code of its own."""
    await sim.control("POST", "/faults", {"kind": fault, **CREATE})

    assert await run(sim) == FAILED
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err


async def test_stripes_reason_is_passed_on(sim: SimulatedStripe, capsys: pytest.CaptureFixture[str]) -> None:
    """An account has sixteen endpoints at most."""
    for number in range(16):
        await given(sim, url=f"https://shop{number}.example/")

    assert await run(sim) == FAILED
    assert "You have reached the maximum of 16" in capsys.readouterr().err


async def test_a_refusal_is_not_replayed_once_its_cause_is_gone(
    sim: SimulatedStripe, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stripe stores it under the key for a day: an operator who has made room need not wait for that."""
    others = [await given(sim, url=f"https://shop{number}.example/") for number in range(16)]
    refused = await run(sim)
    await sim.api.v1.webhook_endpoints.delete_async(others[0].id)

    code = await run(sim)

    assert (refused, code) == (FAILED, DONE)
    assert [each.url for each in await endpoints(sim)].count(URL) == 1
    assert capsys.readouterr().out.startswith("whsec_")


async def command(*arguments: str, **environment: str) -> tuple[int | None, str]:
    """Run a process with these variables alone; return its exit code and its messages."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "payments_gateway", "webhook-endpoint", "ensure", *arguments),
        env={"PATH": os.environ.get("PATH", os.defpath), **environment},
        stderr=asyncio.subprocess.PIPE,
    )
    _, messages = await process.communicate()
    return process.returncode, messages.decode()


async def test_wrong_arguments_and_settings_are_named() -> None:
    """Before Stripe is asked."""
    wrong_url, without_key = await asyncio.gather(
        command("--url", "shop.example", GATEWAY_STRIPE_SECRET_KEY="sk_test_1"), command("--url", URL)
    )

    assert (wrong_url[0], without_key[0]) == (2, 2)
    assert "must be an http(s) URL" in wrong_url[1]
    assert "GATEWAY_STRIPE_SECRET_KEY" in without_key[1]
