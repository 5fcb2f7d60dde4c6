import asyncio
import hashlib
import hmac

import pytest

from payments_gateway.checkout.customers import Customers, Payer
from payments_gateway.domain.stripe_errors import StripeUnavailable

from ..assembly import Gateway
from ..fake_services import FakeCustomerRepository
from ..fakes import Crash
from ..samples import ATTEMPT_ID, OTHER_ATTEMPT_ID

EMAIL = "ada@example.com"
ADA = Payer("user_ada", ATTEMPT_ID, "eur", EMAIL)
GUEST = Payer(None, ATTEMPT_ID, "eur", EMAIL)
SECRET = b"secret"
ADAS_MAC = hmac.digest(SECRET, b"holdfast customer key\0user_ada", hashlib.sha256).hex()
ADAS_KEY = f"customer:{ADAS_MAC}:eur"
CALLS = ["customers.find", "stripe_customers.create", "stripe_customers.update_email", "customers.put"]
ATTEMPTS_KEY = f"customer:attempt:{ATTEMPT_ID}:eur"


@pytest.fixture
def customers(gateway: Gateway) -> Customers:
    """Give the use case of the gateway's customers."""
    return Customers(gateway.stripe_customers, gateway.customers, SECRET)


async def test_a_users_customer_is_made_once(gateway: Gateway, customers: Customers) -> None:
    """Its e-mail is set before it becomes the user's; later checkouts only look it up."""
    first = await customers.get_or_create(ADA)
    second = await customers.get_or_create(Payer("user_ada", OTHER_ATTEMPT_ID, "eur", "new@example.com"))

    assert first == second == gateway.customers.customers["user_ada", "eur"]
    assert gateway.wire.calls == [*CALLS, "customers.find"]
    assert gateway.stripe_customers.emails == {first: EMAIL}


async def test_a_guest_has_a_customer_for_each_attempt(gateway: Gateway, customers: Customers) -> None:
    """It is stored with the attempt alone, and a retry of the attempt gets the same one."""
    first = await customers.get_or_create(GUEST)
    again = await customers.get_or_create(GUEST)
    other = await customers.get_or_create(Payer(None, OTHER_ATTEMPT_ID, "eur", EMAIL))

    assert first == again != other
    assert gateway.stripe_customers.keys[0] == ATTEMPTS_KEY
    assert gateway.customers.customers == {}


async def test_twenty_checkouts_of_a_new_user_at_once_use_one_customer(gateway: Gateway, customers: Customers) -> None:
    """They all use the user's key, so Stripe creates no second customer."""
    payers = [Payer("user_ada", f"{number:08}-0000-4000-8000-000000000000", "eur", EMAIL) for number in range(20)]

    found = await asyncio.gather(*(customers.get_or_create(payer) for payer in payers))

    assert gateway.wire.calls[:20] == ["customers.find"] * 20
    assert set(gateway.stripe_customers.keys) == {ADAS_KEY}
    assert set(found) == set(gateway.stripe_customers.emails) == set(gateway.customers.customers.values())
    assert len(gateway.stripe_customers.emails) == 1


async def test_two_currencies_of_a_new_user_begun_at_once_have_two_customers(
    gateway: Gateway, customers: Customers
) -> None:
    """Stripe refuses a second currency on one customer: ten checkouts in each use one customer of the currency."""
    payers = [
        Payer("user_ada", f"{number:08}-0000-4000-8000-000000000000", currency, EMAIL)
        for number in range(10)
        for currency in ("eur", "usd")
    ]

    found = await asyncio.gather(*(customers.get_or_create(payer) for payer in payers))

    assert {(payer.currency, customer) for payer, customer in zip(payers, found, strict=True)} == {
        (currency, customer) for (_, currency), customer in gateway.customers.customers.items()
    }
    assert len(gateway.stripe_customers.emails) == 2


async def test_users_of_two_shops_on_one_account_share_no_customer(gateway: Gateway, customers: Customers) -> None:
    """Stripe's keys are the account's, and both shops may number their users from 1."""
    other_shop = Customers(gateway.stripe_customers, FakeCustomerRepository(), b"another secret")

    assert await customers.get_or_create(ADA) != await other_shop.get_or_create(ADA)


async def test_an_attempt_in_two_currencies_has_two_customers(gateway: Gateway, customers: Customers) -> None:
    """A cart may change its currency before the attempt is stored, and Stripe refuses both on one customer."""
    dollars = Payer(None, ATTEMPT_ID, "usd", EMAIL)

    assert await customers.get_or_create(GUEST) != await customers.get_or_create(dollars)


async def test_the_first_writer_wins(gateway: Gateway, customers: Customers) -> None:
    """If Stripe forgot the key between two checkouts, the second customer stays unused."""

    async def another_is_faster() -> None:
        gateway.customers.customers["user_ada", "eur"] = "cus_faster"

    gateway.wire.meanwhile("customers.put", another_is_faster)

    assert await customers.get_or_create(ADA) == "cus_faster"
    assert gateway.customers.customers == {("user_ada", "eur"): "cus_faster"}


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("call", CALLS)
async def test_a_crash_leaves_no_second_customer(
    gateway: Gateway, customers: Customers, call: str, *, after_effect: bool
) -> None:
    """Killed at any call, before or after its effect, the retry ends with one customer and its e-mail."""
    gateway.wire.fail(call, Crash(), after_effect=after_effect)
    with pytest.raises(Crash):
        await customers.get_or_create(ADA)

    gateway.wire.heal()
    found = await customers.get_or_create(ADA)

    assert gateway.stripe_customers.emails == {found: EMAIL}
    assert gateway.customers.customers == {("user_ada", "eur"): found}


async def test_a_deleted_customer_is_replaced(gateway: Gateway, customers: Customers) -> None:
    """Twenty checkouts at once agree on the replacement."""
    deleted = await customers.get_or_create(ADA)
    gateway.stripe_customers.delete(deleted)

    found = await asyncio.gather(*(customers.replace_deleted(deleted, ADA) for _ in range(20)))

    assert set(found) == set(gateway.stripe_customers.emails) == set(gateway.customers.customers.values())
    assert deleted not in found
    assert gateway.stripe_customers.keys[-1] == f"{ADAS_KEY}:after:{deleted}"


async def test_p7_an_erased_user_who_returns_gets_another_customer(gateway: Gateway, customers: Customers) -> None:
    """After each erasure, although Stripe replays the erased one; twenty checkouts at once agree on it."""
    payers = [Payer("user_ada", f"{number:08}-0000-4000-8000-000000000000", "eur", EMAIL) for number in range(20)]
    found: list[str] = []
    for _ in range(3):
        found += {*await asyncio.gather(*(customers.get_or_create(payer) for payer in payers))}
        gateway.customers.erase()

    assert list(gateway.stripe_customers.emails) == found
    assert gateway.stripe_customers.keys[-1] == f"{ADAS_KEY}:after:{found[1]}"
    assert len(found) == 3


async def test_p7_a_user_who_returns_after_the_deletion_has_one_customer(
    gateway: Gateway, customers: Customers
) -> None:
    """Twenty checkouts at once agree on it: nobody would know of the others, which have the e-mail address, too."""
    payers = [Payer("user_ada", f"{number:08}-0000-4000-8000-000000000000", "eur", EMAIL) for number in range(20)]
    erased = await customers.get_or_create(ADA)
    gateway.customers.customers.clear()
    gateway.stripe_customers.delete(erased)

    found = await asyncio.gather(*(customers.get_or_create(payer) for payer in payers))

    assert set(found) == set(gateway.stripe_customers.emails) == set(gateway.customers.customers.values())


async def test_p7_a_replacement_that_was_erased_is_not_used(gateway: Gateway, customers: Customers) -> None:
    """Its key is that of the customer that it replaced."""
    deleted = await customers.get_or_create(ADA)
    erased = await customers.replace_deleted(deleted, ADA)
    gateway.customers.erase()
    gateway.customers.customers["user_ada", "eur"] = deleted

    found = await customers.replace_deleted(deleted, ADA)

    assert found not in {deleted, erased}
    assert gateway.customers.customers == {("user_ada", "eur"): found}


async def test_a_replacement_by_another_checkout_is_used(gateway: Gateway, customers: Customers) -> None:
    """Only the customer that is missing is replaced."""
    gateway.customers.customers["user_ada", "eur"] = "cus_of_others"

    assert await customers.replace_deleted("cus_deleted", ADA) == "cus_of_others"


async def test_a_guests_deleted_customer_is_left_behind(gateway: Gateway, customers: Customers) -> None:
    """Its key would return it again and again, so another key creates another."""
    deleted = await customers.get_or_create(GUEST)
    gateway.stripe_customers.delete(deleted)

    second = await customers.get_or_create(GUEST)
    third = await customers.replace_deleted(second, GUEST)

    assert len({deleted, second, third}) == 3
    assert gateway.stripe_customers.keys[-2:] == [
        f"{ATTEMPTS_KEY}:after:{deleted}",
        f"{ATTEMPTS_KEY}:after:{second}",
    ]


async def test_a_failure_stored_under_a_users_key_does_not_lock_the_user_out(
    gateway: Gateway, customers: Customers
) -> None:
    """The attempt's own keys are tried next, and each attempt has new ones."""
    for key in (ADAS_KEY, ATTEMPTS_KEY, f"{ATTEMPTS_KEY}:1", f"{ATTEMPTS_KEY}:2"):
        gateway.stripe_customers.exhaust(key)
    with pytest.raises(StripeUnavailable):
        await customers.get_or_create(ADA)

    found = await customers.get_or_create(Payer("user_ada", OTHER_ATTEMPT_ID, "eur", EMAIL))

    assert gateway.customers.customers == {("user_ada", "eur"): found}


async def test_while_stripe_fails_a_request_exhausts_two_keys_at_most(gateway: Gateway, customers: Customers) -> None:
    """The other keys are kept for later."""
    for key in (ADAS_KEY, ATTEMPTS_KEY, f"{ATTEMPTS_KEY}:1"):
        gateway.stripe_customers.exhaust(key, just_now=True)

    with pytest.raises(StripeUnavailable):
        await customers.get_or_create(ADA)

    assert gateway.stripe_customers.keys == [ADAS_KEY, ATTEMPTS_KEY]


async def test_an_email_address_that_stripe_refuses_loses_no_sale(gateway: Gateway, customers: Customers) -> None:
    """The customer has none."""
    gateway.stripe_customers.refused_emails.add(EMAIL)

    found = await customers.get_or_create(ADA)

    assert gateway.stripe_customers.emails == {found: None}


@pytest.mark.parametrize("user_id", ["u" * 255, "ада@пример.рф", "ada@example.com", "a b\tc"])
async def test_any_user_id_has_a_key_that_stripe_takes(gateway: Gateway, customers: Customers, user_id: str) -> None:
    """The key has at most 255 printable ASCII characters and does not contain the id (P7)."""
    await customers.get_or_create(Payer(user_id, ATTEMPT_ID, "eur", EMAIL))

    [key] = gateway.stripe_customers.keys
    assert len(key) <= 255
    assert key.isascii()
    assert user_id not in key


def test_p7_a_payer_shows_no_email_address() -> None:
    """A repr may end in a log."""
    assert EMAIL not in repr(ADA)
