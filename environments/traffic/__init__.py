"""Adapters that move inbound traffic between the slots of an environment."""
