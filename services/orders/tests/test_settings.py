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
    settings = OrdersSettings.model_validate({"database_url": URL, "encryption_keys": "clear"})

    assert "hush" not in settings.model_dump_json() + repr(settings)
    assert settings.database_url.get_secret_value() == URL


def test_the_environment_has_a_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    """As every service has its own."""
    monkeypatch.setenv("ORDERS_DATABASE_URL", URL)
    monkeypatch.setenv("ORDERS_ENCRYPTION_KEYS", "clear")
    monkeypatch.setenv("ORDERS_LISTEN", "127.0.0.1:7003")

    assert OrdersSettings().listen == "127.0.0.1:7003"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://orders:hush@db.example/orders",
        "postgresql://orders:hush@db.example/orders?sslmode=require",
        "postgresql://orders:hush@127.0.0.1,db.example/orders?sslmode=verify-ca",
    ],
)
def test_a_database_beyond_this_machine_is_verified_by_name(url: str) -> None:
    """Anything less would give what was bought to whoever stands in between."""
    told = {"database_url": url, "encryption_keys": "clear"}

    with pytest.raises(ValidationError, match="ORDERS_DATABASE_URL: beyond this machine only with TLS"):
        OrdersSettings.model_validate(told)
    allowed = [
        OrdersSettings.model_validate(told | by) for by in ({"environment": "development"}, {"allow_plaintext": True})
    ]

    assert [settings.plaintext_links for settings in allowed] == [["database_url"]] * 2


@pytest.mark.parametrize("sign", "/?#@")
def test_a_password_that_would_be_taken_for_a_port_is_refused_unquoted(sign: str) -> None:
    """The library that reads the URL would say it in so many words, in the log of the migration (P7)."""
    url = f"postgresql://orders:hush{sign}1@127.0.0.1:5432/orders"

    with pytest.raises(ValidationError, match="%2F %3F %23 %40") as refused:
        OrdersSettings.model_validate({"database_url": url, "encryption_keys": "clear"})

    assert "hush" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgres://127.0.0.1",
        "postgresql://orders:hu%2Fsh@127.0.0.1:5432/orders?sslmode=disable&application_name=a@b",
        "postgresql://orders@[::1]:5432,127.0.0.1/orders",
        "postgresql:///orders?host=/run/postgresql",
        "postgresql://%2Frun%2Fpostgresql/orders",
    ],
)
def test_every_form_that_libpq_has_is_taken(url: str) -> None:
    """Several hosts, a socket, a quoted password."""
    settings = OrdersSettings.model_validate({"database_url": url, "encryption_keys": "clear", "allow_plaintext": True})

    assert settings.database_url.get_secret_value() == url


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
        OrdersSettings.model_validate({"database_url": URL, "encryption_keys": "clear", name: value})
