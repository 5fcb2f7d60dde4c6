"""Stripe's limits: of the account, and of each operation."""

from typing import Any

import pytest

from stripe_simulator import SimulatorSettings
from stripe_simulator.api_errors import ApiError
from stripe_simulator.rate_limits import LIVE_LIMITS, SANDBOX_LIMITS, RateLimiter, RateLimits
from stripe_simulator.testing import SimulatedStripe, simulated_stripe


class Clock:
    """A clock that only the test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.seconds


def admitted(limiter: RateLimiter, *operations: str) -> int:
    """Return how many requests for these operations pass."""
    passed = 0
    for operation in operations:
        try:
            limiter.admit_to_account()
            limiter.admit_to_operation(operation)
        except ApiError:
            continue
        passed += 1
    return passed


def test_an_operation_is_limited_alone() -> None:
    """Others go on, up to the account's limit. A bucket fills with the time."""
    clock = Clock()
    limiter = RateLimiter(RateLimits(5, 2), clock)

    first = admitted(limiter, *["a"] * 3), admitted(limiter, *["b"] * 9)
    clock.seconds = 0.5
    later = admitted(limiter, *["a"] * 9)

    assert first == (2, 2)
    assert later == 1
    assert limiter.to_dict()["refused"] == {"endpoint-rate": 2, "global-rate": 14}


@pytest.mark.parametrize(("key", "limits"), [("sk_test_1", SANDBOX_LIMITS), ("sk_live_1", LIVE_LIMITS)])
def test_stripes_limits_are_the_default(key: str, limits: RateLimits) -> None:
    """They depend on the key's mode."""
    assert SimulatorSettings(secret_key=key).rate_limits_in_force == limits


async def refusals(sim: SimulatedStripe, *requests: tuple[str, str]) -> list[tuple[str, Any]]:
    """Send the requests one after the other. Return the refused paths with the limit that each names."""
    refused = []
    for method, path in requests:
        status, body, headers = await sim.raw(method, path)
        if status == 429:
            assert (body["error"]["code"], "Retry-After" in headers) == ("rate_limit", False)
            refused.append((path, headers.get("Stripe-Rate-Limited-Reason")))
    return refused


async def test_ids_share_the_limit_of_their_operation() -> None:
    """Methods do not, and the 429 names the limit."""
    limits = RateLimits(requests_per_second=1000, operation_requests_per_second=2.5)
    async with simulated_stripe(SimulatorSettings(rate_limits=limits)) as sim:
        reads = [("GET", f"/v1/customers/cus_{number}") for number in range(3)]
        refused = await refusals(sim, *reads, ("GET", "/v1/customers"), ("POST", "/v1/customers"))

    assert refused == [("/v1/customers/cus_2", "endpoint-rate")]


async def test_the_account_has_one_limit() -> None:
    """Unknown paths count, requests without a valid key do not. The control API changes the limits at once."""
    paths = ("/v1/customers", "/v1/prices", "/v1/nothing", "/v1/products")
    async with simulated_stripe(SimulatorSettings(rate_limits=RateLimits(3.5))) as sim:
        for _ in range(9):
            await sim.raw("GET", "/v1/customers", headers={"Authorization": "Bearer sk_test_wrong"})
        refused = await refusals(sim, *[("GET", path) for path in paths])
        limits = {"requests_per_second": None, "operation_requests_per_second": None}
        changed = await sim.control("POST", "/rate_limits", limits)
        after = await refusals(sim, *[("GET", path) for path in paths])

    assert refused == [("/v1/products", "global-rate")]
    assert changed == limits | {"refused": {"global-rate": 1}}
    assert after == []


async def test_a_refused_request_is_not_saved_under_its_key(sim: SimulatedStripe) -> None:
    """A fault names any of Stripe's limits, and the same key executes afterwards."""
    await sim.control("POST", "/faults", {"kind": "rate_limit", "reason": "global-concurrency"})
    key = {"Authorization": f"Bearer {sim.simulator.settings.secret_key}", "Idempotency-Key": "a-key"}

    refused = await sim.raw("POST", "/v1/customers", headers=key)
    made = await sim.raw("POST", "/v1/customers", headers=key)

    assert (refused[0], refused[2]["Stripe-Rate-Limited-Reason"]) == (429, "global-concurrency")
    assert (made[0], made[2].get("Idempotent-Replayed")) == (200, None)
