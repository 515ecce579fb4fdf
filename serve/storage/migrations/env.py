"""Alembic's entry point: it runs on the connection that `serve.storage.records` hands over."""

from alembic import context

from serve.storage import workflow_tables

context.configure(
    connection=context.config.attributes["connection"], target_metadata=workflow_tables.metadata, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
