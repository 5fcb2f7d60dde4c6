"""Plans that PostgreSQL keeps for prepared statements: those for any parameters."""

from typing import Any

import pytest
from sqlalchemy import Select
from sqlalchemy.dialects.postgresql import asyncpg

from orders.postgres import statements


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        (statements.SELECT_PURCHASE, "payments_one_purchase_per_attempt"),
        (statements.HAS_OTHER_PURCHASE, "payments_one_purchase_per_attempt"),
        (statements.SELECT_QUARANTINED.limit(1), "payments_quarantined"),
    ],
)
async def test_a_generic_plan_uses_the_partial_index(sql: Any, statement: Select[Any], index: str) -> None:
    """A parameter in place of the outcome would leave a scan of the whole table, or a new plan for each execution."""
    # The tables are empty, which would make every other plan cheaper.
    await sql.execute("SET enable_seqscan = off; SET enable_sort = off; SET plan_cache_mode = force_generic_plan")
    compiled = statement.compile(dialect=asyncpg.dialect())  # type: ignore[no-untyped-call] # SQLAlchemy left it untyped
    await sql.execute(f"PREPARE prepared AS {compiled}")

    plan = await sql.fetch(f"EXPLAIN EXECUTE prepared ({', '.join('NULL' for _ in compiled.positiontup or ())})")

    assert f"using {index} on payments" in "\n".join(row[0] for row in plan)
