import pytest

from devstack.stripe_access import StripeAccess, UnusableStripeKeys, real_stripe

TEST_KEYS = {
    "STRIPE_SECRET_KEY": "sk_test_1",
    "STRIPE_PUBLISHABLE_KEY": "pk_test_1",
    "STRIPE_WEBHOOK_SECRET": "whsec_1",
}


def test_without_a_key_the_simulator_is_used() -> None:
    """Nothing in the environment means no Stripe account at all."""
    assert real_stripe({}) is None


def test_a_test_key_means_stripe_itself() -> None:
    """Keys from the environment go to Stripe's own address."""
    access = real_stripe(TEST_KEYS)

    assert access == StripeAccess("https://api.stripe.com", "sk_test_1", "pk_test_1", "whsec_1")


@pytest.mark.parametrize("key", ["sk_live_1", "rk_live_1"])
def test_a_live_key_is_refused(key: str) -> None:
    """Made-up purchases never move real money."""
    with pytest.raises(UnusableStripeKeys, match="live key"):
        real_stripe({**TEST_KEYS, "STRIPE_SECRET_KEY": key})


def test_a_live_publishable_key_is_refused() -> None:
    """A buyer's card is not charged because one of two keys was exchanged."""
    with pytest.raises(UnusableStripeKeys, match="live key"):
        real_stripe({**TEST_KEYS, "STRIPE_PUBLISHABLE_KEY": "pk_live_1"})


@pytest.mark.parametrize("missing", ["STRIPE_WEBHOOK_SECRET", "STRIPE_PUBLISHABLE_KEY"])
def test_what_is_missing_is_named(missing: str) -> None:
    """A key alone does not make a checkout; the message says what else."""
    with pytest.raises(UnusableStripeKeys, match=missing):
        real_stripe({name: value for name, value in TEST_KEYS.items() if name != missing})


def test_secrets_stay_out_of_sight() -> None:
    """A log line about the access names no secret."""
    shown = repr(real_stripe(TEST_KEYS))

    assert "sk_test_1" not in shown
    assert "whsec_1" not in shown
