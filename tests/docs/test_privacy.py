"""What docs/privacy.md says is so."""

import argparse
import io
import re
from datetime import timedelta
from pathlib import Path

import pytest

from checkout_session.redis_backend.attempt_store import Retention
from checkout_session.settings import CheckoutSessionSettings
from orders.commands.erase import describe_erase, read_subject
from orders.postgres.tables import PERSONAL_IN_ORDER
from orders.usecases.erasure import OfAttempt, OfOrder, OfUser
from payments_gateway.settings import GatewaySettings

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


@pytest.mark.parametrize("said", FIGURES)
def test_every_retention_figure_is_the_settings_default(said: str) -> None:
    """A number in the document is the number in the code."""
    found, told = FIGURES[said]

    assert said in PRIVACY
    assert found == told


def test_every_variable_it_names_is_a_setting() -> None:
    """Of one of the services."""
    named = set(re.findall(r"`((?:CHECKOUT_SESSION|GATEWAY|ORDERS)_[A-Z_]+)`", PRIVACY))
    known = {f"CHECKOUT_SESSION_{name.upper()}" for name in CheckoutSessionSettings.model_fields}
    known |= {f"GATEWAY_{name.upper()}" for name in GatewaySettings.model_fields} | {"ORDERS_ENCRYPTION_KEYS"}

    assert named
    assert named <= known


@pytest.mark.parametrize("command", re.findall(r"orders erase (.+?)(?: +#.*)?$", PRIVACY, re.MULTILINE))
def test_its_commands_can_be_typed_as_they_stand(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """The order number has its check character, and each names somebody."""
    monkeypatch.setattr("sys.stdin", io.StringIO("user-42\n"))
    parser = argparse.ArgumentParser()
    describe_erase(parser)

    subject = read_subject(parser, parser.parse_args(command.split()))

    assert isinstance(subject, OfUser | OfOrder | OfAttempt)


def test_it_lists_every_column_that_is_emptied() -> None:
    """The columns of an order that say who bought."""
    emptied = re.findall(r"`([a-z_0-9]+)`", PRIVACY.partition("Of `orders` it empties")[2].partition("; of `pay")[0])

    assert emptied == list(PERSONAL_IN_ORDER)
