from typing import Any

import pytest
import stripe

from stripe_simulator.testing import CHECKOUT, SimulatedStripe


async def refusal(sim: SimulatedStripe, **params: Any) -> stripe.InvalidRequestError:
    """Answer the error that creating an intent with these parameters gets."""
    given: Any = {**CHECKOUT, **params}
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sim.api.v1.payment_intents.create_async(given)
    return refused.value


async def test_unknown_parameter_is_named(sim: SimulatedStripe) -> None:
    """A parameter that Stripe does not know is refused by name."""
    error = await refusal(sim, favourite_colour="red")

    assert (error.http_status, error.code, error.param) == (400, "parameter_unknown", "favourite_colour")
    assert "Received unknown parameter: favourite_colour" in str(error)


async def test_unknown_nested_parameter_is_named_with_its_path(sim: SimulatedStripe) -> None:
    """A nested parameter is named as it is written on the wire."""
    error = await refusal(sim, automatic_payment_methods={"enabled": True, "colour": "red"})

    assert (error.code, error.param) == ("parameter_unknown", "automatic_payment_methods[colour]")


@pytest.mark.parametrize("name", ["idempotency_key", "stripe_account", "payment_method_types"])
async def test_request_options_and_former_parameters_are_unknown(sim: SimulatedStripe, name: str) -> None:
    """What travels as a header, or belongs to an older API version, is no parameter."""
    error = await refusal(sim, **{name: "x"})

    assert (error.code, error.param) == ("parameter_unknown", name)


async def test_missing_parameter_is_named(sim: SimulatedStripe) -> None:
    """A required parameter that is missing is named."""
    incomplete: Any = {"amount": 100}
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sim.api.v1.payment_intents.create_async(incomplete)

    assert (refused.value.code, refused.value.param) == ("parameter_missing", "currency")


@pytest.mark.parametrize("amount", ["12.5", "12.0", "1e3", "abc", " 12", "0x10", True])
async def test_integers_are_integers(sim: SimulatedStripe, amount: Any) -> None:
    """Nothing but digits is an integer."""
    error = await refusal(sim, amount=amount)

    assert (error.code, error.param) == ("parameter_invalid_integer", "amount")


async def test_booleans_are_true_or_false(sim: SimulatedStripe) -> None:
    """Python's idea of truth is not Stripe's."""
    error = await refusal(sim, confirm="yes")

    assert error.param == "confirm"
    assert "Invalid boolean: yes" in str(error)


@pytest.mark.parametrize(
    ("name", "value", "param"),
    [
        ("setup_future_usage", "sometimes", "setup_future_usage"),
        ("capture_method", "later", "capture_method"),
        ("excluded_payment_method_types", ["bitcoin"], "excluded_payment_method_types[0]"),
    ],
)
async def test_enums_are_closed(sim: SimulatedStripe, name: str, value: Any, param: str) -> None:
    """A value that is not listed is refused, though the library's types would let it pass."""
    error = await refusal(sim, **{name: value})

    assert error.param == param
    assert "must be one of" in str(error)


async def test_empty_string_cannot_unset_what_is_required(sim: SimulatedStripe) -> None:
    """An empty string is an attempt to unset."""
    error = await refusal(sim, customer="")

    assert (error.code, error.param) == ("parameter_invalid_empty", "customer")


async def test_strings_have_at_most_5000_characters(sim: SimulatedStripe) -> None:
    """5000 characters pass, one more does not."""
    await sim.intent(description="x" * 5000)

    error = await refusal(sim, description="x" * 5001)

    assert error.param == "description"


@pytest.mark.parametrize(
    "metadata",
    [{"k" * 41: "v"}, {"k": "v" * 501}, {str(number): "v" for number in range(51)}],
    ids=["long key", "long value", "too many keys"],
)
async def test_metadata_is_limited(sim: SimulatedStripe, metadata: dict[str, str]) -> None:
    """Metadata takes 50 keys of 40 characters with values of 500, and not more."""
    most = {f"{number:040}": "v" * 500 for number in range(50)}
    await sim.intent(metadata=most)

    error = await refusal(sim, metadata=metadata)

    assert error.param
    assert error.param.startswith("metadata")


async def test_metadata_updates_merge_and_unset(sim: SimulatedStripe) -> None:
    """An update adds and replaces keys; empty values unset them."""
    intent = await sim.intent(metadata={"a": "1", "b": "2"})

    updated = await sim.api.v1.payment_intents.update_async(intent.id, {"metadata": {"b": "", "c": "3"}})

    assert updated.metadata.to_dict() == {"a": "1", "c": "3"}


@pytest.mark.parametrize("value", ["group", "", {"not": "even a string"}])
async def test_a_parameter_that_is_not_modelled_is_refused_loudly(sim: SimulatedStripe, value: Any) -> None:
    """What Stripe knows and the simulator ignores would prove nothing, so it is refused, whatever its value."""
    error = await refusal(sim, transfer_group=value)

    assert (error.code, error.param) == ("simulator_not_modelled", "transfer_group")


async def test_numbered_and_appended_arrays_are_both_read(sim: SimulatedStripe) -> None:
    """`expand[0]` and `expand[]` mean the same."""
    intent = await sim.intent()
    await sim.pay(intent.id)

    _, numbered, _ = await sim.raw("GET", f"/v1/payment_intents/{intent.id}?expand[0]=latest_charge")
    _, appended, _ = await sim.raw("GET", f"/v1/payment_intents/{intent.id}?expand[]=latest_charge")

    assert numbered == appended
    assert numbered["latest_charge"]["object"] == "charge"


@pytest.mark.parametrize("content_type", ["application/json", "text/plain"])
async def test_other_content_types_are_refused(sim: SimulatedStripe, content_type: str) -> None:
    """A body that is not a form is a 400."""
    key = {"Authorization": f"Bearer {sim.simulator.settings.secret_key}", "Content-Type": content_type}

    status, body, _ = await sim.raw("POST", "/v1/payment_intents", data=b'{"amount": 1}', headers=key)

    assert status == 400
    assert "application/x-www-form-urlencoded" in body["error"]["message"]
