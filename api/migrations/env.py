"""What Alembic runs: the migrations, on the connection and in the transaction of `api.migrations.upgrade`."""

from alembic import context

from api import tables
from producers.outbox import metadata as outbox_metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=[tables.metadata, outbox_metadata]
)
with context.begin_transaction():
    context.run_migrations()
