"""Whether the kill switch of an environment is engaged. The latch file leads, the database follows it."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from alerts.actions import clear
from environments.models import Environment
from trading import stop_files
from trading.errors import Latched, WrongState
from trading.models import EmergencyStop
from trading.stop import latch as latch_file


def engaged(environment: Environment) -> bool:
    """Whether nothing may start or resume trading: the latch file is there, or the database says so. One query."""
    if stop_files.held_latch(environment.name) is not None:
        return True
    return Environment.objects.filter(pk=environment.pk, latched_at__isnull=False).exists()


def refuse_while_engaged(environment: Environment, what: str) -> None:
    """Pass, or raise.

    Args:
        what: what is refused, as the beginning of a sentence: "Starting a deployment".

    Raises:
        Latched: the kill switch is engaged; the text says what to do.
    """
    if not engaged(environment):
        return
    raise Latched(
        f"The kill switch of {environment.name} is engaged. {what} is refused until it is released: /kill-switch/. "
        "A rollback is still possible. Nothing was done."
    )


def refuse_while_stopping(environment: Environment) -> None:
    """Pass, or raise.

    Raises:
        WrongState: the emergency stop goes on, at the least with its looks after FLAT.
    """
    if stop_files.running(environment.name) is not None:
        raise WrongState(
            f"The emergency stop of {environment.name} goes on: it looks again after FLAT, for 60 s as a rule, and "
            "without FLAT it tries for 10 min. Release it when it has ended. Nothing was done."
        )


def release(environment: Environment, by: str, drill_only: bool = False) -> EmergencyStop | None:
    """Release the latch of the console: the file, ``latched_at``, and every stop that is not released yet.

    Within the caller's transaction and under the lock of the environment, so that the monitor never takes the file
    that is gone for one that was lost. It permits trading and starts nothing. Harmless to repeat.

    Args:
        by: who asked for it, and who approved.
        drill_only: refuse unless the latch is a drill's.

    Returns:
        The newest stop that was released by this, if there is one.

    Raises:
        WrongState: the stop goes on: it would close what trading opens again, and a new press would only join it.
        Latched: ``drill_only``, and the latch is a real one's. Nothing was done.
        OSError: the file could not be removed.
    """
    with transaction.atomic():
        Environment.objects.select_for_update(no_key=True).get(pk=environment.pk)
        refuse_while_stopping(environment)
        held = stop_files.held_latch(environment.name)
        if drill_only and held is not None and not held.drill:
            raise Latched(
                f"The kill switch of {environment.name} was engaged for real meanwhile. An Admin releases it, with a "
                "second person: /kill-switch/. Nothing was done."
            )
        latch_file.release(stop_files.folder(environment.name))
        now = timezone.now()
        Environment.objects.filter(pk=environment.pk).update(latched_at=None)
        environment.latched_at = None
        unreleased = EmergencyStop.objects.filter(environment=environment, released_at=None)
        newest = unreleased.defer("journal").first()
        for pk in unreleased.values_list("pk", flat=True):
            clear("stop", f"{environment.name} {pk}")
        unreleased.update(released_at=now, released_by=by[:310])
    return newest
