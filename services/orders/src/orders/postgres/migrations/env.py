"""Runs the revisions on the connection that `orders.postgres.migrate` opened, each in its own transaction."""

from alembic import context

from orders.postgres.tables import Row

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Row.metadata,
    transaction_per_migration=True,  # A revision that builds an index leaves its transaction: see steps.py.
)
with context.begin_transaction():
    context.run_migrations()
