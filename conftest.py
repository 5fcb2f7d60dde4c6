"""Settings of all tests. In CI a skipped test fails the run."""

import os
from pathlib import Path

# Imported early: its plugin would import it after a failed test, which can crash CPython 3.11 and hide the failure.
import hypothesis.internal.conjecture.engine  # noqa: F401
import pytest
from hypothesis import settings

# Simulators fail rather than deviate from the types that Stripe publishes, which `make frontend` extracts.
_PUBLISHED_TYPES = Path(__file__).parent / "frontend/node_modules/.stripe-types.json"
if _PUBLISHED_TYPES.exists():
    os.environ.setdefault("STRIPE_SIMULATOR_PUBLISHED_TYPES", str(_PUBLISHED_TYPES))

# No child of a test uses gRPC after a fork. Its handlers can end a child that starts while other threads make calls.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

# A busy machine is slow. With CI set, Hypothesis itself does the same.
settings.register_profile("no-deadline", settings(), deadline=None)
settings.load_profile("no-deadline")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a CI run in which any test was skipped: a test that does not run guards nothing."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    if os.environ.get("CI") == "true" and skipped and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
