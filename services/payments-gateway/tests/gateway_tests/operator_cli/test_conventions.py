"""Conventions that all verbs follow: exit codes, output, errors."""

import json

import grpc
import pytest

from checkout.session.v1 import checkout_session_pb2

from ..operator_command import environment, holdfast
from ..samples import ATTEMPT_ID
from ..service_stand_ins import OrdersStandIn, Refusal, SessionStandIn


async def test_help_names_verbs_and_exit_codes() -> None:
    """The first thing that an operator reads."""
    shown = await holdfast(environment(), "--help")

    assert shown.code == 0
    assert "explain" in shown.stdout
    assert "3  Stripe or a service is unavailable" in shown.stdout


async def test_an_unavailable_dependency_is_exit_code_3() -> None:
    """A script may run the command again; standard output stays empty for its parser."""
    failed = await holdfast(environment(), "explain", ATTEMPT_ID, "--json")

    assert (failed.code, failed.stdout) == (3, "")
    assert failed.stderr.endswith("holdfast: checkout-session is unavailable; run the command again\n")


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
    async with SessionStandIn().served_at() as target:  # it answers INTERNAL
        failed = await holdfast(environment(checkout_session=target), "explain", ATTEMPT_ID)

    assert (failed.code, failed.stdout) == (4, "")
    log, said = failed.stderr.splitlines()
    assert json.loads(log)["exception"][0]["type"] == "UnexpectedAnswer"
    assert said == "holdfast: failed: the log above says where"


async def test_what_is_not_found_is_exit_code_1() -> None:
    """Running the command again would not help."""
    orders, session = OrdersStandIn(), SessionStandIn()
    session.answer = Refusal(grpc.StatusCode.NOT_FOUND, "attempt_not_found")
    orders.answer = Refusal(grpc.StatusCode.NOT_FOUND, "purchase_not_found")

    async with session.served_at() as session_target, orders.served_at() as orders_target:
        variables = environment(checkout_session=session_target, orders=orders_target)
        refused = await holdfast(variables, "explain", ATTEMPT_ID)

    assert (refused.code, refused.stdout) == (1, "")
    assert refused.stderr == "holdfast: no attempt and no purchase has this id\n"


async def test_json_is_one_document_on_standard_output() -> None:
    """Scripts parse it; people get a table of the same."""
    orders, session = OrdersStandIn(), SessionStandIn()
    session.answer = checkout_session_pb2.GetAttemptResponse(
        tombstone=checkout_session_pb2.Tombstone(
            attempt_id=ATTEMPT_ID, reason=checkout_session_pb2.DELETE_REASON_CANCELLED
        )
    )
    orders.answer = Refusal(grpc.StatusCode.NOT_FOUND, "purchase_not_found")

    async with session.served_at() as session_target, orders.served_at() as orders_target:
        variables = environment(checkout_session=session_target, orders=orders_target)
        document = await holdfast(variables, "explain", ATTEMPT_ID, "--json")
        table = await holdfast(variables, "explain", ATTEMPT_ID)

    assert document.document == {"attempt": "deleted: cancelled", "purchase": None}
    assert "deleted: cancelled" in table.stdout
