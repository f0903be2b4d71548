"""API keys over the API and on the pages: one's own, shown once, within bounds."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import APIKey, SSHKey
from audit.models import Record
from tests.accounts.factors import make_key
from tests.accounts.test_ssh import keygen, needs_ssh_keygen

URL = "/api/v1/keys/"
NEW = {"name": "Build", "scopes": ["deploy_environment"], "environments": ["staging"], "networks": ["127.0.0.0/8"]}


def post(client: Client, url: str, body=None):
    return client.generic("POST", url, json.dumps(body or {}), content_type="application/json")


def bearer(text: str) -> Client:
    return Client(headers={"Authorization": f"Bearer {text}"})


@pytest.fixture
def page(operator):
    """Otto in a browser."""
    client = Client()
    client.force_login(operator)
    return client


# --- The API


def test_make_use_rotate_revoke(api, operator, system):
    mine = api(operator)
    made = post(mine, URL, {**NEW, "days": 30})
    assert made.status_code == 201 and made["Cache-Control"] == "no-store", made.content
    told = made.json()
    assert made["Location"] == f"{URL}{told['prefix']}/" and told["token"].startswith(f"opsc_{told['prefix']}_")
    assert told["scopes"] == ["view_environment", "deploy_environment"] and told["state"] == "usable"
    shown = mine.get(made["Location"]).json()
    assert "token" not in shown and shown == {name: value for name, value in told.items() if name != "token"} | {
        "last_used_at": shown["last_used_at"]
    }
    used = bearer(told["token"]).get("/api/v1/environments/")
    assert [place["name"] for place in used.json()["results"]] == ["staging"]
    assert used["X-Key-Expires-At"] == APIKey.objects.get(prefix=told["prefix"]).expires_at.isoformat(
        timespec="seconds"
    )
    new = post(mine, f"{made['Location']}rotate/", {"overlap_hours": 1}).json()
    assert new["replaces"] == told["prefix"] and mine.get(made["Location"]).json()["replaced_by"] == new["prefix"]
    again = post(mine, f"{made['Location']}rotate/")
    assert again.status_code == 409 and again.json()["code"] == "wrong_state"
    ended = post(mine, f"{URL}{new['prefix']}/revoke/", {"reason": "Not needed"})
    assert ended.status_code == 200 and ended.json()["state"] == "revoked"
    assert bearer(new["token"]).get("/api/v1/environments/").status_code == 401
    assert Record.objects.get(action="api_key.revoked").reason == "Not needed"


def test_the_list_is_ones_own_and_can_be_the_due_ones(api, operator, admin):
    make_key(admin, name="Hers")
    due = make_key(operator, name="Due", days=13).split("_")[1]
    APIKey.objects.filter(prefix=due).update(created_at=timezone.now() - timedelta(days=70))
    mine = api(operator)
    assert {key["name"] for key in mine.get(URL).json()["results"]} == {"Test", "Due"}
    assert [key["name"] for key in mine.get(f"{URL}?due=true").json()["results"]] == ["Due"]
    theirs = APIKey.objects.get(name="Hers").prefix
    for answer in (
        mine.get(f"{URL}{theirs}/"),
        post(mine, f"{URL}{theirs}/rotate/"),
        post(mine, f"{URL}{theirs}/revoke/"),
        post(mine, f"{URL}nonsense/rotate/"),
    ):
        assert answer.status_code == 404
    assert APIKey.objects.get(name="Hers").revoked_at is None


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"name": "a\x00b"},
        {"name": None},
        {"scopes": None},
        {"scopes": ["root"]},
        {"scopes": "deploy_environment"},
        {"scopes": ["deploy_environment"] * 50},
        {"environments": []},
        {"environments": ["nowhere"]},
        {"environments": [1]},
        {"environments": ["x" * 61]},
        {"networks": ["x"]},
        {"networks": ["10.0.0.0/8"] * 21},
        {"days": 0},
        {"days": 91},
        {"days": "soon"},
        {"owner": "ada"},
    ],
)
def test_wrong_bodies_are_400(api, operator, system, change):
    answer = post(api(operator), URL, {**NEW, **change})
    assert answer.status_code == 400 and answer.json()["code"] == "invalid_request", answer.content
    assert APIKey.objects.count() == 1


@pytest.mark.parametrize("hours", [-1, 169, "x", None, 1.5])
def test_wrong_overlaps_are_400(api, operator, hours):
    prefix = make_key(operator).split("_")[1]
    assert post(api(operator), f"{URL}{prefix}/rotate/", {"overlap_hours": hours}).status_code == 400


def test_a_missing_scope_is_named(key_of, operator, admin, production, deployment):
    made = deployment("watching")
    client = bearer(key_of(admin, scopes=["approve_deployment"]))
    answer = post(client, f"/api/v1/deployments/{made.pk}/rollback/", {"reason": "Because"})
    told = answer.json()
    assert (answer.status_code, told["code"], told["permission"]) == (403, "insufficient_scope", "deploy_environment")
    assert "with the scope 'deploy_environment' that reaches production" in told["detail"]
    assert Record.objects.get(action="access.denied").via == "key"
    lesser = post(bearer(key_of(operator, scopes=[])), f"/api/v1/deployments/{made.pk}/rollback/", {"reason": "x"})
    assert lesser.json()["code"] == "forbidden"  # a better key would not help: the role does not permit it
    narrow = bearer(key_of(admin, scopes=["run_checklists"]))
    for url, body in ((URL, NEW), (f"{URL}{APIKey.objects.earliest('id').prefix}/rotate/", {})):
        assert post(narrow, url, body).json()["code"] == "insufficient_scope"


def test_an_environment_beyond_the_key_is_not_there(key_of, admin, system):
    client = bearer(key_of(admin, environments=["staging"]))
    assert client.get("/api/v1/environments/staging/").status_code == 200
    assert client.get("/api/v1/environments/production/").status_code == 404


# --- The pages


def test_the_page_of_keys(page, operator, admin):
    assert "No API key yet" in page.get("/account/keys/").content.decode()
    text = make_key(operator, name="Nightly", environments=["staging"])
    make_key(admin, name="Hers")
    shown = page.get("/account/keys/").content.decode()
    assert "Nightly" in shown and "staging" in shown and "Hers" not in shown and text not in shown
    hers = APIKey.objects.get(name="Hers").prefix
    for path in ("", "rotate/", "revoke/"):
        answer = page.get(f"/account/keys/{hers}/") if not path else page.post(f"/account/keys/{hers}/{path}")
        assert answer.status_code == 404


def test_a_preset_fills_the_form(page, system):
    form = page.get("/account/keys/new/?preset=deploy-staging").content.decode()
    assert re.search(r'value="deploy_environment" checked', form) and 'value="some" checked' in form
    assert re.search(r'name="environments" value="staging" checked', form)
    assert not re.search(r'name="environments" value="production" checked', form)
    assert 'value="all" checked' in page.get("/account/keys/new/?preset=nonsense").content.decode()


def test_a_key_is_shown_once(page, system):
    given = {"name": "Build", "scopes": "run_checklists", "reach": "some", "environments": "staging", "days": "30"}
    answer = page.post("/account/keys/new/", {**given, "networks": "10.0.0.0/8, 192.0.2.0/24\n::1"})
    assert answer.status_code == 201 and "no-store" in answer["Cache-Control"]
    text = re.search(r"opsc_[a-z0-9]+_[A-Za-z0-9_-]{43}", answer.content.decode()).group()
    assert "I have stored it" in answer.content.decode()
    key = APIKey.objects.get()
    assert key.networks == ["10.0.0.0/8", "192.0.2.0/24", "::1/128"] and key.environments == ["staging"]
    for path in ("/account/keys/", f"/account/keys/{key.prefix}/"):
        assert text not in page.get(path).content.decode()


def test_what_was_wrong_is_said_and_what_was_given_is_kept(page, system):
    answer = page.post(
        "/account/keys/new/", {"name": "Keep me", "reach": "some", "days": "x\x00", "networks": "10.0.0.1/8"}
    )
    shown = answer.content.decode()
    assert answer.status_code == 400 and "1 to 90 days" in shown and 'value="Keep me"' in shown
    answer = page.post("/account/keys/new/", {"name": "x", "reach": "some", "days": "5"})
    assert "Name at least one" in answer.content.decode() and not APIKey.objects.exists()


def test_rotating_and_revoking_on_the_page(page, operator):
    prefix = make_key(operator, name="Nightly").split("_")[1]
    assert page.post(f"/account/keys/{prefix}/rotate/", {"overlap_hours": "7"}).status_code == 400
    shown = page.post(f"/account/keys/{prefix}/rotate/", {"overlap_hours": "1"}).content.decode()
    new = APIKey.objects.get(replaces__prefix=prefix)
    assert f"opsc_{new.prefix}_" in shown and "goes on until" in shown
    again = page.post(f"/account/keys/{prefix}/rotate/", {"overlap_hours": "1"})
    assert again.status_code == 409 and "rotated already" in again.content.decode()
    assert page.get(f"/account/keys/{prefix}/?confirm=dialog-revoke").content.decode().count("<dialog") >= 1
    assert (
        page.post(f"/account/keys/{new.prefix}/revoke/", {"reason": "Lost"})["Location"]
        == f"/account/keys/{new.prefix}/"
    )
    assert "opens nothing any more" in page.get(f"/account/keys/{new.prefix}/").content.decode()


def test_the_banner_counts_keys_that_end_soon(page, operator):
    assert "API keys end" not in page.get("/account/keys/").content.decode()
    make_key(operator, days=5)
    APIKey.objects.update(created_at=timezone.now() - timedelta(days=60))
    assert "of your API keys ends soon" in page.get("/account/").content.decode()


def test_the_page_takes_the_same_number_of_queries_for_any_number_of_keys(page, operator, django_assert_num_queries):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    make_key(operator)
    with CaptureQueriesContext(connection) as few:
        page.get("/account/keys/")
    for _ in range(5):
        make_key(operator)
    with django_assert_num_queries(len(few)):
        page.get("/account/keys/")


# --- SSH keys on the page


@needs_ssh_keygen
def test_ssh_keys_on_the_page(page, operator, tmp_path):
    path = tmp_path / "key"
    keygen("-q", "-t", "ed25519", "-N", "", "-C", "otto@desk", "-f", str(path))
    wrong = page.post("/account/ssh-keys/", {"public_key": path.read_text()})
    shown = wrong.content.decode()
    assert wrong.status_code == 400 and "This is a private key" in shown and path.read_text()[60:100] not in shown
    assert page.post("/account/ssh-keys/", {"public_key": path.with_suffix(".pub").read_text()}).status_code == 302
    key = SSHKey.objects.get()
    assert (key.name, key.user) == ("otto@desk", operator)
    for url in ("/account/ssh-keys/", "/account/security/"):
        assert key.fingerprint in page.get(url).content.decode()
    assert Record.objects.get(action="ssh_key.added").after["fingerprint"] == key.fingerprint
    other = Client()
    assert other.post(f"/account/ssh-keys/{key.pk}/remove/").status_code == 302 and SSHKey.objects.exists()
    assert page.post(f"/account/ssh-keys/{key.pk}/remove/").status_code == 302 and not SSHKey.objects.exists()


@needs_ssh_keygen
def test_nobody_removes_the_ssh_key_of_somebody_else(page, admin, tmp_path):
    key = SSHKey.objects.create(user=admin, name="Hers", public_key="x", fingerprint="SHA256:x")
    assert page.post(f"/account/ssh-keys/{key.pk}/remove/").status_code == 404 and SSHKey.objects.exists()
