"""What Alembic runs: migrations on the connection it is given, within the transaction that is open there."""

from alembic import context

from monitor.stores.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
context.run_migrations()
