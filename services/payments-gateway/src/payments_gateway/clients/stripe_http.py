"""How Stripe's library reaches Stripe: over aiohttp, with every network failure told as one."""

from collections.abc import Mapping
from typing import Any

import aiohttp
import stripe


class StripeHttp(stripe.AIOHTTPClient):
    """The library's aiohttp client, which lets failures while the body arrives through as they are, unretried."""

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """Send a request and read its answer whole. Raises stripe.APIConnectionError, which the library retries."""
        content, status, answered = await self.request_stream_async(method, url, headers, post_data=post_data)
        try:
            return await content.read(), status, answered
        except (aiohttp.ClientError, TimeoutError, OSError) as cut:
            self._handle_request_error(cut)
