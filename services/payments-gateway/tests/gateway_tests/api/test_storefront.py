from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import aiohttp
import pytest
from yarl import URL

from payments_gateway.api.storefront import PAGES, storefront_routes

from ..assembly import Gateway
from ..http_edge import Answer, Edge, ask, get, post, served

STRIPE_JS: Final = "https://js.stripe.com/endive/stripe.js"
SIMULATOR_JS: Final = "http://127.0.0.1:12111/stripe.js"
FOREVER: Final = "public, max-age=31536000, immutable"
SCRIPT: Final = "console.log('shop');" * 100
FILES: Final = {
    "index.html": "<!doctype html><title>Shop</title>",
    "favicon.svg": "<svg/>",
    ".vite/manifest.json": "{}",
    ".env": "hush",
    "assets/index-BvXo3f_k.js": SCRIPT,
    "assets/index-C2m-QgH9.css": "body{}",
    "assets/logo.png": "png",
    "assets/.hidden": "hush",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a built storefront, with a secret beside it."""
    built = tmp_path / "dist"
    for name, text in FILES.items():
        (built / name).parent.mkdir(parents=True, exist_ok=True)
        (built / name).write_text(text)
    (tmp_path / "secret.txt").write_text("hush")
    (built / "assets" / "link.txt").symlink_to(tmp_path / "secret.txt")
    return built


@pytest.fixture
async def shop(gateway: Gateway, folder: Path) -> AsyncIterator[aiohttp.ClientSession]:
    """Give a client of a gateway that serves the storefront."""
    async with served(Edge(gateway, more_routes=[storefront_routes(folder, stripe_js_url=STRIPE_JS)])) as client:
        yield client


def directives(answer: Answer) -> dict[str, list[str]]:
    """Return the answer's content security policy."""
    policy = answer.headers.get("Content-Security-Policy", "default-src *")
    return {name: sources for name, *sources in (each.split() for each in policy.split(";"))}


@pytest.mark.parametrize("path", PAGES)
async def test_every_page_is_the_storefronts_index(shop: aiohttp.ClientSession, path: str) -> None:
    """With its type; the storefront's own router shows the page."""
    answer = await get(shop, f"{path}?checkout=1")

    assert (answer.status, answer.text) == (200, FILES["index.html"])
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize("path", ["/assets/index-BvXo3f_k.js", "/assets/index-C2m-QgH9.css"])
async def test_a_file_named_by_its_content_is_cached_for_ever(shop: aiohttp.ClientSession, path: str) -> None:
    """Its name changes with its content."""
    assert (await get(shop, path)).headers["Cache-Control"] == FOREVER


@pytest.mark.parametrize("path", ["/favicon.svg", "/assets/logo.png"])
async def test_another_file_is_cached_for_minutes(shop: aiohttp.ClientSession, path: str) -> None:
    """Its name stays when its content changes."""
    assert (await get(shop, path)).headers["Cache-Control"] == "public, max-age=300"


async def test_a_new_version_of_the_storefront_is_seen_at_once(shop: aiohttp.ClientSession, folder: Path) -> None:
    """The browser asks for each page again, and gets it only if it has changed."""
    first = await get(shop, "/checkout")
    same = await get(shop, "/checkout", If_None_Match=first.headers["ETag"])
    (folder / "index.html").write_text("<!doctype html><title>New shop</title>")
    changed = await get(shop, "/checkout", If_None_Match=first.headers["ETag"])

    assert first.headers["Cache-Control"] == same.headers["Cache-Control"] == "no-cache"
    assert (same.status, same.text) == (304, "")
    assert (changed.status, changed.text) == (200, "<!doctype html><title>New shop</title>")


async def test_text_is_compressed_and_the_api_is_not(shop: aiohttp.ClientSession) -> None:
    """A compressed answer that has a secret beside chosen text tells the secret by its length."""
    script = await get(shop, "/assets/index-BvXo3f_k.js", Accept_Encoding="gzip")
    plain = await get(shop, "/assets/index-BvXo3f_k.js", Accept_Encoding="identity")
    catalogue = await get(shop, "/api/catalog", Accept_Encoding="gzip")
    known = await get(shop, "/assets/index-BvXo3f_k.js", If_None_Match=plain.headers["ETag"])

    assert (script.headers["Content-Encoding"], script.text) == ("gzip", SCRIPT)
    assert all("Accept-Encoding" in each.headers["Vary"] for each in (script, plain, known))
    assert known.status == 304
    assert ("Content-Encoding" in plain.headers, plain.text) == (False, SCRIPT)
    assert len(catalogue.text) > 500
    assert "Content-Encoding" not in catalogue.headers


async def test_head_tells_what_get_would(shop: aiohttp.ClientSession) -> None:
    """Without the body."""
    answer = await ask(shop, "HEAD", "/checkout")

    assert (answer.status, answer.text) == (200, "")
    assert answer.headers["Content-Length"] == str(len(FILES["index.html"]))


@pytest.mark.parametrize(
    "path",
    [
        "/assets/../../secret.txt",
        "/assets/..%2f..%2fsecret.txt",
        "/assets/%2e%2e/%2e%2e/secret.txt",
        "/assets/..%5c..%5csecret.txt",
        "/assets//etc/passwd",
        "/assets/%2fetc/passwd",
        "/assets/link.txt",
        "/assets/../.env",
        "/assets/%2e%2e/.vite/manifest.json",
        "/assets/%2e%2e/index.html",
        "/assets/.hidden",
        "/assets/%00",
        "/assets/" + "x" * 5000,
        "/assets/",
        "/assets",
        "/../secret.txt",
        "/.vite/manifest.json",
        "/.env",
        "/checkout/",
        "/nowhere",
        "/api",
        "/api/nowhere",
    ],
)
async def test_nothing_else_is_served(shop: aiohttp.ClientSession, path: str) -> None:
    """Above all no file beside the storefront; a problem, as without a storefront."""
    async with shop.get("/") as index:
        origin = index.url.origin()
    async with shop.get(URL(f"{origin}{path}", encoded=True)) as response:
        answer = Answer(response.status, response.headers, await response.text())

    assert (answer.status, answer.kind) == (404, "no_such_route")


async def test_the_api_is_not_hidden(shop: aiohttp.ClientSession) -> None:
    """GET /orders is a page, GET /api/orders the API; a page takes no other method."""
    orders, catalogue = await get(shop, "/api/orders"), await get(shop, "/api/catalog")
    posted = await post(shop, "/orders", {})

    assert (orders.status, orders.kind, catalogue.status) == (401, "unauthenticated", 200)
    assert (posted.status, posted.kind, posted.headers["Allow"]) == (405, "method_not_allowed", "GET, HEAD")


async def test_without_a_storefront_there_is_no_page(http: aiohttp.ClientSession) -> None:
    """A shop may have a frontend elsewhere."""
    answer = await get(http, "/")

    assert (answer.status, answer.kind) == (404, "no_such_route")


async def test_a_page_loads_scripts_of_itself_and_stripe_only(shop: aiohttp.ClientSession) -> None:
    """Nothing inline; nobody frames it; its address, which may name a checkout, goes to no other site."""
    answer = await get(shop, "/order-confirmation")

    policy = directives(answer)
    assert policy == {
        "default-src": ["'none'"],
        "script-src": ["'self'", "https://js.stripe.com", "https://*.js.stripe.com"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:", "https:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'", "https://api.stripe.com", "https://link.com", "https://*.link.com"],
        "frame-src": [
            "https://js.stripe.com",
            "https://*.js.stripe.com",
            "https://hooks.stripe.com",
            "https://link.com",
            "https://*.link.com",
        ],
        "manifest-src": ["'self'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
    assert answer.headers["Referrer-Policy"] == "strict-origin"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Permissions-Policy"].startswith(
        'payment=(self "https://js.stripe.com" "https://*.js.stripe.com"),'
    )


async def test_another_stripe_js_is_allowed_in_stripes_place(gateway: Gateway, folder: Path) -> None:
    """The simulator's; nothing of Stripe is then."""
    async with served(Edge(gateway, more_routes=[storefront_routes(folder, stripe_js_url=SIMULATOR_JS)])) as shop:
        answer = await get(shop, "/")

    policy = directives(answer)
    assert policy["script-src"] == policy["connect-src"] == ["'self'", "http://127.0.0.1:12111"]
    assert policy["frame-src"] == ["http://127.0.0.1:12111"]
    assert "stripe.com" not in str(answer.headers)
