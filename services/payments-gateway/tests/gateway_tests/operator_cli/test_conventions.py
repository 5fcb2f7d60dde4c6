"""Conventions that all verbs follow: exit codes, output, errors."""

import json

import pytest

from ..operator_command import environment, holdfast
from ..samples import ATTEMPT_ID
from ..service_stand_ins import OrdersStandIn


async def test_help_names_verbs_and_exit_codes() -> None:
    """The first thing that an operator reads."""
    shown = await holdfast(environment(), "--help")

    assert shown.code == 0
    assert "explain" in shown.stdout
    assert "3  Stripe or a service is unavailable" in shown.stdout


async def test_an_unavailable_dependency_is_exit_code_3() -> None:
    """A script may run the command again; standard output stays empty for its parser."""
    failed = await holdfast(environment(), "quarantine", "show", "pi_1", "--json")

    assert (failed.code, failed.stdout) == (3, "")
    assert failed.stderr.endswith("holdfast: orders is unavailable; run the command again\n")


@pytest.mark.parametrize("arguments", [("explain",), ("explain", ATTEMPT_ID, "--loud"), ("forget",)])
async def test_wrong_arguments_are_exit_code_2(arguments: tuple[str, ...]) -> None:
    """Nothing is done then."""
    refused = await holdfast(environment(), *arguments)

    assert refused.code == 2
    assert "Usage: " in refused.stderr


async def test_missing_settings_are_exit_code_2() -> None:
    """They are the gateway's, and named as such."""
    refused = await holdfast({}, "explain", ATTEMPT_ID)

    assert refused.code == 2
    assert "GATEWAY_ORDERS_TARGET" in refused.stderr


async def test_a_fault_of_the_program_is_exit_code_4() -> None:
    """The log has types and places, not what a message may quote (P7)."""
    async with OrdersStandIn().served_at() as target:  # it knows no such rpc
        failed = await holdfast(environment(orders=target), "quarantine", "show", "pi_1")

    assert (failed.code, failed.stdout) == (4, "")
    log, said = failed.stderr.splitlines()
    assert json.loads(log)["exception"][0]["type"] == "UnexpectedAnswer"
    assert said == "holdfast: failed: the log above says where"


async def test_what_did_not_answer_is_named_and_the_rest_shown() -> None:
    """Half an explanation helps in an outage; its exit code tells it from a whole one."""
    shown = await holdfast(environment(), "explain", ATTEMPT_ID, "--json")

    assert shown.code == 3
    assert shown.document["unavailable"] == ["checkout-session", "orders"]
    assert shown.document["next"] == ["Unknown: checkout-session, orders did not answer. Run the command again."]
