"""docs/privacy.md agrees with the settings, the columns and the command."""

import argparse
import io
import re
from datetime import timedelta
from pathlib import Path

import pytest

from checkout_session.redis_backend.attempt_store import Retention
from checkout_session.settings import CheckoutSessionSettings
from orders.commands.erase import add_erase_arguments, subject_from_arguments
from orders.postgres.table_base import PERSONAL_COLUMNS
from payments_gateway.settings.gateway import GatewaySettings

PRIVACY = (Path(__file__).parent.parent.parent / "docs" / "privacy.md").read_text()
SECONDS = CheckoutSessionSettings.model_fields["attempt_ttl_seconds"]
FIGURES = {
    "`CHECKOUT_SESSION_ATTEMPT_TTL_SECONDS` (35 days)": (timedelta(seconds=SECONDS.default), timedelta(days=35)),
    "never under 35 days": (Retention(attempt_ttl=timedelta(days=1)).marker_ttl, timedelta(days=35)),
    "`GATEWAY_PAY_BY_HOURS` (24 hours)": (
        timedelta(hours=GatewaySettings.model_fields["pay_by_hours"].default),
        timedelta(hours=24),
    ),
}


@pytest.mark.parametrize("figure", FIGURES)
def test_retention_figures_are_the_defaults(figure: str) -> None:
    """A number in the document is the number in the code."""
    in_code, in_document = FIGURES[figure]

    assert figure in PRIVACY
    assert in_code == in_document


@pytest.mark.parametrize("command", re.findall(r"orders erase (.+?)(?: +#.*)?$", PRIVACY, re.MULTILINE))
def test_its_commands_are_accepted(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """Each names a subject (else the parser exits); the order number has its check character."""
    monkeypatch.setattr("sys.stdin", io.StringIO("user-42\n"))
    parser = argparse.ArgumentParser()
    add_erase_arguments(parser)

    subject_from_arguments(parser, parser.parse_args(command.split()))


def test_it_lists_every_column_that_is_emptied() -> None:
    """The columns of an order with personal data."""
    emptied = re.findall(r"`([a-z_0-9]+)`", PRIVACY.partition("Of `orders` it empties")[2].partition("; of `pay")[0])

    assert emptied == list(PERSONAL_COLUMNS)
