"""axe on a page as it is, in light and dark, on a desktop and a phone."""

from typing import Any, Final, Literal

from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped] # it ships no types
from playwright.async_api import Page, ViewportSize

DESKTOP: Final[ViewportSize] = {"width": 1280, "height": 800}
PHONE: Final[ViewportSize] = {"width": 390, "height": 844}
_SCHEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")
_RULES: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_SETTLED: Final = """async () => {
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    const finite = document.getAnimations().filter((each) => each.effect.getTiming().iterations !== Infinity);
    await Promise.allSettled(finite.map((each) => each.finished));
}"""


async def violations(page: Page) -> list[str]:
    """Return what axe finds, each with the place and the way of showing it."""
    found = []
    for size, viewport in (("desktop", DESKTOP), ("phone", PHONE)):
        await page.set_viewport_size(viewport)
        for scheme in _SCHEMES:
            await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            # Colours on their way to another scheme are those of neither.
            await page.evaluate(_SETTLED)
            found += [f"{size}, {scheme}: {each}" for each in await _run(page)]
    return found


async def _run(page: Page) -> list[str]:
    options = {"runOnly": _RULES, "resultTypes": ["violations"]}
    results = await Axe().run(page, options=options)
    found: list[dict[str, Any]] = results.response["violations"]
    return [
        f"{rule['id']}: {node['target']} {node['failureSummary']} {node['html'][:200]}"
        for rule in found
        for node in rule["nodes"]
    ]
