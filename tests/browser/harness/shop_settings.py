"""Settings of a gateway that serves the shop."""

from typing import Final

from tests.e2e.timeouts import USUAL

from . import built_shop

GATEWAY: Final = {
    **USUAL,
    "STOREFRONT_DIR": str(built_shop.FOLDER),
    "DEMO_SIGN_IN": "true",
    "CATALOGUE_PAUSE_SECONDS": "0",
}
