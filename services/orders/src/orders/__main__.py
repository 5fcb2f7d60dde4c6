"""The orders command: `orders serve` (the default) serves until SIGTERM, the others do one thing and end."""

import asyncio
import sys
from collections.abc import Sequence

from orders.bootstrap import run
from orders.commands.erase import describe_erase, read_subject, run_erase
from orders.commands.reencrypt import run_reseal
from orders.postgres.migrate import head_revision, upgrade
from orders.settings import OrdersSettings
from servicekit.json_logging import configure_logging
from servicekit.settings import parser_for, read_settings


def main(argv: Sequence[str] | None = None) -> None:
    """Read the settings and do what the command says."""
    parser = parser_for(OrdersSettings)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("serve", help="answer calls until SIGTERM (the default)")
    commands.add_parser("migrate", help="bring the database to this version's schema")
    erase = commands.add_parser("erase", help="erase who bought: a user's records, or those of one guest")
    describe_erase(erase)
    commands.add_parser("reseal", help="encrypt quarantined content with the first of ORDERS_ENCRYPTION_KEYS")
    arguments = parser.parse_args(argv)
    settings = read_settings(OrdersSettings, print_only=arguments.print_settings)
    configure_logging("orders", settings.log_level)
    if arguments.command == "migrate":
        asyncio.run(_migrate(settings))
    elif arguments.command == "erase":
        subject = read_subject(erase, arguments)
        sys.exit(asyncio.run(run_erase(settings, subject, batch_size=arguments.batch, dry_run=arguments.dry_run)))
    elif arguments.command == "reseal":
        sys.exit(asyncio.run(run_reseal(settings)))
    else:
        asyncio.run(run(settings))


async def _migrate(settings: OrdersSettings) -> None:
    await upgrade(settings.database_url.get_secret_value(), head_revision())


if __name__ == "__main__":
    main()
