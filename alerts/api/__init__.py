"""REST API of alerts."""
