"""Settings are read once and checked at start."""

import pytest
from pydantic import ValidationError

from orders.settings import OrdersSettings

URL = "postgresql://orders:hush@db.example:5432/orders?sslmode=verify-full"


def test_a_database_is_required() -> None:
    """There is no default: orders must not end up in a database that nobody chose."""
    with pytest.raises(ValidationError, match="database_url"):
        OrdersSettings.model_validate({})


def test_the_password_is_never_printed() -> None:
    """Neither by --print-settings nor in a traceback."""
    settings = OrdersSettings.model_validate({"database_url": URL})

    assert "hush" not in settings.model_dump_json() + repr(settings)
    assert settings.database_url.get_secret_value() == URL


def test_the_environment_has_a_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    """As every service has its own."""
    monkeypatch.setenv("ORDERS_DATABASE_URL", URL)
    monkeypatch.setenv("ORDERS_LISTEN", "0.0.0.0:7002")

    assert OrdersSettings().listen == "0.0.0.0:7002"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("database_url", "mysql://db.example"),
        ("database_pool_size", 0),
        ("connect_timeout_seconds", 0),
        ("statement_timeout_seconds", 0),
        ("lock_timeout_seconds", 0),
        ("call_timeout_seconds", 0),
        ("database_tries", 0),
        ("listen", "7002"),
    ],
)
def test_an_unsafe_value_does_not_start(name: str, value: object) -> None:
    """Each bound is enforced."""
    with pytest.raises(ValidationError, match=name):
        OrdersSettings.model_validate({"database_url": URL, name: value})
