"""Settings are read once and checked at start."""

import pytest
from pydantic import ValidationError

from checkout_session.settings import CheckoutSessionSettings

REDIS_URL = "redis://:secret@redis.example:6379/0"


def test_defaults_suit_production() -> None:
    """With nothing but a Redis, attempts stay 35 days and may be as large as the largest cart."""
    settings = CheckoutSessionSettings.model_validate({"redis_url": REDIS_URL})

    assert settings.attempt_ttl.days == 35
    assert settings.max_attempt_bytes > 200 * 5000 * 4
    assert not settings.in_development


def test_a_redis_is_required() -> None:
    """There is no default: attempts must not end up in a Redis that nobody chose."""
    with pytest.raises(ValidationError, match="redis_url"):
        CheckoutSessionSettings.model_validate({})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("redis_url", "http://redis.example"),
        ("attempt_ttl_seconds", 30 * 24 * 60 * 60),
        ("first_check_seconds", 0),
        ("max_attempt_bytes", 0),
        ("redis_timeout_seconds", 0),
        ("store_timeout_seconds", 0),
        ("redis_max_connections", 0),
        ("listen", "7001"),
    ],
)
def test_an_unsafe_value_does_not_start(name: str, value: object) -> None:
    """Each bound is enforced; an attempt must outlive the 30 days for which Stripe lists events."""
    with pytest.raises(ValidationError, match=name):
        CheckoutSessionSettings.model_validate({"redis_url": REDIS_URL, name: value})


def test_the_password_is_not_printed() -> None:
    """The URL is a secret as a whole."""
    settings = CheckoutSessionSettings.model_validate({"redis_url": REDIS_URL})

    assert "secret" not in f"{settings!r} {settings.model_dump_json()}"
