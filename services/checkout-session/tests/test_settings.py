"""Settings are read once and checked at start."""

import pytest
from pydantic import ValidationError

from checkout_rules.limits import MAX_CONTEXT_BYTES
from checkout_session.domain.durability import Durability, DurabilityLevel
from checkout_session.settings import CheckoutSessionSettings

REDIS_URL = "rediss://:secret@redis.example:6379/0"


def test_defaults_suit_production() -> None:
    """With nothing but a Redis, attempts stay 35 days and may be as large as the largest cart."""
    settings = CheckoutSessionSettings.model_validate({"redis_url": REDIS_URL, "encryption_keys": "clear"})

    assert settings.attempt_ttl.days == 35
    assert settings.max_attempt_bytes == MAX_CONTEXT_BYTES
    assert not settings.in_development


def test_a_redis_is_required() -> None:
    """There is no default: attempts must not end up in a Redis that nobody chose."""
    with pytest.raises(ValidationError, match="redis_url"):
        CheckoutSessionSettings.model_validate({})


@pytest.mark.parametrize("form", ["redis", "redis+cluster", "redis+sentinel"])
def test_a_redis_beyond_this_machine_is_encrypted(form: str) -> None:
    """In each form of its address: attempts are the whole of a checkout."""
    told = {"redis_url": f"{form}://127.0.0.1:7000,redis.example:7000/main", "encryption_keys": "clear"}
    if form == "redis+cluster":
        told["redis_url"] = told["redis_url"].removesuffix("/main")

    with pytest.raises(ValidationError, match="CHECKOUT_SESSION_REDIS_URL: beyond this machine only with TLS"):
        CheckoutSessionSettings.model_validate(told)
    encrypted = CheckoutSessionSettings.model_validate(
        told | {"redis_url": told["redis_url"].replace("redis", "rediss", 1)}
    )
    allowed = CheckoutSessionSettings.model_validate(told | {"allow_plaintext": True})

    assert encrypted.plaintext_links == []
    assert allowed.plaintext_links == ["redis_url"]


def test_certificates_for_redis_need_an_address_with_tls() -> None:
    """Who names them believes that they are used."""
    files = {"redis_tls_ca_file": "/ca", "redis_tls_cert_file": "/cert", "redis_tls_key_file": "/key"}
    told = {"redis_url": "redis://127.0.0.1", "encryption_keys": "clear"} | files

    with pytest.raises(ValidationError, match="only with a URL that begins with rediss"):
        CheckoutSessionSettings.model_validate(told)


def test_the_address_cannot_switch_verification_off() -> None:
    """What redis-py would take from a URL is refused."""
    with pytest.raises(ValidationError, match="TLS is set by CHECKOUT_SESSION_REDIS_TLS_CA_FILE"):
        CheckoutSessionSettings.model_validate(
            {"redis_url": f"{REDIS_URL}?ssl_cert_reqs=none", "encryption_keys": "clear"}
        )


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
        CheckoutSessionSettings.model_validate({"redis_url": REDIS_URL, "encryption_keys": "clear", name: value})


def test_the_password_is_not_printed() -> None:
    """The URL is a secret as a whole."""
    settings = CheckoutSessionSettings.model_validate({"redis_url": REDIS_URL, "encryption_keys": "clear"})

    assert "secret" not in f"{settings!r} {settings.model_dump_json()}"


def test_attempts_are_kept_in_a_file_by_default() -> None:
    """Who says nothing gets a server that must keep an append-only file."""
    settings = CheckoutSessionSettings.model_validate({"redis_url": REDIS_URL, "encryption_keys": "clear"})

    assert settings.kept == Durability(DurabilityLevel.AOF)


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"durability": "none"}, "starts in development only"),
        ({"durable_replicas": 1}, "with durability fsync alone"),
        ({"durability": "fsync", "store_timeout_seconds": 0.5}, "must not be less than redis_timeout_seconds"),
    ],
)
def test_a_durability_that_cannot_be_meant_does_not_start(told: dict[str, object], why: str) -> None:
    """Attempts that nothing keeps, replicas that nobody waits for, a wait that is cut off before its answer."""
    with pytest.raises(ValidationError, match=why):
        CheckoutSessionSettings.model_validate({"redis_url": REDIS_URL, "encryption_keys": "clear"} | told)
