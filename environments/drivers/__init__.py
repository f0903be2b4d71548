"""Adapters that start and stop the processes of a slot."""
