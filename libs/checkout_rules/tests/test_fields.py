"""Rules of single fields."""

import uuid

import pytest

from checkout_rules.fields import country_violations, currency_violations, uuid_violations

ID = "0f8fad5b-d9cb-469f-a165-70867728950e"


@pytest.mark.parametrize("value", ["", ID.upper(), ID.replace("-", ""), f"{ID}\n"])
def test_an_id_in_another_form_is_refused(value: str) -> None:
    """Two spellings of one UUID would be two keys."""
    assert [violation.field for violation in uuid_violations("attempt_id", value)] == ["attempt_id"]


@pytest.mark.parametrize("value", [ID, str(uuid.uuid5(uuid.NAMESPACE_URL, "a")), str(uuid.UUID(int=0))])
def test_a_canonical_uuid_of_any_version_is_accepted(value: str) -> None:
    """Ids that are derived from an idempotency key are not random ones."""
    assert uuid_violations("attempt_id", value) == ()


@pytest.mark.parametrize("value", ["", "EUR", "eu", "euro", "€ur", "eur\n"])
def test_a_currency_is_three_lower_case_letters(value: str) -> None:
    """The form in which Stripe writes it."""
    assert len(currency_violations("currency", value)) == 1


@pytest.mark.parametrize("value", ["", "de", "DEU", "DE\n", "ÄÖ"])
def test_a_country_is_two_upper_case_letters(value: str) -> None:
    """The form in which Stripe writes it."""
    assert len(country_violations("country", value)) == 1
