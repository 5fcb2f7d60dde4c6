"""Print the OpenAPI document: `python -m payments_gateway.print_openapi`. It needs no settings and asks nobody."""

import asyncio
import json
import logging
import sys

from pydantic import SecretStr

from payments_gateway.bootstrap.gateway import gateway
from payments_gateway.settings.gateway import GatewaySettings

_NOWHERE = "127.0.0.1:1"


async def _document() -> dict[str, object]:
    settings = GatewaySettings(
        environment="development",
        checkout_session_target=_NOWHERE,
        orders_target=_NOWHERE,
        stripe_api_base=f"http://{_NOWHERE}",
        stripe_secret_key=SecretStr("sk_test_none"),
        stripe_publishable_key="pk_test_none",
        attempt_id_secrets=(SecretStr("x" * 32),),
    )
    async with gateway(settings) as built:
        return built.app.openapi()


if __name__ == "__main__":
    logging.disable()
    json.dump(asyncio.run(_document()), sys.stdout, indent=2)
    sys.stdout.write("\n")
