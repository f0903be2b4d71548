"""The REST API of checklists and runbooks."""
