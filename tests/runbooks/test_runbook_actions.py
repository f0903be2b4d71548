"""A run of a runbook: how it moves, who may act, what diagnostics and remedies leave, and two who act at once."""

from __future__ import annotations

import threading

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from accounts.domain import InvalidRequest, NotFound
from accounts.errors import Forbidden
from alerts.actions import raise_alert
from audit.models import Record
from environments import remedies
from environments.remedies import Remedy
from runbooks import runbook_actions as actions
from runbooks import runbook_queries as queries
from runbooks import runbook_work
from runbooks.errors import DefinitionInvalid, NotInControl, RunChanged, RunClosed
from runbooks.models import RunbookRun, RunbookText, StepOutput
from tests.runbooks.books import make_run, text

pytestmark = pytest.mark.django_db
done_by_remedies: list[tuple] = []


def mend(actor, subject, reason):
    done_by_remedies.append((actor.name, subject.environment.name, reason, connection.in_atomic_block))
    return "The lamp was asked to shine."


def refuse(actor, subject, reason):
    raise RunClosed("The lamp is locked.")


def crash(actor, subject, reason):
    raise ZeroDivisionError("by zero, password=hunter2")


@pytest.fixture(autouse=True)
def fixes(monkeypatch):
    """Remedies that are known here alone."""
    done_by_remedies.clear()
    known = dict(remedies._remedies)
    for name, run, permission in (
        ("mend", mend, "deploy_environment"),
        ("refuse", refuse, "run_checklists"),
        ("break", crash, "run_checklists"),
    ):
        known[f"tests.{name}"] = Remedy(f"tests.{name}", name.title(), permission, lambda subject: "Shines", run)
    monkeypatch.setattr(remedies, "_remedies", known)


@pytest.fixture
def folder(settings, tmp_path):
    settings.OPSC_RUNBOOKS = [tmp_path]
    (tmp_path / "lamp.md").write_text(text())
    return tmp_path


@pytest.fixture
def ada(admin, actor_of):
    return actor_of(admin)


@pytest.fixture
def otto(operator, actor_of):
    return actor_of(operator)


@pytest.fixture
def run(production, operator):
    return make_run(production, operator)


def steps(run):
    return [(one.step, one.outcome, one.reason) for one in run.steps.all()]


def test_a_run_keeps_the_text_that_it_began_with(folder, production, otto):
    alert = raise_alert("mismatch", "production", severity="critical", title="Differs", environment=production)
    run = actions.start(otto, production, "lamp", alert=alert)
    (folder / "lamp.md").write_text(text(body="## 1. Something else\n"))
    view = queries.view(otto.user, run.pk)
    assert view.step.title == "Look at the lamp in production" and view.progress == "Step 1 of 3"
    assert view.may_act and not view.may_take_over and run.alert == alert and run.operator == otto.user
    again = actions.start(otto, production, "lamp")
    assert (
        RunbookText.objects.count() == 2
        and queries.view(otto.user, again.pk).runbook.steps[0].title == "Something else"
    )
    started = Record.objects.filter(action="runbook.started").first()
    assert started.environment == "production" and started.after["runbook"] == "lamp"


def test_what_cannot_be_started(folder, production, staging, otto, person, actor_of):
    (folder / "bad.md").write_text(text("bad", "Nothing."))
    with pytest.raises(DefinitionInvalid, match="bad.md, line 1: There is no step"):
        actions.start(otto, production, "bad")
    with pytest.raises(NotFound):
        actions.start(otto, production, "nothing")
    alert = raise_alert("mismatch", "staging", severity="warning", title="Differs", environment=staging)
    with pytest.raises(InvalidRequest, match="not about production"):
        actions.start(otto, production, "lamp", alert=alert)
    with pytest.raises(InvalidRequest, match="no deployment 77"):
        actions.start(otto, production, "lamp", deployment=77)
    assert not RunbookRun.objects.exists()


def test_branches_lead_where_the_file_says(run, otto):
    actions.failed(otto, run, "It is dark.")
    run.refresh_from_db()
    assert run.step == 3
    actions.failed(otto, run, "It does not fit.")
    actions.skip(otto, run, "Seen before.", to=2)
    actions.done(otto, run)
    actions.done(otto, run)
    run.refresh_from_db()
    view = queries.view(otto.user, run.pk)
    assert run.step == 0 and view.is_at_end and view.step is None and run.revision == 5
    assert steps(run) == [
        (1, "failed", "It is dark."),
        (3, "failed", "It does not fit."),
        (1, "skipped", "Seen before."),
        (2, "done", ""),
        (3, "done", ""),
    ]
    with pytest.raises(RunChanged, match="No step is left"):
        actions.done(otto, run)
    actions.skip(otto, run, "Once more.", to=1)
    actions.done(otto, run)
    run.refresh_from_db()
    assert run.step == 0  # "If yes: end"
    ended = actions.finish(otto, run, "The bulb was changed.", resolved=True)
    assert ended.status == "resolved" and ended.finished_at and ended.summary == "The bulb was changed."
    with pytest.raises(RunClosed):
        actions.take_over(otto, run)


def test_an_end_closes_the_current_step(run, production, operator, otto):
    actions.abandon(otto, run, "False alarm.")
    assert steps(run) == [(1, "skipped", "The run was abandoned here.")]
    other = make_run(production, operator)
    actions.finish(otto, other, "It went away.", resolved=False)
    other.refresh_from_db()
    assert (other.status, other.summary) == ("unresolved", "It went away.")
    told = Record.objects.filter(action__startswith="runbook.").values_list("action", flat=True)
    assert set(told) == {"runbook.abandoned", "runbook.finished"}


def test_texts_are_asked_for(run, otto):
    for act in (
        lambda: actions.failed(otto, run, " "),
        lambda: actions.skip(otto, run, ""),
        lambda: actions.skip(otto, run, "x", to=9),
        lambda: actions.skip(otto, run, "x", to=1),
        lambda: actions.finish(otto, run, "", resolved=True),
        lambda: actions.abandon(otto, run, ""),
        lambda: actions.remedy(otto, run, "tests.mend", ""),
        lambda: actions.failed(otto, run, "x" * 2_001),
        lambda: actions.note(otto, run, "x" * 20_001),
    ):
        with pytest.raises(InvalidRequest):
            act()
    run.refresh_from_db()
    assert run.revision == 0 and steps(run) == [(1, "", "")]


ACTS = {
    "done": lambda actor, run: actions.done(actor, run),
    "failed": lambda actor, run: actions.failed(actor, run, "x"),
    "skip": lambda actor, run: actions.skip(actor, run, "x"),
    "note": lambda actor, run: actions.note(actor, run, "x"),
    "diagnose": lambda actor, run: actions.diagnose(actor, run, "alerts.open"),
    "remedy": lambda actor, run: actions.remedy(actor, run, "tests.refuse", "x"),
    "finish": lambda actor, run: actions.finish(actor, run, "x", resolved=True),
    "abandon": lambda actor, run: actions.abandon(actor, run, "x"),
}


def test_who_may_act(run, staging, operator, admin, developer, person, actor_of):
    ada, dora, nemo = actor_of(admin), actor_of(developer), actor_of(person("nemo", None))
    for act in ACTS.values():
        for actor, refusal in ((ada, NotInControl), (dora, Forbidden), (nemo, Forbidden)):
            with pytest.raises(refusal):
                act(actor, run)
    for actor in (dora, nemo):
        with pytest.raises(Forbidden):
            actions.take_over(actor, run)
    elsewhere = make_run(staging, operator)
    assert actions.take_over(dora, elsewhere).operator == developer
    view = queries.view(developer, run.pk)
    assert not view.may_act and not view.may_take_over and view.who_can == "Admin or Operator"
    assert queries.view(person("nina", None), run.pk) is None


def test_taking_over_is_told_and_makes_old_forms_fail(run, ada, otto):
    before = run.revision
    taken = actions.take_over(ada, run, revision=before)
    assert taken.operator == ada.user and taken.revision == before + 1
    told = Record.objects.get(action="runbook.taken_over")
    assert told.after["before"] == otto.user.display_name
    with pytest.raises(NotInControl, match="Ada Admin has control"):
        actions.done(otto, run, revision=before)
    with pytest.raises(RunChanged, match="step 1 is current now"):
        actions.done(ada, run, revision=before)
    assert actions.take_over(ada, run).revision == before + 1  # nothing changes for who has it
    places = [run.environment_id]
    assert [one.run.pk for one in queries.running_of(ada.user, places)] == [run.pk]
    assert queries.running_of(otto.user, places) == [] == queries.running_of(ada.user, [])


@pytest.mark.django_db(transaction=True)
def test_two_take_over_at_once_and_one_of_them_has_it(production, operator, admin, person, actor_of):
    run = make_run(production, operator)
    people = [admin, person("alan", "Admin")]
    barrier, answers = threading.Barrier(2), []

    def take(user):
        try:
            barrier.wait(10)
            answers.append(actions.take_over(actor_of(user), run, revision=0).operator_id)
        except RunChanged:
            answers.append("changed")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=take, args=(user,)) for user in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    run.refresh_from_db()
    assert sorted(map(str, answers)) == sorted([str(run.operator_id), "changed"])
    assert run.revision == 1 and Record.objects.filter(action="runbook.taken_over").count() == 1


def test_diagnostics_are_kept_with_the_step(run, otto):
    read = actions.diagnose(otto, run, "alerts.open", revision=0)
    assert read.finished_at and read.verdict == "pass" and read.kind == "diagnostic"
    said = actions.diagnose(otto, run, "command:say")
    assert (said.verdict, said.output) == ("pass", "lamp of production") and said.value.startswith("Exit code 0 after")
    gone = actions.diagnose(otto, run, "command:gone")
    assert gone.verdict == "no_data" and gone.value.startswith("/nowhere/lamp did not begin")
    view = queries.view(otto.user, run.pk)
    assert [(one.title, one.last.verdict if one.last else None) for one in view.checks][1:] == [
        ("It speaks", "pass"),
        ("It takes long", None),
        ("It is away", "no_data"),
    ]
    run.refresh_from_db()
    assert run.revision == 0 and Record.objects.filter(action="runbook.diagnosed").count() == 3
    for name in ("environments.health", "command:other", "nothing"):
        with pytest.raises(NotFound, match="Step 1 has no diagnostic"):
            actions.diagnose(otto, run, name)


def test_a_long_command_is_a_worker_s_and_is_carried_out_once(run, otto):
    output = actions.diagnose(otto, run, "command:slow")
    assert output.finished_at is None and queries.output_state(output) == "running"
    with pytest.raises(RunChanged, match="runs at this moment"):
        actions.diagnose(otto, run, "command:slow")
    actions.done(otto, run)  # nobody has to wait for it
    runbook_work.run_command(output.pk)
    output.refresh_from_db()
    assert (output.verdict, output.output) == ("pass", "slow") and output.finished_at
    StepOutput.objects.filter(pk=output.pk).update(finished_at=None, output="")
    runbook_work.run_command(output.pk)  # the message came twice
    output.refresh_from_db()
    assert output.output == "" and output.finished_at is None


def test_an_output_without_an_end_is_said_to_be_lost(run, otto):
    output = actions.diagnose(otto, run, "command:slow")
    late = output.started_at + queries.LOST_AFTER * 2
    assert queries.output_state(output, late) == "lost"
    StepOutput.objects.filter(pk=output.pk).update(started_at=output.started_at - queries.LOST_AFTER * 2)
    runbook_work.run_command(output.pk)
    output.refresh_from_db()
    assert output.finished_at is None  # nobody waits for it
    assert actions.diagnose(otto, run, "command:slow").pk != output.pk


def test_a_remedy_is_carried_out_once_with_its_reason(production, ada):
    run = make_run(production, ada.user)
    output = actions.remedy(ada, run, "tests.mend", "It is dark.", revision=0)
    assert (output.verdict, output.value, output.kind) == ("pass", "The lamp was asked to shine.", "remedy")
    assert [one[:3] for one in done_by_remedies] == [(ada.name, "production", "It is dark.")]
    with pytest.raises(RunChanged):
        actions.remedy(ada, run, "tests.mend", "It is dark.", revision=0)
    told = Record.objects.get(action="runbook.remedied")
    assert (told.reason, told.after["outcome"], told.after["name"]) == ("It is dark.", "pass", "tests.mend")
    assert len(done_by_remedies) == 1


@pytest.mark.django_db(transaction=True)
def test_diagnostics_and_remedies_hold_no_transaction_open(production, admin, actor_of):
    run = make_run(production, admin)
    actions.remedy(actor_of(admin), run, "tests.mend", "It is dark.")
    assert done_by_remedies[0][3] is False


def test_a_refusal_is_kept_as_it_was_said(run, otto):
    output = actions.remedy(otto, run, "tests.refuse", "x")
    assert (output.verdict, output.output) == ("fail", "The lamp is locked.") and "Nothing was done" in output.value
    broken = actions.remedy(otto, run, "tests.break", "x")
    assert broken.verdict == "fail" and "nobody can say what was done" in broken.value
    assert "ZeroDivisionError" in broken.output and "hunter2" not in broken.output
    assert Record.objects.filter(action="runbook.remedied").count() == 2


def test_a_remedy_takes_its_own_permission(run, otto):
    with pytest.raises(Forbidden, match="may not deploy"):
        actions.remedy(otto, run, "tests.mend", "x")
    fix = queries.view(otto.user, run.pk).fixes[0]
    assert not fix.may and fix.who_can == "Admin" and fix.effect() == "Shines"
    with pytest.raises(InvalidRequest, match="on its own page: /"):
        actions.remedy(otto, run, "trading.emergency_stop", "x")
    for name in ("trading.backup", "nothing"):
        with pytest.raises(NotFound, match="Step 1 offers no remedy"):
            actions.remedy(otto, run, name, "x")
    assert not StepOutput.objects.exists() and done_by_remedies == []


def test_notes_of_two_windows_do_not_overwrite_each_other(run, otto):
    token = queries.notes_token(run)
    first = actions.note(otto, run, "One\x00\r\nTwo", was=token)
    assert first.notes == "One\nTwo" and first.revision == 0
    with pytest.raises(RunChanged, match="Yours were not kept"):
        actions.note(otto, run, "Three", was=token)
    assert actions.note(otto, run, "One\nTwo", was=token).notes == "One\nTwo"  # sent again
    assert actions.note(otto, run, "Four", was=queries.notes_token(first)).notes == "Four"


def test_reading_takes_a_fixed_number_of_queries(run, production, otto):
    def count() -> int:
        with CaptureQueriesContext(connection) as found:
            view = queries.view(otto.user, run.pk)
            assert [list(one.outputs.all()) for one in view.visits]
            queries.running_of(otto.user, [run.environment_id])
        return len(found)

    few = count()
    for _ in range(4):
        actions.diagnose(otto, run, "alerts.open")
        actions.failed(otto, run, "x")
        actions.failed(otto, run, "back to step 1")
    make_run(production, otto.user)
    assert count() == few <= 9
