"""The whole system, as its users and operators see it. Nothing here imports service code."""

import pytest

pytest.register_assert_rewrite(f"{__name__}.billing_scenarios", f"{__name__}.harness")
