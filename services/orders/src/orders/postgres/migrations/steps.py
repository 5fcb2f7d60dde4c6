"""Steps of revisions that must not block readers or writers, whatever the size of the table (ADR 45).

Each runs outside a transaction, and can be repeated after it was killed in the middle. Whatever a revision does before
one of them is committed by it, so it must be repeatable too.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from alembic import op
from sqlalchemy import text


def create_index_concurrently(name: str, definition: str, *, unique: bool = False) -> None:
    """Build an index, `definition` being `table (column, …) WHERE …`, unless a complete one has the name."""
    with _outside_transaction():
        valid = op.get_bind().scalar(
            text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)"), {"name": name}
        )
        if valid:
            return
        if valid is False:  # A build that was killed leaves an index that writes maintain and no query uses.
            op.execute(f"DROP INDEX CONCURRENTLY {name}")
        op.execute(f"CREATE {'UNIQUE ' if unique else ''}INDEX CONCURRENTLY {name} ON {definition}")


def add_constraint(table: str, name: str, definition: str) -> None:
    """Add a constraint to new rows at once, and then check the old ones under a lock that blocks nobody."""
    with _outside_transaction(waits=False):
        op.execute(
            f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}, ADD CONSTRAINT {name} {definition} NOT VALID"
        )
    with _outside_transaction():
        op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")


@contextmanager
def _outside_transaction(*, waits: bool = True) -> Iterator[None]:
    """Run statements each by itself. With `waits`, wait for locks for ever: nobody queues behind these statements."""
    with op.get_context().autocommit_block():
        if waits:
            op.execute("SET lock_timeout = 0")
        try:
            yield
        finally:
            op.execute("RESET lock_timeout")
