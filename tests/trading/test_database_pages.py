"""The pages of the databases, as a browser without a script uses them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.models import Record
from environments.models import Instance
from tests.accounts.factors import enter, give_second_factor, send_with_proof
from tests.environments.answers import STATE, answer, serve
from tests.pages.test_live_page import words
from trading.live import draw_database_run, draw_databases
from trading.models import DatabaseRun

pytestmark = pytest.mark.django_db


@pytest.fixture
def place(production, tmp_path):
    """Production with a database that nobody looks at here."""
    production.database = {"url": "env:NOWHERE", "schema_name": "book", "folder": str(tmp_path), "keep": 20}
    production.writer_slot = production.slots.get(name="blue")
    production.save()
    return production


@pytest.fixture
def ada(admin):
    give_second_factor(admin)
    return enter(admin)


@pytest.fixture
def backup(place):
    return made(place)


def made(place, hours: float = 1, **fields):
    """A backup as a worker leaves it."""
    at = timezone.now() - timedelta(hours=hours)
    values = {"status": "succeeded", "progress": 100, "path": f"/backups/production-{hours}.dump", "size": 4_123_456}
    values |= {"sha256": "ab" * 32, "facts": {"rows": {"trades": 6200, "positions": 2}, "seconds": 1.5}} | fields
    return DatabaseRun.objects.create(
        environment=place,
        kind="backup",
        actor_name="Ada Admin",
        reason="Daily backup",
        started_at=at,
        finished_at=at,
        **values,
    )


@pytest.fixture
def halted(place):
    with serve({"GET /v1/state": answer({**STATE, "role": "HALTED"})}) as server:
        Instance.objects.filter(slot__environment=place).update(base_url=server.url)
        yield


def test_the_list(ada, place, staging):
    staging.database = {}
    staging.save()
    page = ada.get("/databases/")
    assert "production None" in words(page) and "/databases/staging/" not in page.content.decode()
    made(place, hours=30)
    assert "Too old" in words(ada.get("/databases/"))
    run = made(place)
    DatabaseRun.objects.create(
        environment=place,
        kind="verify",
        status="succeeded",
        backup=run,
        actor_name="x",
        reason="x",
        finished_at=timezone.now(),
    )
    text = words(ada.get("/databases/"))
    assert "4.1 MB Proved just now nothing under way" in text and "Too old" not in text


def test_no_database_says_the_next_step(ada, place, staging):
    for one in (place, staging):
        one.database = {}
        one.save()
    assert "manage.py apply_system" in words(ada.get("/databases/"))
    assert "No database is named here" in words(ada.get("/databases/production/"))


def test_the_page_of_an_environment(ada, place, backup):
    made(place, hours=50, facts={"rows": {"trades": 1}, "before": "x"}, sha256="cd" * 32)
    text = words(ada.get("/databases/production/"))
    for wanted in ("1. Back up now", "2. Halt trading", "3. Verify", "4. Restore, if needed", "ab" * 32):
        assert wanted in text
    assert "6,202 rows in 2 tables" in text and "before a restore" in text and "1.5 s" in text
    assert "None was proved yet: verify it first" in text and "20 are kept" in text


def test_lists_take_a_fixed_number_of_queries(ada, place, backup):
    def asked(address: str) -> int:
        with CaptureQueriesContext(connection) as seen:
            assert ada.get(address).status_code == 200
        return len(seen)

    before = [asked(address) for address in ("/databases/", "/databases/production/")]
    for hours in range(2, 12):
        made(place, hours=hours)
    assert [asked(address) for address in ("/databases/", "/databases/production/")] == before


def test_asking_for_a_backup_and_following_it(ada, place):
    done = ada.post("/databases/production/backup/", {"reason": ""})
    run = DatabaseRun.objects.get()
    assert done.status_code == 302 and done["Location"] == f"/databases/runs/{run.pk}/"
    assert (run.reason, run.actor_name) == ("Backup by hand", "Ada Admin")
    assert "Waiting for a worker" in words(ada.get(f"/databases/runs/{run.pk}/"))
    again = ada.post("/databases/production/verify/", {"reason": "x"})
    assert again.status_code == 409 and "Backup by Ada Admin is under way" in words(again)
    DatabaseRun.objects.update(status="running", progress=42, detail="Writing trades", started_at=timezone.now())
    text = words(ada.get("/databases/production/"))
    assert "42 %" in text and "Writing trades" in text and "Backup is under way." in text
    DatabaseRun.objects.update(status="failed", detail="The disk is full.", finished_at=timezone.now())
    assert "The disk is full." in words(ada.get("/databases/production/"))


def test_verifying_the_data_or_a_backup(ada, place, backup):
    ada.post("/databases/production/verify/", {"backup": str(backup.pk), "reason": "Check"})
    assert DatabaseRun.objects.get(kind="verify").backup == backup
    DatabaseRun.objects.filter(kind="verify").update(status="succeeded")
    ada.post("/databases/production/verify/", {"backup": "", "reason": "Check"})
    assert DatabaseRun.objects.filter(kind="verify", backup=None).exists()
    wrong = ada.post("/databases/production/verify/", {"backup": str(backup.environment_id), "reason": "Check"})
    assert wrong.status_code == 400 and "There is no such backup any more" in words(wrong)


def test_a_reason_that_is_too_long(ada, place):
    done = ada.post("/databases/production/backup/", {"reason": "x" * 2001})
    assert done.status_code == 400 and "at most 2000 are kept" in words(done)


def test_a_restore_takes_a_proof_and_halted_trading(ada, place, backup, halted, admin):
    address = f"/databases/production/restore/{backup.pk}/"
    text = words(ada.get(address))
    assert "6,202 rows in 2 tables of this backup" in text and "production-blue-1 is HALTED." in text
    fields = {"name_typed": "production", "reason": "Wrong migration", "even_if_unreadable": "1"}
    bare = ada.post(address, fields)
    assert bare.status_code == 403 and "Nothing was done." in words(bare) and "Wrong migration" in words(bare)
    wrong = send_with_proof(ada, address, {**fields, "name_typed": "staging"})
    assert wrong.status_code == 403 and "Type the name exactly as it stands here: production" in words(wrong)
    unsaid = send_with_proof(ada, address, {**fields, "reason": ""})
    assert unsaid.status_code == 400 and not DatabaseRun.objects.filter(kind="restore").exists()
    done = send_with_proof(ada, address, fields)
    run = DatabaseRun.objects.get(kind="restore")
    assert done["Location"] == f"/databases/runs/{run.pk}/"
    assert (run.backup, run.reason, run.facts["even_if_unreadable"]) == (backup, "Wrong migration", True)
    kept = Record.objects.get(action="account.confirmed")
    assert kept.after == {"action": "database.restore", "method": "totp"} and kept.object_id == str(backup.pk)
    assert Record.objects.get(action="database.restore").outcome == "intent"


def test_a_restore_says_to_halt_first(ada, place, backup):
    """Nobody answers, and whether anything runs is not known."""
    address = f"/databases/production/restore/{backup.pk}/"
    text = words(ada.get(address))
    assert "Halt trading first." in text and "whether it runs is not known" in text and "Type the name" not in text
    tried = ada.post(address, {"reason": "x", "name_typed": "production"})
    assert tried.status_code == 409 and not Record.objects.filter(action="account.confirmed").exists()


def test_who_sees_what(place, backup, operator, developer, person):
    give_second_factor(operator)
    client = enter(operator)
    text = words(client.get("/databases/production/"))
    assert "Backing up, verifying and restoring in production takes: Admin." in text
    assert "Hold 1.5 s to halt trading" in text, "an Operator may stop"
    assert f"/restore/{backup.pk}/" not in client.get("/databases/production/").content.decode()
    assert client.get(f"/databases/production/restore/{backup.pk}/").status_code == 403
    assert client.post("/databases/production/backup/", {"reason": "x"}).status_code == 403
    assert Record.objects.filter(action="access.denied").count() == 2
    dora = enter(developer)
    assert "Halting production takes: Admin or Operator." in words(dora.get("/databases/production/"))
    assert dora.post("/databases/production/halt/", {"reason": "x"}).status_code == 403
    nobody = enter(person("nemo", None))
    for address in ("production/", "production/acts/", f"runs/{backup.pk}/", f"production/restore/{backup.pk}/"):
        assert nobody.get(f"/databases/{address}").status_code == 404
    assert "No database is operated from here" in words(nobody.get("/databases/"))


def test_halting_needs_a_reason_and_says_what_was_read_back(ada, place):
    done = ada.post("/databases/production/halt/", {"reason": ""})
    assert done.status_code == 400 and 'id="dialog-halt"' in done.content.decode() and "Say why" in words(done)
    silent = ada.post("/databases/production/halt/", {"reason": "Damage"})
    assert silent.status_code == 502 and "Not confirmed" in words(silent)
    assert Record.objects.filter(action="breaker.tripped_by_hand", reason="database: Damage").exists()


def test_a_backup_of_another_environment_or_without_a_file(ada, place, staging, backup):
    assert ada.get(f"/databases/staging/restore/{backup.pk}/").status_code == 404
    DatabaseRun.objects.update(path="")
    assert ada.get(f"/databases/production/restore/{backup.pk}/").status_code == 404
    DatabaseRun.objects.update(facts={"removed_at": "2026-01-01T10:00:00+00:00"})
    assert "removed 2026-01-01T10:00 UTC" in words(ada.get(f"/databases/runs/{backup.pk}/"))


def test_live_regions_are_those_of_the_pages(ada, place, backup):
    page = ada.get("/databases/production/").content.decode()
    view = draw_databases(str(place.pk))
    assert all(f'id="{region}"' in page for region in view.regions)
    for part in ("acts", "backups"):
        reload = view.regions[f"database-{part}"]
        assert f'data-stamp="{reload.stamp}"' in page and ada.get(reload.url).status_code == 200
    run_page = ada.get(f"/databases/runs/{backup.pk}/").content.decode()
    drawn = draw_database_run(str(backup.pk))
    assert all(f'id="{region}"' in run_page for region in drawn.regions) and drawn.say == "Backup: Done."
