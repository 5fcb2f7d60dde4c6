"""The machinery of `make bench-quick`, end to end."""

import pytest

from bench.floor import bare_services, measure_beside
from bench.generator import Generator
from bench.stack import SERVICES, running

pytestmark = pytest.mark.long


def test_a_purchase_costs_more_than_its_bare_calls() -> None:
    """A few checkouts are begun and reported, beside the bare services, and each becomes one order."""
    count = 10
    with Generator() as generator, running(generator) as stack, bare_services(stack) as bare:
        orders_before = stack.postgres_rows()["orders"]
        begun, least = measure_beside(stack, bare, "initiate", count, concurrency=2)
        attempts = [each.result.attempts for each in (begun, least)]
        told, least_told = measure_beside(stack, bare, "webhook", count, concurrency=2, attempts=attempts)
        orders = stack.postgres_rows()["orders"] - orders_before

    assert orders == count
    assert begun.cpu_ms(*SERVICES) > least.cpu_ms(*SERVICES) > 0
    assert told.cpu_ms(*SERVICES) > least_told.cpu_ms(*SERVICES) > 0
