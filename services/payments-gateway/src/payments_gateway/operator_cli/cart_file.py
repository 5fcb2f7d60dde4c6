"""Cart that an operator supplies for an order: the body of initiate-checkout, and the buyer's id."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from pydantic import Field, ValidationError

from payments_gateway.api.checkout_bodies import InitiateCheckoutBody, checkout_request_from_body
from payments_gateway.checkout.carts import price_cart
from payments_gateway.domain.attempts import CheckoutContext
from payments_gateway.domain.catalogue import CataloguePort
from payments_gateway.operator_cli.results import UsageFault

MAX_BYTES = 256 * 1024


class CartFile(InitiateCheckoutBody):
    """The cart and the buyer. Prices come from Stripe, as in every checkout (P6)."""

    user_id: str | None = Field(default=None, min_length=1, max_length=255)
    """Owner of the order; none for a guest."""


async def read_cart(path: Path, catalogue: CataloguePort, customer_id: str | None) -> CheckoutContext:
    """Read and price a cart. `customer_id` is the Stripe customer of the payment, which subscriptions bill.

    Raises UsageFault, InvalidRequest for a cart that cannot be sold, StripeUnavailable.
    """
    body = await asyncio.to_thread(_read_file, path)
    request = checkout_request_from_body(body)
    priced = price_cart(request.cart, await catalogue.read())
    if priced.has_subscriptions and customer_id is None:
        raise UsageFault("the payment has no Stripe customer, whom subscriptions could bill")
    return CheckoutContext(
        user_id=body.user_id,
        contact=request.contact,
        shipping_address=request.shipping_address,
        shipping_option=priced.shipping_option,
        items=priced.items,
        total=priced.total,
        pay_by=datetime.now(UTC),
        supersedes=None,
        stripe_customer_id=customer_id if priced.has_subscriptions else None,
    )


def _read_file(path: Path) -> CartFile:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise UsageFault("the cart has more than 256 KiB")
        return CartFile.model_validate_json(content)
    except OSError as error:
        raise UsageFault(f"the cart cannot be read: {error.strerror}") from None
    except ValidationError as error:
        # Places and rules only: the values are the buyer's (P7).
        places = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise UsageFault(f"the cart is not valid: {places}") from None
