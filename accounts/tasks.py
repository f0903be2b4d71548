"""Thin Celery tasks of people and keys; beat calls each once an hour."""

from __future__ import annotations

from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from accounts import key_actions
from accounts.models import APIKey, SignInFailure
from audit.actors import system

KEPT_FOR = timedelta(days=1)


@shared_task
def remind_of_due_keys() -> None:
    """Note which keys end soon."""
    key_actions.remind_of_due_keys(system("keys"))


@shared_task
def prune_sign_ins() -> None:
    """Drop what signing in left: failures that count no more, and command line sign-ins that ended a day ago."""
    before = timezone.now() - KEPT_FOR
    SignInFailure.objects.filter(at__lt=before).delete()
    APIKey.objects.filter(kind=APIKey.Kind.LOGIN, expires_at__lt=before).delete()
