import asyncio
import hashlib

import pytest

from payments_gateway.checkout.customers import Customers, Payer
from payments_gateway.domain.stripe_errors import StripeUnavailable
from servicekit.grpc_client import ServiceUnavailable

from .fake_customers import FakeCustomerRepository, FakeStripeCustomers
from .fakes import Crash, Wire
from .samples import ATTEMPT_ID, OTHER_ATTEMPT_ID

EMAIL = "ada@example.com"
ADA = Payer("user_ada", ATTEMPT_ID, EMAIL)
GUEST = Payer(None, ATTEMPT_ID, EMAIL)
OF_ADA = "customer:" + hashlib.sha256(b"user_ada").hexdigest()
OF_ATTEMPT = f"customer:attempt:{ATTEMPT_ID}"


class Till:
    """Customers over fakes."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.accounts = FakeStripeCustomers(self.wire)
        self.register = FakeCustomerRepository(self.wire)
        self.customers = Customers(self.accounts, self.register)


@pytest.fixture
def till() -> Till:
    """Give customers over fakes."""
    return Till()


async def test_a_users_customer_is_made_once(till: Till) -> None:
    """The first checkout makes it and tells its e-mail before it is the user's; later ones only look it up."""
    first = await till.customers.get_or_create(ADA)
    second = await till.customers.get_or_create(Payer("user_ada", OTHER_ATTEMPT_ID, "new@example.com"))

    assert first == second == till.register.customers["user_ada"]
    assert till.wire.calls == [
        "register.find",
        "customers.create",
        "customers.update_email",
        "register.put",
        "register.find",
    ]
    assert till.accounts.emails == {first: EMAIL}


async def test_a_guest_has_a_customer_for_each_attempt(till: Till) -> None:
    """It is kept nowhere but with the attempt, and a repeat of the attempt is answered the same one."""
    first = await till.customers.get_or_create(GUEST)
    again = await till.customers.get_or_create(GUEST)
    other = await till.customers.get_or_create(Payer(None, OTHER_ATTEMPT_ID, EMAIL))

    assert first == again != other
    assert till.accounts.keys[0] == OF_ATTEMPT
    assert till.register.customers == {}


async def test_twenty_checkouts_of_a_new_user_at_once_use_one_customer(till: Till) -> None:
    """They all use the user's key, so that Stripe makes no second one that nobody uses."""
    payers = [Payer("user_ada", f"{number:08}-0000-4000-8000-000000000000", EMAIL) for number in range(20)]

    found = await asyncio.gather(*(till.customers.get_or_create(payer) for payer in payers))

    assert till.wire.calls[:20] == ["register.find"] * 20
    assert set(till.accounts.keys) == {OF_ADA}
    assert set(found) == set(till.accounts.emails) == set(till.register.customers.values())
    assert len(till.accounts.emails) == 1


async def test_the_first_writer_wins(till: Till) -> None:
    """Where Stripe forgot the key between two checkouts, the customer that came second is used by nobody."""

    async def another_is_faster() -> None:
        till.register.customers["user_ada"] = "cus_faster"

    till.wire.meanwhile("register.put", another_is_faster)

    assert await till.customers.get_or_create(ADA) == "cus_faster"
    assert till.register.customers == {"user_ada": "cus_faster"}


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("place", range(4))
async def test_a_crash_on_the_way_to_a_customer_leaves_no_second_one(
    till: Till,
    place: int,
    after_effect: bool,  # noqa: FBT001 — a case
) -> None:
    """Killed at any call, before or after its effect: the repeat ends with the one customer, and its e-mail."""
    till.wire.fail(place, Crash(), after_effect=after_effect)
    with pytest.raises(Crash):
        await till.customers.get_or_create(ADA)

    till.wire.heal()
    found = await till.customers.get_or_create(ADA)

    assert till.accounts.emails == {found: EMAIL}
    assert till.register.customers == {"user_ada": found}


async def test_a_crash_before_a_day_leaves_one_that_nobody_uses(till: Till) -> None:
    """Stripe has forgotten the key by then: the first one stays behind, charged by nobody."""
    till.wire.fail("register.put", ServiceUnavailable("orders"))
    with pytest.raises(ServiceUnavailable):
        await till.customers.get_or_create(ADA)
    till.wire.heal()
    till.accounts.forget_keys()

    found = await till.customers.get_or_create(ADA)

    assert len(till.accounts.emails) == 2
    assert set(till.register.customers.values()) == {found}


async def test_a_deleted_customer_is_replaced(till: Till) -> None:
    """Twenty checkouts that meet it at once agree on one in its place."""
    gone = await till.customers.get_or_create(ADA)
    till.accounts.delete(gone)

    found = await asyncio.gather(*(till.customers.replace_deleted(gone, ADA) for _ in range(20)))

    assert set(found) == set(till.accounts.emails) == set(till.register.customers.values())
    assert gone not in found
    assert till.accounts.keys[-1] == f"{OF_ADA}:after:{gone}"


async def test_one_that_was_replaced_by_others_is_taken_from_them(till: Till) -> None:
    """Only the customer that is missing gives way."""
    till.register.customers["user_ada"] = "cus_of_others"

    assert await till.customers.replace_deleted("cus_gone", ADA) == "cus_of_others"


async def test_a_guests_deleted_customer_is_left_behind(till: Till) -> None:
    """Its key would answer it for ever: the next key makes another."""
    gone = await till.customers.get_or_create(GUEST)
    till.accounts.delete(gone)

    asked_again = await till.customers.get_or_create(GUEST)
    instead = await till.customers.replace_deleted(asked_again, GUEST)

    assert len({gone, asked_again, instead}) == 3
    assert till.accounts.keys[-2:] == [f"{OF_ATTEMPT}:1", f"{OF_ATTEMPT}:after:{asked_again}"]


async def test_a_failure_stored_under_a_users_key_keeps_the_user_out_of_nothing(till: Till) -> None:
    """For a day the key would replay it: the attempt's own keys are there, new with each attempt."""
    till.accounts.spend(OF_ADA)
    for suffix in ("", ":1", ":2"):
        till.accounts.spend(OF_ATTEMPT + suffix)
    with pytest.raises(StripeUnavailable):
        await till.customers.get_or_create(ADA)

    found = await till.customers.get_or_create(Payer("user_ada", OTHER_ATTEMPT_ID, EMAIL))

    assert till.register.customers == {"user_ada": found}


async def test_while_stripe_fails_a_request_spends_two_keys_at_most(till: Till) -> None:
    """Keys are left for when it does not."""
    for key in (OF_ADA, OF_ATTEMPT, f"{OF_ATTEMPT}:1"):
        till.accounts.spend(key, just_now=True)

    with pytest.raises(StripeUnavailable):
        await till.customers.get_or_create(ADA)

    assert till.accounts.keys == [OF_ADA, OF_ATTEMPT]


async def test_an_email_address_that_stripe_refuses_loses_no_sale(till: Till) -> None:
    """The customer goes without."""
    till.accounts.refuse(EMAIL)

    found = await till.customers.get_or_create(ADA)

    assert till.accounts.emails == {found: None}


@pytest.mark.parametrize("user_id", ["u" * 255, "ада@пример.рф", "ada@example.com", "a b\tc"])
async def test_any_user_id_has_a_key_that_stripe_takes(till: Till, user_id: str) -> None:
    """At most 255 printable ASCII characters, and not the id itself (P7)."""
    await till.customers.get_or_create(Payer(user_id, ATTEMPT_ID, EMAIL))

    [key] = till.accounts.keys
    assert len(key) <= 255
    assert key.isascii()
    assert user_id not in key


def test_p7_a_payer_shows_no_email_address() -> None:
    """A repr may end in a log."""
    assert EMAIL not in repr(ADA)
