"""The checkout-session command: serves until SIGTERM."""

import asyncio

from checkout_session.bootstrap import run
from checkout_session.settings import CheckoutSessionSettings
from servicekit.json_logging import configure_logging
from servicekit.settings import read_command


def main() -> None:
    """Read the settings and serve."""
    settings = read_command(CheckoutSessionSettings)
    configure_logging("checkout-session", settings.log_level)
    asyncio.run(run(settings))


if __name__ == "__main__":
    main()
