"""Registering a release: a semantic version, an archive that matches, once."""

from __future__ import annotations

import hashlib

import pytest

from accounts.domain import InvalidRequest
from accounts.errors import Forbidden
from deployments import actions
from deployments.errors import ReleaseExists
from deployments.models import Release
from deployments.releases import clean_version
from tests.deployments.toys import trail


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "a.tar.gz"
    path.write_bytes(b"12345")
    return {"artifact": str(path), "digest": "sha256:" + hashlib.sha256(b"12345").hexdigest()}


@pytest.mark.parametrize(
    ("given", "kept"),
    [("1.2.5", "v1.2.5"), (" v1.2.5 ", "v1.2.5"), ("v1.2.5-rc.1", "v1.2.5-rc.1"), ("1.2.5+b7", "v1.2.5+b7")],
)
def test_a_version_is_kept_in_one_form(given, kept):
    assert clean_version(given) == kept


@pytest.mark.parametrize("given", ["", None, "1.2", "vv1.2.3", "latest", "1.2.3/../..", "01.2.3", "v1.2.3-" + "x" * 40])
def test_what_is_no_version_is_told(given):
    with pytest.raises(InvalidRequest, match="write for example v1.2.5|at most 40") as caught:
        clean_version(given)
    assert caught.value.field == "version"


def test_a_release_is_kept_with_its_size_and_audited(system, ada, admin, archive):
    made = actions.register_release(ada, system, version="1.2.5", notes="Better", **archive)
    assert (made.version, made.size, made.created_by) == ("v1.2.5", 5, admin)
    (record,) = trail("release.registered")
    assert record.after == {"version": "v1.2.5", "digest": archive["digest"]} and record.object_id == str(made.pk)


def test_a_release_never_changes(system, ada, archive):
    actions.register_release(ada, system, version="1.2.5", notes="First", **archive)
    with pytest.raises(ReleaseExists, match="v1.2.5 of paper-trader is registered already"):
        actions.register_release(ada, system, version="v1.2.5", notes="Second", **archive)
    assert Release.objects.get().notes == "First" and len(trail("release.registered")) == 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"artifact": "/nowhere.tar.gz"}, "/nowhere.tar.gz"),
        ({"digest": "sha256:" + "0" * 64}, "has SHA-256"),
        ({"digest": "md5:1"}, "64 hex digits"),
    ],
)
def test_an_archive_that_is_not_what_it_says(system, ada, archive, change, says):
    with pytest.raises(InvalidRequest, match=says) as caught:
        actions.register_release(ada, system, version="1.2.5", **archive | change)
    assert caught.value.field == "artifact" and not Release.objects.exists() and not trail("release.registered")


def test_who_may_register(system, operator, developer, person, actor_of, archive):
    for user in (operator, person("nick", None)):
        with pytest.raises(Forbidden):
            actions.register_release(actor_of(user), system, version="1.2.5", **archive)
    assert not Release.objects.exists() and len(trail("access.denied")) == 2
    assert actions.register_release(actor_of(developer), system, version="1.2.5", **archive).created_by == developer
