"""Releases over the API: who registers them, and that a wrong one is refused with the field named."""

from __future__ import annotations

import hashlib

import pytest

from audit.models import Record
from deployments.models import Release

URL = "/api/v1/releases/"


@pytest.fixture
def described(release, tmp_path):
    """What registers v1.2.6, with a real archive."""
    made = release("v1.2.6")
    made.delete()
    return {"version": "v1.2.6", "artifact": made.artifact, "digest": made.digest, "notes": "## v1.2.6"}


def post(client, body):
    return client.post(URL, body, content_type="application/json")


def test_register_and_read(api, admin, described):
    answer = post(api(admin), {**described, "changes": {"files": 3}, "released_at": "2026-01-21T10:00:00Z"})
    assert answer.status_code == 201, answer.json()
    assert answer["Location"].endswith(f"{URL}v1.2.6/")
    body = api(admin).get(f"{URL}v1.2.6/").json()
    assert body == answer.json()
    assert (body["service"], body["digest"], body["changes"]) == ("paper-trader", described["digest"], {"files": 3})
    assert body["created_by"] == "ada" and body["size"] > 0
    assert Record.objects.get(action="release.registered").actor == admin


def test_who_may_deploy_somewhere_may_register(api, developer, operator, described):
    assert post(api(operator), described).status_code == 403
    assert Record.objects.filter(action="access.denied", actor=operator).exists()
    assert post(api(developer), described).status_code == 201


def test_a_release_is_immutable(api, admin, described):
    assert post(api(admin), described).status_code == 201
    again = post(api(admin), {**described, "notes": "other"})
    assert again.status_code == 409 and again.json()["code"] == "release_exists"
    assert Release.objects.get().notes == "## v1.2.6"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"version": "latest"}, "version"),
        ({"digest": "sha256:" + hashlib.sha256(b"other").hexdigest()}, None),
        ({"artifact": "/nowhere/at-all.tar.gz"}, None),
        ({"service": "moon"}, "service"),
        ({"released_at": "soon"}, "released_at"),
        ({"migrations": "none"}, "migrations"),
        ({"note": "mistyped"}, "note"),
    ],
)
def test_a_wrong_release_is_refused(api, admin, described, change, field):
    answer = post(api(admin), {**described, **change})
    assert 400 <= answer.status_code < 500 and answer.json()["detail"]
    errors = answer.json()["errors"]
    assert (field in errors) if field else errors
    assert not Release.objects.exists()


def test_list_is_newest_first_and_filters_by_service(api, operator, release):
    for version in ("v1.2.9", "v1.2.10", "v1.3.0"):
        release(version)
    answer = api(operator).get(URL).json()
    assert [row["version"] for row in answer["results"]] == ["v1.3.0", "v1.2.10", "v1.2.9"] and answer["count"] == 3
    assert api(operator).get(f"{URL}?service=paper-trader").json()["count"] == 3
    for unknown in ("moon", "%00"):
        assert "service" in api(operator).get(f"{URL}?service={unknown}").json()["errors"]


def test_an_unknown_version_is_a_404(api, operator, release):
    release("v1.2.5")
    for version in ("v9.9.9", "%00", "1.2.5"):
        assert api(operator).get(f"{URL}{version}/").status_code == 404


def test_somebody_without_a_role_sees_no_release(api, person, release):
    release("v1.2.5")
    nobody = api(person("nemo", None))
    assert nobody.get(URL).json()["count"] == 0 and nobody.get(f"{URL}v1.2.5/").status_code == 404
