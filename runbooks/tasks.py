"""Thin Celery tasks."""

from __future__ import annotations
