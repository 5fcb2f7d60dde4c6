"""Runs the revisions on the connection that `orders.postgres.migrate` opened."""

from alembic import context

from orders.postgres.tables import Row

context.configure(connection=context.config.attributes["connection"], target_metadata=Row.metadata)
with context.begin_transaction():
    context.run_migrations()
