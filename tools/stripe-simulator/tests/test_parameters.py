from typing import Any

import pytest
import stripe

from stripe_simulator.testing import CHECKOUT, SimulatedStripe


async def refusal(sim: SimulatedStripe, **params: Any) -> stripe.InvalidRequestError:
    """Return the error for creating an intent with these parameters."""
    given: Any = {name: value for name, value in {**CHECKOUT, **params}.items() if value is not None}
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sim.api.v1.payment_intents.create_async(given)
    return refused.value


@pytest.mark.parametrize(
    ("params", "code", "param"),
    [
        ({"favourite_colour": "red"}, "parameter_unknown", "favourite_colour"),
        (
            {"automatic_payment_methods": {"enabled": True, "colour": "red"}},
            "parameter_unknown",
            "automatic_payment_methods[colour]",
        ),
        ({"idempotency_key": "x"}, "parameter_unknown", "idempotency_key"),  # a header
        ({"payment_method_types": "x"}, "parameter_unknown", "payment_method_types"),  # of an older version
        ({"currency": None}, "parameter_missing", "currency"),
        ({"customer": ""}, "parameter_invalid_empty", "customer"),
        ({"confirm": "yes"}, None, "confirm"),
        ({"setup_future_usage": "sometimes"}, None, "setup_future_usage"),
        ({"excluded_payment_method_types": ["bitcoin"]}, None, "excluded_payment_method_types[0]"),
        ({"description": "x" * 5001}, None, "description"),
        ({"metadata": {str(number): "v" for number in range(51)}}, None, "metadata"),
        # Stripe knows these, and ignoring them would prove nothing.
        ({"transfer_group": "group"}, "simulator_not_modelled", "transfer_group"),
        ({"transfer_group": {"not": "even a string"}}, "simulator_not_modelled", "transfer_group"),
    ],
    ids=str,
)
async def test_an_invalid_parameter_is_named(sim: SimulatedStripe, params: Any, code: str | None, param: str) -> None:
    """The error has the parameter's path as it is on the wire."""
    error = await refusal(sim, **params)

    assert (error.http_status, error.code, error.param) == (400, code, param)


@pytest.mark.parametrize("amount", ["12.5", "12.0", "1e3", "abc", " 12", "0x10", True])
async def test_integers_are_integers(sim: SimulatedStripe, amount: Any) -> None:
    """Only digits are an integer."""
    error = await refusal(sim, amount=amount)

    assert (error.code, error.param) == ("parameter_invalid_integer", "amount")


@pytest.mark.parametrize("metadata", [{"k" * 41: "v"}, {"k": "v" * 501}], ids=["long key", "long value"])
async def test_metadata_is_limited(sim: SimulatedStripe, metadata: dict[str, str]) -> None:
    """50 keys of 40 characters with values of 500 are allowed, and no more."""
    await sim.intent(metadata={f"{number:040}": "v" * 500 for number in range(50)})

    error = await refusal(sim, metadata=metadata)

    assert (error.param or "").startswith("metadata")


async def test_metadata_updates_merge_and_unset(sim: SimulatedStripe) -> None:
    """An update adds and replaces keys. Empty values unset them."""
    intent = await sim.intent(metadata={"a": "1", "b": "2"})

    updated = await sim.api.v1.payment_intents.update_async(intent.id, {"metadata": {"b": "", "c": "3"}})

    assert updated.metadata.to_dict() == {"a": "1", "c": "3"}


async def test_numbered_and_appended_arrays_are_equal(sim: SimulatedStripe) -> None:
    """`expand[0]` and `expand[]` mean the same."""
    intent = await sim.intent()
    await sim.pay(intent.id)

    _, numbered, _ = await sim.raw("GET", f"/v1/payment_intents/{intent.id}?expand[0]=latest_charge")
    _, appended, _ = await sim.raw("GET", f"/v1/payment_intents/{intent.id}?expand[]=latest_charge")

    assert numbered == appended
    assert numbered["latest_charge"]["object"] == "charge"


async def test_a_body_that_is_not_a_form_is_refused(sim: SimulatedStripe) -> None:
    """JSON is a 400."""
    headers = {"Authorization": f"Bearer {sim.simulator.settings.secret_key}", "Content-Type": "application/json"}

    status, body, _ = await sim.raw("POST", "/v1/payment_intents", data=b'{"amount": 1}', headers=headers)

    assert status == 400
    assert "application/x-www-form-urlencoded" in body["error"]["message"]
