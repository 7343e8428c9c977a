"""The schema's steps, from nothing to now; Alembic runs them."""
