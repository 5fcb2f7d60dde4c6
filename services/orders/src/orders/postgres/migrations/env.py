"""Runs the revisions on the connection that `orders.schema_revision` opened."""

from alembic import context

from orders.postgres.tables import Row

context.configure(connection=context.config.attributes["connection"], target_metadata=Row.metadata)
with context.begin_transaction():
    context.run_migrations()
