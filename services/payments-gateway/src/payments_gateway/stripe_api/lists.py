"""Long lists at Stripe, read as plain JSON.

The library turns every object of a page, and every object in it, into instances of its own. For a hundred events that
takes longer than the whole request, and keeps the event loop from everything else meanwhile.
"""

from collections.abc import Mapping
from typing import Any

import stripe


async def read_page(client: stripe.StripeClient, path: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return one page, newest objects first. Raises the library's errors, and ValueError for anything but a list."""
    response = await client.raw_request_async("get", path, **params)
    page: Any = response.data
    if not isinstance(page, dict) or not isinstance(page.get("data"), list):
        raise ValueError("not a list")  # noqa: TRY004 — one of UNREADABLE
    return page
