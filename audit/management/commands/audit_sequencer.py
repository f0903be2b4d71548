"""``manage.py audit_sequencer``: chain, sign and verify the audit trail, until stopped."""

from __future__ import annotations

import signal
import threading

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from audit.checkpoints import KeyFileError, Signer
from audit.copies import CopyCommand, CopyFile
from audit.sequencer import Sequencer
from audit.walker import Walker


class Command(BaseCommand):
    help = (
        "Put audit records into the hash chain, sign a checkpoint every second, verify the chain. Runs until stopped."
    )

    def handle(self, *args: object, **options: object) -> None:
        try:
            signer = Signer.of_file(settings.AUDIT_SIGNING_KEY)
        except (KeyFileError, OSError) as error:
            raise CommandError(f"The key for the audit checkpoints cannot be used: {error}") from error
        command = CopyCommand(settings.AUDIT_COPY_COMMAND) if settings.AUDIT_COPY_COMMAND else None
        sequencer = Sequencer(signer, CopyFile(settings.AUDIT_CHECKPOINTS), command)
        walker = Walker(lambda: sequencer.is_working)

        def stop(*signal_and_frame: object) -> None:
            sequencer.stop()
            walker.stop()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        # Beside the sequencer and on a connection of its own: verifying never delays a new entry.
        walking = threading.Thread(target=walker.run, name="audit-walker", daemon=True)
        walking.start()
        sequencer.run()
        stop()
        walking.join(5)
