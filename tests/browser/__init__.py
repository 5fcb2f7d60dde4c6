"""The shop in a real browser, with the rows in PostgreSQL that each story leaves."""

import pytest

pytest.register_assert_rewrite(f"{__name__}.harness")
