"""Unit of work on PostgreSQL."""
