import asyncio
import hashlib

import pytest

from payments_gateway.checkout.customers import Customers, Payer
from payments_gateway.domain.stripe_errors import StripeUnavailable

from ..fake_services import FakeCustomerRepository
from ..fake_stripe import FakeStripeCustomers
from ..fakes import Crash, Wire, wired
from ..samples import ATTEMPT_ID, OTHER_ATTEMPT_ID

EMAIL = "ada@example.com"
ADA = Payer("user_ada", ATTEMPT_ID, EMAIL)
GUEST = Payer(None, ATTEMPT_ID, EMAIL)
ADAS_KEY = "customer:" + hashlib.sha256(b"user_ada").hexdigest()
ATTEMPTS_KEY = f"customer:attempt:{ATTEMPT_ID}"


class Till:
    """Customers over fakes."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.stripe = wired(self.wire, "stripe", FakeStripeCustomers())
        self.repository = wired(self.wire, "repository", FakeCustomerRepository())
        self.customers = Customers(self.stripe, self.repository)


@pytest.fixture
def till() -> Till:
    """Give customers over fakes."""
    return Till()


async def test_a_users_customer_is_made_once(till: Till) -> None:
    """Its e-mail is set before it becomes the user's; later checkouts only look it up."""
    first = await till.customers.get_or_create(ADA)
    second = await till.customers.get_or_create(Payer("user_ada", OTHER_ATTEMPT_ID, "new@example.com"))

    assert first == second == till.repository.customers["user_ada"]
    assert till.wire.calls == [
        "repository.find",
        "stripe.create",
        "stripe.update_email",
        "repository.put",
        "repository.find",
    ]
    assert till.stripe.emails == {first: EMAIL}


async def test_a_guest_has_a_customer_for_each_attempt(till: Till) -> None:
    """It is stored with the attempt alone, and a retry of the attempt gets the same one."""
    first = await till.customers.get_or_create(GUEST)
    again = await till.customers.get_or_create(GUEST)
    other = await till.customers.get_or_create(Payer(None, OTHER_ATTEMPT_ID, EMAIL))

    assert first == again != other
    assert till.stripe.keys[0] == ATTEMPTS_KEY
    assert till.repository.customers == {}


async def test_twenty_checkouts_of_a_new_user_at_once_use_one_customer(till: Till) -> None:
    """They all use the user's key, so Stripe creates no second customer."""
    payers = [Payer("user_ada", f"{number:08}-0000-4000-8000-000000000000", EMAIL) for number in range(20)]

    found = await asyncio.gather(*(till.customers.get_or_create(payer) for payer in payers))

    assert till.wire.calls[:20] == ["repository.find"] * 20
    assert set(till.stripe.keys) == {ADAS_KEY}
    assert set(found) == set(till.stripe.emails) == set(till.repository.customers.values())
    assert len(till.stripe.emails) == 1


async def test_the_first_writer_wins(till: Till) -> None:
    """If Stripe forgot the key between two checkouts, the second customer stays unused."""

    async def another_is_faster() -> None:
        till.repository.customers["user_ada"] = "cus_faster"

    till.wire.meanwhile("repository.put", another_is_faster)

    assert await till.customers.get_or_create(ADA) == "cus_faster"
    assert till.repository.customers == {"user_ada": "cus_faster"}


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("call", range(4))
async def test_a_crash_leaves_no_second_customer(till: Till, call: int, *, after_effect: bool) -> None:
    """Killed at any call, before or after its effect, the retry ends with one customer and its e-mail."""
    till.wire.fail(call, Crash(), after_effect=after_effect)
    with pytest.raises(Crash):
        await till.customers.get_or_create(ADA)

    till.wire.heal()
    found = await till.customers.get_or_create(ADA)

    assert till.stripe.emails == {found: EMAIL}
    assert till.repository.customers == {"user_ada": found}


async def test_a_deleted_customer_is_replaced(till: Till) -> None:
    """Twenty checkouts at once agree on the replacement."""
    deleted = await till.customers.get_or_create(ADA)
    till.stripe.delete(deleted)

    found = await asyncio.gather(*(till.customers.replace_deleted(deleted, ADA) for _ in range(20)))

    assert set(found) == set(till.stripe.emails) == set(till.repository.customers.values())
    assert deleted not in found
    assert till.stripe.keys[-1] == f"{ADAS_KEY}:after:{deleted}"


async def test_a_replacement_by_another_checkout_is_used(till: Till) -> None:
    """Only the customer that is missing is replaced."""
    till.repository.customers["user_ada"] = "cus_of_others"

    assert await till.customers.replace_deleted("cus_deleted", ADA) == "cus_of_others"


async def test_a_guests_deleted_customer_is_left_behind(till: Till) -> None:
    """Its key would return it again and again, so the next key creates another."""
    deleted = await till.customers.get_or_create(GUEST)
    till.stripe.delete(deleted)

    second = await till.customers.get_or_create(GUEST)
    third = await till.customers.replace_deleted(second, GUEST)

    assert len({deleted, second, third}) == 3
    assert till.stripe.keys[-2:] == [f"{ATTEMPTS_KEY}:1", f"{ATTEMPTS_KEY}:after:{second}"]


async def test_a_failure_stored_under_a_users_key_does_not_lock_the_user_out(till: Till) -> None:
    """The attempt's own keys are tried next, and each attempt has new ones."""
    for key in (ADAS_KEY, ATTEMPTS_KEY, f"{ATTEMPTS_KEY}:1", f"{ATTEMPTS_KEY}:2"):
        till.stripe.exhaust(key)
    with pytest.raises(StripeUnavailable):
        await till.customers.get_or_create(ADA)

    found = await till.customers.get_or_create(Payer("user_ada", OTHER_ATTEMPT_ID, EMAIL))

    assert till.repository.customers == {"user_ada": found}


async def test_while_stripe_fails_a_request_exhausts_two_keys_at_most(till: Till) -> None:
    """The other keys are kept for later."""
    for key in (ADAS_KEY, ATTEMPTS_KEY, f"{ATTEMPTS_KEY}:1"):
        till.stripe.exhaust(key, just_now=True)

    with pytest.raises(StripeUnavailable):
        await till.customers.get_or_create(ADA)

    assert till.stripe.keys == [ADAS_KEY, ATTEMPTS_KEY]


async def test_an_email_address_that_stripe_refuses_loses_no_sale(till: Till) -> None:
    """The customer has none."""
    till.stripe.refused_emails.add(EMAIL)

    found = await till.customers.get_or_create(ADA)

    assert till.stripe.emails == {found: None}


@pytest.mark.parametrize("user_id", ["u" * 255, "ада@пример.рф", "ada@example.com", "a b\tc"])
async def test_any_user_id_has_a_key_that_stripe_takes(till: Till, user_id: str) -> None:
    """The key has at most 255 printable ASCII characters and does not contain the id (P7)."""
    await till.customers.get_or_create(Payer(user_id, ATTEMPT_ID, EMAIL))

    [key] = till.stripe.keys
    assert len(key) <= 255
    assert key.isascii()
    assert user_id not in key


def test_p7_a_payer_shows_no_email_address() -> None:
    """A repr may end in a log."""
    assert EMAIL not in repr(ADA)
