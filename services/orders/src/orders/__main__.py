"""The orders command: `orders serve` (the default) serves until SIGTERM, the others do one thing and exit."""

import asyncio
import sys
from collections.abc import Sequence

from orders.bootstrap import run
from orders.commands.erase import add_erase_arguments, run_erase, subject_from_arguments
from orders.commands.migrate import run_migrate
from orders.commands.reencrypt import run_reencrypt
from orders.settings import OrdersSettings
from servicekit.json_logging import configure_logging
from servicekit.settings import parser_for, read_settings


def main(argv: Sequence[str] | None = None) -> None:
    """Read the settings and run the command."""
    parser = parser_for(OrdersSettings)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("serve", help="serve gRPC until SIGTERM (the default)")
    commands.add_parser("migrate", help="migrate the database to this version's schema")
    erase = commands.add_parser("erase", help="erase the personal data of a user, or of one guest")
    add_erase_arguments(erase)
    commands.add_parser("reencrypt", help="encrypt quarantined content with the first of ORDERS_ENCRYPTION_KEYS")
    arguments = parser.parse_args(argv)
    settings = read_settings(OrdersSettings, print_only=arguments.print_settings)
    configure_logging("orders", settings.log_level)
    if arguments.command == "migrate":
        sys.exit(asyncio.run(run_migrate(settings)))
    elif arguments.command == "erase":
        subject = subject_from_arguments(erase, arguments)
        sys.exit(asyncio.run(run_erase(settings, subject, batch_size=arguments.batch, dry_run=arguments.dry_run)))
    elif arguments.command == "reencrypt":
        sys.exit(asyncio.run(run_reencrypt(settings)))
    else:
        asyncio.run(run(settings))


if __name__ == "__main__":
    main()
