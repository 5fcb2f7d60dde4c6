"""Login link of Stripe's customer portal, where whoever bought a subscription can end it, a guest too.

Source: https://docs.stripe.com/customer-management/activate-no-code-customer-portal
"""

from typing import Annotated

from fastapi import Depends, Request


def customer_portal_url(request: Request) -> str | None:
    """Return the link that the app was created with, if any."""
    url: str | None = request.app.state.customer_portal_url
    return url


async def _customer_portal_url(request: Request) -> str | None:
    """Return it without the thread in which FastAPI runs a dependency that is not async (ADR 51)."""
    return customer_portal_url(request)


CustomerPortalUrl = Annotated[str | None, Depends(_customer_portal_url)]
