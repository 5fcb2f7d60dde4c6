"""Web vitals of a page, measured by the browser itself on a slowed processor."""

from dataclasses import dataclass
from statistics import median
from typing import Final, Self

from playwright.async_api import Page

SLOWDOWN: Final = 4
_OBSERVE: Final = """(() => {
    const vitals = (globalThis.vitals = { lcp: 0, cls: 0, inp: 0, slowest: "", shifts: [] });
    const observe = (type, take, more) =>
        new PerformanceObserver((list) => list.getEntries().forEach(take)).observe({ type, buffered: true, ...more });
    observe("largest-contentful-paint", (entry) => { vitals.lcp = entry.startTime; });
    observe("layout-shift", (entry) => {
        if (entry.hadRecentInput) return;
        vitals.cls += entry.value;
        const moved = entry.sources.map(({ node }) => (node instanceof Element ? node : node?.parentElement));
        vitals.shifts.push(...moved.map((node) => `${entry.value.toFixed(3)} ${node?.outerHTML.slice(0, 70)}`));
    });
    observe("event", (entry) => {
        if (!entry.interactionId || entry.duration <= vitals.inp) return;
        vitals.inp = entry.duration;
        const parts = [entry.processingStart - entry.startTime, entry.processingEnd - entry.processingStart];
        vitals.slowest = `${entry.name} ${parts.map(Math.round)} ${entry.target?.outerHTML?.slice(0, 70)}`;
    }, { durationThreshold: 16 });
})();"""
_SETTLED: Final = """async () => {
    const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    await frame();
    await frame();
    return globalThis.vitals;
}"""


@dataclass(frozen=True)
class Vitals:
    """One page's vitals."""

    lcp_ms: float
    """Largest contentful paint since the navigation."""
    cls: float
    """Sum of all layout shifts that no input explains; the official one takes the worst five seconds."""
    inp_ms: float
    """Longest interaction; 0 where none took 16 ms."""
    slowest: str = ""
    """Longest interaction: milliseconds of waiting and of the page's own work, and the target."""
    shifts: tuple[str, ...] = ()
    """Elements that moved."""

    @classmethod
    def usual(cls, visits: list[Self], *, best: int) -> Self:
        """Return the median of the best figures: what else the machine does can only make them worse."""
        return cls(
            median(sorted(visit.lcp_ms for visit in visits)[:best]),
            median(sorted(visit.cls for visit in visits)[:best]),
            median(sorted(visit.inp_ms for visit in visits)[:best]),
        )


async def observe(page: Page) -> None:
    """Slow the page's processor and observe each document that it loads from now on."""
    await page.add_init_script(_OBSERVE)
    devtools = await page.context.new_cdp_session(page)
    await devtools.send("Emulation.setCPUThrottlingRate", {"rate": SLOWDOWN})


async def vitals_of(page: Page) -> Vitals:
    """Return the vitals of the document until now."""
    read = await page.evaluate(_SETTLED)
    return Vitals(read["lcp"], read["cls"], read["inp"], read["slowest"], tuple(read["shifts"]))
