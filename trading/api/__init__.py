"""REST API of trading."""
