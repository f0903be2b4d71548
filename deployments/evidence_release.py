"""What the deployment list asks about one release: tests, review, staging, benchmarks and the plan of the way back.

They look at what the gate looks at (``gate.py``), also where the gate does not ask for it.
"""

from __future__ import annotations

from django.urls import reverse

from deployments import gate, gate_staging, gate_words
from deployments.models import Release
from environments.evidence import Reading, Subject, Verdict, provider
from environments.evidence_words import lines

NOT_ASKED = "The gate does not ask for it here."


@provider("deployments.tests", "Tests of the release")
def tests(subject: Subject) -> Reading:
    """The newest report of the build system."""
    return _report(subject, "tests")


@provider("deployments.review", "Review of the release")
def review(subject: Subject) -> Reading:
    """The newest report; a review by the author alone does not count."""
    return _report(subject, "review")


@provider("deployments.benchmarks", "Benchmarks of the release")
def benchmarks(subject: Subject) -> Reading:
    """The newest report."""
    return _report(subject, "benchmarks")


@provider("deployments.staging", "Release tested on staging")
def staging(subject: Subject) -> Reading:
    """Whether this artifact was live in the staging environment and stayed stable there."""
    release, problem = _release(subject)
    if release is None:
        return problem
    environment = subject.environment
    policy = environment.policy.gate
    is_asked = environment.is_gated and policy.staging != ""
    # Also where the gate does not ask: the list does.
    looked = policy if policy.staging else policy.model_copy(update={"staging": None})
    found = gate_staging.judge(environment, release, looked)
    if found.ok:  # without a deployment to look at it only says that there is nothing to be asked
        return Reading(found.detail, Verdict.PASS if found.link else Verdict.NO_DATA, found.link or _page(release))
    value = found.detail if is_asked else f"{found.detail} {NOT_ASKED}"
    link = found.link or _page(release)
    return Reading(value, Verdict.FAIL if is_asked else Verdict.WARN, link, found.todo)


@provider("deployments.rollback_plan", "Plan of the way back")
def rollback_plan(subject: Subject) -> Reading:
    """What the release says about going back from it, and whether its migrations can be taken back."""
    release, problem = _release(subject)
    if release is None:
        return problem
    plan = release.rollback_plan.strip()
    names = ", ".join(str(one) for one in release.migrations)
    said = {True: "can be taken back", False: "CANNOT be taken back", None: "nobody said whether it can be taken back"}
    migrations = f"Migrations {names}: {said[release.reversible]}." if names else "It brings no migration."
    if not plan:
        value = f"{release} came without a plan. {migrations}"
        return Reading(value, Verdict.FAIL, _page(release))
    verdict = Verdict.PASS if release.reversible or not names else Verdict.FAIL
    return Reading(f"{gate_words.one_line(plan)} {migrations}", verdict, _page(release), lines(plan.splitlines()))


def _report(subject: Subject, kind: str) -> Reading:
    release, problem = _release(subject)
    if release is None:
        return problem
    found = gate.newest_reports(release).get(kind)
    ok, value = gate_words.report(found, release)
    if found is None:
        return Reading(value, Verdict.NO_DATA, _page(release), gate_words.report_todo(kind, release))
    data = [f"{key}: {held}" for key, held in sorted(found.data.items())]
    detail = [*data, *([f"The whole report: {found.url}"] if found.url else [])]
    return Reading(value, Verdict.PASS if ok else Verdict.FAIL, _page(release), lines(detail))


def _release(subject: Subject) -> tuple[Release | None, Reading]:
    """The release that is asked about, or the reading that says why there is none."""
    if not subject.release:
        return None, Reading("No release is named: this is read on the list of a deployment", Verdict.NO_DATA)
    found = Release.objects.filter(service=subject.environment.service_id, version=subject.release).first()
    service = subject.environment.service
    return found, Reading(f"{subject.release} of {service} is not registered", Verdict.NO_DATA, reverse("releases"))


def _page(release: Release) -> str:
    return reverse("release", args=[release.version])
