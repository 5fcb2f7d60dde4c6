"""Debian's Chromium, driven by Playwright."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import pytest
from playwright.async_api import Browser, async_playwright

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
_REQUIRED: Final = os.environ.get("HOLDFAST_REQUIRE_CHROMIUM") == "1"


def executable() -> str:
    """Return Chromium's path. Without one, skip the test, or fail it where a Chromium is required."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None and _REQUIRED:
        pytest.fail(f"HOLDFAST_REQUIRE_CHROMIUM=1, but none of {', '.join(_NAMES)} is installed", pytrace=False)
    if found is None:
        pytest.skip(f"tests in a browser need one of {', '.join(_NAMES)}")
    return found


@asynccontextmanager
async def running_chromium() -> AsyncIterator[Browser]:
    """Run a Chromium without a window."""
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable(), args=sandbox)
        yield browser
        await browser.close()
