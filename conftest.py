"""What holds for every test: where tests count, none is skipped."""

import os

# Else its plugin imports it once a test has failed, which can crash CPython 3.11 and hide the failure.
import hypothesis.internal.conjecture.engine  # noqa: F401
import pytest
from hypothesis import settings

# An example may take its time on a busy machine; where CI is set, that is Hypothesis' own rule.
settings.register_profile("unhurried", settings(), deadline=None)
settings.load_profile("unhurried")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a CI run in which any test was skipped: a test that does not run guards nothing."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    if os.environ.get("CI") == "true" and skipped and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
