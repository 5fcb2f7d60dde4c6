"""Settings are read once and checked at start."""

from typing import Any

import pytest
from pydantic import ValidationError

from checkout_session.domain.durability import DurabilityLevel, DurabilityPolicy
from checkout_session.settings import CheckoutSessionSettings

REDIS_URL = "rediss://:secret@redis.example:6379/0"
TLS_FILES = {"redis_tls_ca_file": "/ca", "redis_tls_cert_file": "/cert", "redis_tls_key_file": "/key"}


def settings_with(**values: Any) -> CheckoutSessionSettings:
    """Return settings; keywords replace values."""
    return CheckoutSessionSettings.model_validate({"redis_url": REDIS_URL, "encryption_keys": "clear"} | values)


def test_the_defaults_suit_production() -> None:
    """Attempts of at most 64 KiB stay 35 days in an append-only file, and the URL is a secret as a whole."""
    settings = settings_with()

    assert settings.attempt_ttl.days == 35
    assert settings.max_attempt_bytes == 64 * 1024
    assert settings.durability_policy == DurabilityPolicy(DurabilityLevel.AOF)
    assert not settings.in_development
    assert "secret" not in f"{settings!r} {settings.model_dump_json()}"


@pytest.mark.parametrize(("redis", "path"), [("redis", "/0"), ("redis+cluster", ""), ("redis+sentinel", "/main")])
def test_a_redis_beyond_this_machine_is_encrypted(redis: str, path: str) -> None:
    """In each form of the URL."""
    url = f"{redis}://redis.example:7000{path}"

    with pytest.raises(ValidationError, match="CHECKOUT_SESSION_REDIS_URL: beyond this machine only with TLS"):
        settings_with(redis_url=url)
    encrypted = settings_with(redis_url=url.replace("redis", "rediss", 1))
    allowed = settings_with(redis_url=url, allow_plaintext=True)

    assert encrypted.plaintext_links == []
    assert allowed.plaintext_links == ["redis_url"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"redis_url": None}, "redis_url"),
        ({"redis_url": "http://redis.example"}, "redis_url"),
        ({"attempt_ttl_seconds": 30 * 24 * 60 * 60}, "attempt_ttl_seconds"),
        ({"max_attempt_bytes": 512 * 1024 + 1}, "max_attempt_bytes"),
        ({"redis_url": "redis://127.0.0.1"} | TLS_FILES, "requires a URL that begins with rediss"),
        ({"redis_url": f"{REDIS_URL}?ssl_cert_reqs=none"}, "set TLS by CHECKOUT_SESSION_REDIS_TLS_CA_FILE"),
        ({"durability": "none"}, "starts in development only"),
        ({"durable_replicas": 1}, "requires durability fsync"),
        ({"durability": "fsync", "store_timeout_seconds": 0.5}, "must not be less than redis_timeout_seconds"),
    ],
)
def test_an_unsafe_value_does_not_start(values: dict[str, Any], message: str) -> None:
    """A Redis is named, attempts outlive Stripe's 30 days of events, TLS is used, durability holds."""
    with pytest.raises(ValidationError, match=message):
        settings_with(**values)
