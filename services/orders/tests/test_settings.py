import pytest
from pydantic import ValidationError

from orders.settings import OrdersSettings

URL = "postgresql://orders:hush@db.example:5432/orders?sslmode=verify-full"
REQUIRED = {"database_url": URL, "encryption_keys": "clear"}


def test_a_database_is_required() -> None:
    """There is no default: orders must not get into a database that nobody chose."""
    with pytest.raises(ValidationError, match="database_url"):
        OrdersSettings.model_validate({})


def test_p7_the_password_is_never_printed() -> None:
    """Neither by --print-settings nor in a traceback."""
    settings = OrdersSettings.model_validate(REQUIRED)

    assert "hush" not in settings.model_dump_json() + repr(settings)
    assert settings.database_url.get_secret_value() == URL


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://orders:hush@db.example/orders",
        "postgresql://orders:hush@db.example/orders?sslmode=require",
        "postgresql://orders:hush@127.0.0.1,db.example/orders?sslmode=verify-ca",
    ],
)
def test_p7_a_remote_database_needs_verified_tls(url: str) -> None:
    """Outside development, unless a service mesh encrypts."""
    unverified = REQUIRED | {"database_url": url}

    with pytest.raises(ValidationError, match="ORDERS_DATABASE_URL: beyond this machine only with TLS"):
        OrdersSettings.model_validate(unverified)
    allowed = [
        OrdersSettings.model_validate(unverified | by)
        for by in ({"environment": "development"}, {"allow_plaintext": True})
    ]

    assert [settings.plaintext_links for settings in allowed] == [["database_url"]] * 2


@pytest.mark.parametrize("sign", "/?#@")
def test_p7_a_password_that_would_be_parsed_as_a_port_is_refused(sign: str) -> None:
    """The library that parses the URL would quote it in an error."""
    url = f"postgresql://orders:hush{sign}1@127.0.0.1:5432/orders"

    with pytest.raises(ValidationError, match="%2F %3F %23 %40") as refused:
        OrdersSettings.model_validate(REQUIRED | {"database_url": url})

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
def test_every_form_of_a_libpq_url_is_accepted(url: str) -> None:
    """Several hosts, a socket, an escaped password."""
    settings = OrdersSettings.model_validate(REQUIRED | {"database_url": url, "allow_plaintext": True})

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
def test_an_invalid_value_is_refused(name: str, value: object) -> None:
    """Each bound is enforced at start."""
    with pytest.raises(ValidationError, match=name):
        OrdersSettings.model_validate(REQUIRED | {name: value})
