"""The shop's pages."""

import pytest

from .harness.storefront import COFFEE, MUG, Storefront

pytestmark = pytest.mark.quick


async def test_the_catalogue_shows_what_is_on_sale(shop: Storefront) -> None:
    """Each product is shown with its price, and a subscription with its interval."""
    await shop.sees(MUG, r"\$18\.00", COFFEE, r"\$14\.00")
