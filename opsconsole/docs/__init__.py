"""The Docs page: what is written about the system, in one place."""
