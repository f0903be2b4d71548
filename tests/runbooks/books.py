"""A runbook of the tests, and runs of it."""

from __future__ import annotations

import hashlib
from typing import Any

HEAD = """---
slug: {slug}
title: The lamp is dark
summary: It should shine.
alerts: [mismatch]
commands:
  say: {{title: It speaks, run: [echo, "lamp of {{environment}}"]}}
  slow: {{title: It takes long, run: [echo, slow], timeout: 30}}
  gone: {{title: It is away, run: [/nowhere/lamp]}}
---
"""
BODY = """What to know first.

## 1. Look at the lamp in {environment}

Look closely:

```sh
opsctl status {environment}
```

- Expect: it shines
- Check: alerts.open
- Check command: say
- Check command: slow
- Check command: gone
- Fix: tests.mend
- Fix: tests.refuse
- Fix: tests.break
- Fix: trading.emergency_stop
- If yes: end
- If no: step 3, it is broken

## 2. Look at the switch

- Expect: it is on

## 3. Change the bulb

- Fix: tests.mend
- If no: step 1
"""


def text(slug: str = "lamp", body: str = BODY) -> str:
    """The file."""
    return HEAD.format(slug=slug) + body


def make_run(environment: Any, operator: Any, **fields: Any) -> Any:
    """A run at its first step, of a text that no file has."""
    from django.utils import timezone

    from runbooks.models import RunbookRun, RunbookText, StepVisit

    said = text()
    digest = hashlib.sha256(said.encode()).hexdigest()
    kept = {"slug": "lamp", "title": "The lamp is dark", "text": said}
    row = RunbookText.objects.get_or_create(digest=digest, defaults=kept)[0]
    people = {"operator": operator, "started_by": operator}
    run = RunbookRun.objects.create(text=row, environment=environment, **people, **fields)
    StepVisit.objects.create(run=run, step=1, started_at=timezone.now())
    return run
