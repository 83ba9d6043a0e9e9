"""Alembic's folder. A new revision: the next number, its `HEAD` in schema.py, and never a change to an old one."""
