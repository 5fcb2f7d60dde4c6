import pytest

from devstack.stripe_access import StripeAccess, UnusableStripeKeys, find_real_stripe

TEST_KEYS = {
    "STRIPE_SECRET_KEY": "sk_test_1",
    "STRIPE_PUBLISHABLE_KEY": "pk_test_1",
    "STRIPE_WEBHOOK_SECRET": "whsec_1",
}


def test_test_keys_give_access_to_stripe_itself() -> None:
    """Without a key the simulator is used. The secrets are not in the repr."""
    access = find_real_stripe(TEST_KEYS)

    assert access == StripeAccess("https://api.stripe.com", "sk_test_1", "pk_test_1", "whsec_1")
    assert find_real_stripe({}) is None
    assert "sk_test_1" not in repr(access)
    assert "whsec_1" not in repr(access)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"STRIPE_SECRET_KEY": "sk_live_1"}, "live key"),
        ({"STRIPE_SECRET_KEY": "rk_live_1"}, "live key"),
        ({"STRIPE_PUBLISHABLE_KEY": "pk_live_1"}, "live key"),
        ({"STRIPE_WEBHOOK_SECRET": ""}, "STRIPE_WEBHOOK_SECRET"),
        ({"STRIPE_PUBLISHABLE_KEY": ""}, "STRIPE_PUBLISHABLE_KEY"),
    ],
)
def test_live_and_missing_keys_are_refused(changes: dict[str, str], message: str) -> None:
    """The demo never moves real money, and the message names the missing variable."""
    with pytest.raises(UnusableStripeKeys, match=message):
        find_real_stripe(TEST_KEYS | changes)
