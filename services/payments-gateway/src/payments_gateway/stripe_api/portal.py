"""Sessions of the customer portal (https://docs.stripe.com/api/customer_portal/sessions/create)."""

from typing import TYPE_CHECKING

import stripe

from payments_gateway.domain.intents import CustomerMissing
from payments_gateway.stripe_api.calls import Rejection, is_missing, translate_errors, with_fresh_key
from payments_gateway.stripe_api.fields import read_url
from payments_gateway.subscriptions.portal import PortalNotConfigured

if TYPE_CHECKING:
    from stripe.params.billing_portal import SessionCreateParams


class StripePortalSessions:
    """`PortalSessionsPort` over Stripe's API."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._sessions = client.v1.billing_portal.sessions

    async def create(self, customer_id: str, return_url: str | None) -> str:
        """Create a session and return its URL."""
        params: SessionCreateParams = {"customer": customer_id}
        if return_url is not None:
            params["return_url"] = return_url
        return await with_fresh_key(lambda: self._create(params))

    async def _create(self, params: "SessionCreateParams") -> str:
        with translate_errors(_refused):
            return read_url((await self._sessions.create_async(params)).url)


def _refused(error: Rejection) -> Exception:
    """Return the reason. Without settings Stripe answers 400 with neither code nor parameter.

    Source: https://github.com/mozilla/fxa/issues/13245
    """
    return CustomerMissing() if is_missing(error) and error.param == "customer" else PortalNotConfigured()
