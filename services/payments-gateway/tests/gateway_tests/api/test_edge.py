import asyncio
import json
import logging
import re
from collections.abc import Iterator

import aiohttp
import pytest

from payments_gateway.domain.stripe_errors import StripeKeyRefused
from servicekit.json_logging import JsonFormatter

from ..assembly import Gateway
from ..http_edge import INITIATE, SHOP_ORIGIN, WEBHOOK, Answer, Edge, ask, get, post, post_raw, served
from ..samples import ATTEMPT_ID, checkout_json

MADE = re.compile(r"[0-9a-f]{32}")


@pytest.fixture
def log_lines() -> Iterator[list[str]]:
    """Give the lines that are logged, as the process would write them."""

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    lines: list[str] = []
    handler = Lines()
    handler.setFormatter(JsonFormatter("payments-gateway"))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield lines
    root.removeHandler(handler)
    root.setLevel(level)


async def failing_answers(http: aiohttp.ClientSession, gateway: Gateway, **headers: str) -> list[Answer]:
    """Return one answer of each kind of failure."""
    guests = [
        await post(http, INITIATE, {}, **headers),
        await post_raw(http, INITIATE, b"{", **headers),
        await post_raw(http, INITIATE, b" " * 300_000, **headers),
        await post_raw(http, WEBHOOK, b"{}", **headers),
        await ask(http, "POST", INITIATE, body=b"x", headers={"Content-Type": "text/plain", **headers}),
        await get(http, "/api/orders", **headers),
        await get(http, f"/api/checkout/{ATTEMPT_ID}", **headers),
        await get(http, "/api/nothing", **headers),
        await ask(http, "DELETE", "/api/catalog", headers=headers),
    ]
    gateway.wire.fail("intents.create", ZeroDivisionError())
    guests.append(await post(http, INITIATE, checkout_json(), **headers))
    gateway.clock.advance(7201)
    guests.append(await get(http, "/api/catalog", **headers))
    return guests


STATUSES = [422, 400, 413, 403, 415, 401, 404, 404, 405, 500, 503]


async def test_every_failure_is_a_problem_with_the_requests_id(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """The id names the failure in the logs."""
    answers = await failing_answers(http, gateway)

    assert [answer.status for answer in answers] == STATUSES
    for answer in answers:
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json["status"] == answer.status
        assert answer.json["type"].startswith("urn:holdfast:problem:")
        assert answer.json["requestId"] == answer.headers["X-Request-Id"]
        assert MADE.fullmatch(answer.json["requestId"])
    assert len({answer.json["requestId"] for answer in answers}) == len(answers)


async def test_a_clients_request_id_is_kept(http: aiohttp.ClientSession) -> None:
    """An ingress may have set it."""
    answer = await get(http, "/api/nothing", X_Request_Id="edge-1.a_b")

    assert answer.headers["X-Request-Id"] == answer.json["requestId"] == "edge-1.a_b"


@pytest.mark.parametrize("offered", ["", "x" * 65, "a b", "a;b", '"', "\xe9"])
async def test_a_request_id_that_could_do_harm_in_a_log_is_replaced(http: aiohttp.ClientSession, offered: str) -> None:
    """By a generated one."""
    answer = await get(http, "/api/nothing", X_Request_Id=offered)

    assert MADE.fullmatch(answer.headers["X-Request-Id"])


@pytest.mark.parametrize("path", ["/livez", "/nowhere", "/api/orders", "/api/config"])
async def test_p7_no_cache_keeps_an_answer(http: aiohttp.ClientSession, path: str) -> None:
    """Unless the route allows it; and no browser guesses the media type."""
    answer = await ask(http, "GET", path)

    told = {name: answer.headers.get(name) for name in ("Cache-Control", "X-Content-Type-Options")}
    assert told == {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", INITIATE, "POST"),
        ("GET", WEBHOOK, "POST"),
        ("DELETE", "/api/config", "GET"),
        ("POST", "/api/config", "GET"),
        ("PUT", "/api/orders", "GET, POST"),
        ("PATCH", f"/api/checkout/{ATTEMPT_ID}", "GET"),
    ],
)
async def test_another_method_is_a_problem(http: aiohttp.ClientSession, method: str, path: str, allowed: str) -> None:
    """405 whatever the body, with every method that the path has."""
    answer = await ask(http, method, path, body=b"x")

    assert (answer.status, answer.kind) == (405, "method_not_allowed")
    assert answer.headers["Allow"] == allowed


async def test_a_path_without_a_route_is_a_problem_for_every_method(http: aiohttp.ClientSession) -> None:
    """404 whatever the body."""
    answer = await ask(http, "POST", "/api/nothing", body=b"x")

    assert (answer.status, answer.kind) == (404, "no_such_route")


async def test_the_shops_own_pages_may_read_every_answer(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """Failures too, so that the page can show them."""
    good = await post(http, INITIATE, checkout_json(), Origin=SHOP_ORIGIN)
    answers = [good, *await failing_answers(http, gateway, Origin=SHOP_ORIGIN)]

    assert [answer.status for answer in answers] == [200, *STATUSES]
    for answer in answers:
        assert answer.headers["Access-Control-Allow-Origin"] == SHOP_ORIGIN
        assert "X-Request-Id" in answer.headers["Access-Control-Expose-Headers"]
        assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize(
    "origin", ["https://evil.example", SHOP_ORIGIN + ".evil.example", "http://shop.example", "null"]
)
async def test_other_pages_may_not(http: aiohttp.ClientSession, origin: str) -> None:
    """Other origins than those of the setting."""
    answer = await get(http, "/api/catalog", Origin=origin)
    preflight = await ask(
        http, "OPTIONS", INITIATE, headers={"Origin": origin, "Access-Control-Request-Method": "POST"}
    )

    assert "Access-Control-Allow-Origin" not in answer.headers
    assert "Access-Control-Allow-Origin" not in preflight.headers
    assert preflight.status == 400


async def test_the_shops_own_pages_may_ask_first(http: aiohttp.ClientSession) -> None:
    """A preflight for the storefront's headers succeeds."""
    preflight = await ask(
        http,
        "OPTIONS",
        INITIATE,
        headers={
            "Origin": SHOP_ORIGIN,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type,idempotency-key,x-request-id",
        },
    )

    assert preflight.status == 200
    assert preflight.headers["Access-Control-Allow-Origin"] == SHOP_ORIGIN
    assert preflight.headers["Access-Control-Max-Age"] == "600"


async def test_a_request_that_takes_too_long_is_answered(gateway: Gateway) -> None:
    """503 at the deadline; the next request is served."""
    gateway.wire.meanwhile("attempts.save", asyncio.Event().wait)

    async with served(Edge(gateway, deadline_seconds=1.0)) as http:
        late = await post(http, INITIATE, checkout_json())
        soon = await post(http, INITIATE, checkout_json())

    assert (late.status, late.kind, late.headers["Retry-After"]) == (503, "temporarily_unavailable", "2")
    assert late.json["requestId"] == late.headers["X-Request-Id"]
    assert soon.status == 200


async def test_a_request_that_outlasts_the_drain_is_answered(gateway: Gateway) -> None:
    """The server cancels it: 503 and Retry-After, so that the client repeats it at another gateway."""
    held = asyncio.Event()

    async def hold() -> None:
        held.set()
        await asyncio.Event().wait()

    gateway.wire.meanwhile("attempts.save", hold)
    async with served(Edge(gateway)) as http:
        asking = asyncio.create_task(post(http, INITIATE, checkout_json()))
        await held.wait()
        (request,) = [task for task in asyncio.all_tasks() if "run_asgi" in repr(task)]
        request.cancel()
        cut = await asking

    assert cut.headers.get("Retry-After") == "2"
    assert (cut.status, cut.kind) == (503, "temporarily_unavailable")
    assert cut.json["requestId"] == cut.headers["X-Request-Id"]


async def test_p7_an_unexpected_error_shows_no_detail(
    http: aiohttp.ClientSession, gateway: Gateway, log_lines: list[str]
) -> None:
    """500 with a request id; the log has the place of the error, not its message."""
    gateway.wire.fail("attempts.save", ValueError("ada@example.com has pi_1_secret_hush"))

    answer = await post(http, INITIATE, checkout_json())

    assert (answer.status, answer.kind) == (500, "internal")
    assert set(answer.json) == {"type", "title", "status", "requestId"}
    [told] = [json.loads(line) for line in log_lines if "unexpected failure" in line]
    assert told["request_id"] == answer.json["requestId"]
    assert told["exception"][0]["type"] == "ValueError"
    assert "ada@example.com" not in json.dumps(log_lines)


async def test_an_access_log_line_has_route_status_and_time(http: aiohttp.ClientSession, log_lines: list[str]) -> None:
    """By the route's template, since real paths hold attempt ids; it inherits nothing of the request before."""
    answer = await get(http, f"/api/checkout/{ATTEMPT_ID}?x=1")
    await get(http, "/somebody@example.com")

    line, other = [json.loads(line) for line in log_lines if '"logger": "access"' in line]
    assert (other["message"], "attempt" in other) == ("GET unmatched", False)
    assert line["message"] == "GET /api/checkout/{checkout_attempt_id}"
    assert (line["status"], line["attempt"]) == (404, ATTEMPT_ID[:8])
    assert line["request_id"] == answer.headers["X-Request-Id"]
    assert line["ms"] > 0


async def test_metrics_know_routes_by_their_templates(http: aiohttp.ClientSession) -> None:
    """Else every attempt id would be a time series."""
    await get(http, f"/api/checkout/{ATTEMPT_ID}")
    await ask(http, "PROPFIND", "/api/config")

    metrics = (await get(http, "/metrics")).text

    assert (
        'holdfast_http_requests_total{method="GET",route="/api/checkout/{checkout_attempt_id}",status="404"}' in metrics
    )
    assert 'method="other"' in metrics
    assert ATTEMPT_ID not in metrics


async def test_metrics_count_the_requests_in_flight(http: aiohttp.ClientSession) -> None:
    """An autoscaler adds gateways by them. The request for the metrics is one itself."""
    metrics = (await get(http, "/metrics")).text

    assert "holdfast_http_requests_in_flight 1.0" in metrics


async def test_readiness_needs_current_prices(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """Liveness asks for nothing; readiness names the reason, and old prices keep the gateway in service."""
    gateway.source.failure = StripeKeyRefused()
    gateway.clock.advance(10)
    await gateway.catalogue._cache.refresh()
    old_prices = await get(http, "/readyz")
    gateway.clock.advance(7201)
    alive, no_prices = await get(http, "/livez"), await get(http, "/readyz")
    gateway.source.failure = None
    await gateway.catalogue._cache.refresh()
    again = await get(http, "/readyz")

    assert (old_prices.status, alive.status, no_prices.status, again.status) == (200, 200, 503, 200)
    assert no_prices.json == {"status": "not_ready", "reason": "Stripe refuses our secret key"}


async def test_the_api_is_described_with_examples(http: aiohttp.ClientSession) -> None:
    """Every public route, with summary, failures and examples."""
    document = (await get(http, "/openapi.json")).json

    operations = {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert set(operations) == {
        "POST /api/stripe/initiate-checkout",
        "POST /api/stripe/webhook",
        "POST /api/orders",
        "GET /api/orders",
        "GET /api/orders/{order_id}",
        "GET /api/checkout/{checkout_attempt_id}",
        "GET /api/catalog",
        "GET /api/config",
        "GET /api/subscriptions",
        "GET /api/subscriptions/{subscription_id}",
        "POST /api/subscriptions/{subscription_id}/cancel",
        "POST /api/subscriptions/{subscription_id}/portal",
    }
    schemas = document["components"]["schemas"]
    assert all(operation["summary"] and operation["description"] for operation in operations.values())
    assert {"401", "409", "422", "503"} <= set(operations["POST /api/stripe/initiate-checkout"]["responses"])
    assert schemas["ItemBody"]["properties"]["quantity"]["examples"] == [2]
    assert schemas["ItemBody"]["additionalProperties"] is False


async def test_the_api_says_who_must_sign_in(http: aiohttp.ClientSession) -> None:
    """A guest gets 401 where a token is required, and nowhere else."""
    paths = (await get(http, "/openapi.json")).json["paths"]

    answers = {
        (method, path): await ask(http, method.upper(), path.replace("{", "").replace("}", ""))
        for path, methods in paths.items()
        for method in methods
        if method == "get"
    }
    required = {(method, path) for method, path in answers if paths[path][method].get("security") == [{"bearer": []}]}
    assert required == {place for place, answer in answers.items() if answer.status == 401}
    assert len(required) == 4


async def test_every_failure_is_described_as_a_problem(http: aiohttp.ClientSession) -> None:
    """In place of FastAPI's own shapes; each operation with a body describes the failures of bodies."""
    document = (await get(http, "/openapi.json")).json

    operations = [operation for methods in document["paths"].values() for operation in methods.items()]
    refusals = [
        answer["content"] for _, each in operations for status, answer in each["responses"].items() if status >= "400"
    ]
    assert {media_type for content in refusals for media_type in content} == {"application/problem+json"}
    assert all(content["application/problem+json"]["schema"]["$ref"].endswith("/ProblemBody") for content in refusals)
    assert all({"400", "413", "415"} <= set(each["responses"]) for method, each in operations if method == "post")
    assert not {"HTTPValidationError", "ValidationError"} & set(document["components"]["schemas"])
    assert "202" in document["paths"]["/api/orders"]["post"]["responses"]


async def test_the_examples_are_taken(http: aiohttp.ClientSession) -> None:
    """The gateway accepts the examples of the document, with a price of the shop."""
    schemas = (await get(http, "/openapi.json")).json["components"]["schemas"]

    def example(name: str) -> dict[str, object]:
        properties = schemas[name]["properties"]
        return {field: shown["examples"][0] for field, shown in properties.items() if "examples" in shown}

    item = {**example("ItemBody"), "priceId": "price_mug"}
    body = {"items": [item], "contact": example("ContactBody"), "shippingAddress": example("AddressBody")}
    answer = await post(http, INITIATE, body)

    assert (answer.status, answer.json["intentAmount"]) == (200, 2500)
