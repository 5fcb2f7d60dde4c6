"""The orders command: `orders serve` (the default) serves until SIGTERM, `orders migrate` updates the schema."""

import asyncio
from collections.abc import Sequence

from orders.bootstrap import run
from orders.schema_revision import head_revision, upgrade
from orders.settings import OrdersSettings
from servicekit.json_logging import configure_logging
from servicekit.settings import parser_for, read_settings


def main(argv: Sequence[str] | None = None) -> None:
    """Read the settings and do what the command says."""
    parser = parser_for(OrdersSettings)
    parser.add_argument(
        "command",
        nargs="?",
        choices=("serve", "migrate"),
        default="serve",
        help="serve: answer calls until SIGTERM (the default); migrate: bring the database to this version's schema",
    )
    arguments = parser.parse_args(argv)
    settings = read_settings(OrdersSettings, print_only=arguments.print_settings)
    configure_logging("orders", settings.log_level)
    asyncio.run(_migrate(settings) if arguments.command == "migrate" else run(settings))


async def _migrate(settings: OrdersSettings) -> None:
    await upgrade(settings.database_url.get_secret_value(), head_revision())


if __name__ == "__main__":
    main()
