"""Signing in from a command line: challenge, signature of a real ssh-keygen, token, browser session, the end."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from accounts import sessions, ssh_actions
from accounts.limits import SCOPES
from accounts.models import APIKey, Challenge, SignInFailure, SSHKey
from audit.models import Record
from tests.accounts.ssh_login import CHALLENGE, LOGIN, answer, ask, login, post
from tests.accounts.test_ssh import make_key, needs_ssh_keygen, public, sign

pytestmark = needs_ssh_keygen
ME, LOGOUT, BROWSER = "/api/v1/me/", "/api/v1/logout/", "/api/v1/login/browser/"


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    return make_key(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def enrolled(key, operator, actor_of):
    """Otto's SSH key."""
    return ssh_actions.add_ssh_key(actor_of(operator), operator, public(key))


def bearer(token: str) -> Client:
    return Client(headers={"Authorization": f"Bearer {token}"})


def failures() -> list[tuple[str, str]]:
    found = Record.objects.filter(action="account.sign_in_failed").order_by("id")
    return [(record.after["code"], record.outcome) for record in found]


def refused(response, code: str) -> None:
    assert (response.status_code, response.json()["code"]) == (401, code), response.content
    assert response["Content-Type"] == "application/problem+json"


def test_the_whole_way(key, enrolled, operator):
    challenge = ask(key)
    assert challenge["namespace"] == "opsconsole-login@v1" and set(challenge) == {
        "challenge",
        "message",
        "namespace",
        "expires_at",
    }
    lines = dict(line.split(": ", 1) for line in challenge["message"].splitlines()[1:])
    assert lines["audience"] == "http://testserver" and lines["key"] == enrolled.fingerprint
    assert len(lines["nonce"]) >= 43 and lines["expires"].endswith("Z")
    assert Challenge.objects.get().expires_at - timezone.now() <= timedelta(seconds=60)
    response = answer(challenge, sign(key, challenge["message"].encode()))
    assert response.status_code == 201, response.content
    told = response.json()
    assert told["user"] == {"username": "otto", "name": "Otto Operator", "role": "Operator"}
    made = APIKey.objects.get()
    assert (made.kind, made.scopes, made.environments) == ("login", list(SCOPES), None)
    assert timedelta(minutes=14) < made.expires_at - timezone.now() <= timedelta(minutes=15)
    me = bearer(told["token"]).get(ME)
    assert me.json()["via"] == "login" and me["X-Key-Expires-At"] == made.expires_at.isoformat(timespec="seconds")
    record = Record.objects.get(action="account.signed_in")
    assert (record.via, record.after["how"], record.after["fingerprint"]) == ("login", "ssh", enrolled.fingerprint)
    assert told["token"] not in str(record.after) and made.digest not in str(record.after)
    assert SSHKey.objects.get().last_used_at is not None
    assert bearer(told["token"]).get("/api/v1/keys/").json()["results"] == []


def test_a_sign_in_can_be_bounded(key, enrolled, system):
    token = login(key, scopes=["run_checklists"], environments=["staging"]).json()["token"]
    me = bearer(token).get(ME).json()
    assert [place["name"] for place in me["environments"]] == ["staging"]
    assert me["environments"][0]["permissions"] == ["run_checklists", "view_environment"]
    for more in ({"scopes": ["root"]}, {"environments": ["nowhere"]}, {"environments": []}, {"surplus": 1}):
        assert login(key, **more).status_code == 400, more


def test_each_type_of_key_signs_in(tmp_path, operator, actor_of):
    for kind, bits in (("ecdsa", 256), ("ecdsa", 384), ("ecdsa", 521), ("rsa", 2048)):
        path = make_key(tmp_path, kind, bits)
        ssh_actions.add_ssh_key(actor_of(operator), operator, public(path))
        assert login(path).status_code == 201, kind


def test_a_key_that_is_not_enrolled_gets_the_same_challenge_and_no_token(tmp_path, key, enrolled):
    stranger = make_key(tmp_path)
    ours, theirs = ask(key), ask(stranger)
    assert set(ours) == set(theirs) and len(ours["message"]) == len(theirs["message"])
    refused(answer(theirs, sign(stranger, theirs["message"].encode())), "key_unknown")
    assert failures() == [("key_unknown", "failed")] and not APIKey.objects.exists()


def test_whether_a_key_is_enrolled_is_told_to_its_holder_only(tmp_path, key, enrolled):
    """Somebody who knows a public key alone gets the answer of a wrong signature, enrolled or not."""
    challenge = ask(key)
    refused(answer(challenge, sign(key, b"something that was signed elsewhere")), "signature_invalid")
    stranger = make_key(tmp_path)
    refused(answer(ask(stranger), sign(stranger, b"something else")), "signature_invalid")
    assert failures() == [("signature_invalid", "failed")] * 2


def test_the_key_in_the_signature_is_not_believed(tmp_path, key, enrolled):
    """The challenge was asked for with an enrolled key and signed with another one."""
    stranger, challenge = make_key(tmp_path), ask(key)
    refused(answer(challenge, sign(stranger, challenge["message"].encode())), "signature_invalid")
    assert failures() == [("signature_invalid", "failed")] and not APIKey.objects.exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("audience: http://testserver", "audience: https://other.example"),
        lambda text: text.replace("nonce: ", "nonce: x"),
        lambda text: text.rstrip("\n"),
        lambda text: text + "\n",
        lambda text: text.replace("expires: 2", "expires: 3"),
    ],
)
def test_another_text_than_the_challenge(key, enrolled, change):
    challenge = ask(key)
    assert change(challenge["message"]) != challenge["message"]
    refused(answer(challenge, sign(key, change(challenge["message"]).encode())), "signature_invalid")
    assert failures() == [("signature_invalid", "failed")]


def test_a_challenge_got_at_another_address_of_this_console(key, enrolled):
    """The audience is the address that was asked: what was signed for one is of no use at another."""
    challenge = ask(key, headers={"Host": "localhost"})
    assert "audience: http://localhost\n" in challenge["message"]
    refused(answer(challenge, sign(key, challenge["message"].encode())), "signature_invalid")


def test_another_namespace(key, enrolled):
    challenge = ask(key)
    wrong = answer(challenge, sign(key, challenge["message"].encode(), "file"))
    refused(wrong, "signature_invalid")
    assert "-n opsconsole-login@v1" in wrong.json()["detail"]


def test_a_challenge_works_once(key, enrolled):
    challenge = ask(key)
    signature = sign(key, challenge["message"].encode())
    assert answer(challenge, signature).status_code == 201
    refused(answer(challenge, signature), "challenge_invalid")
    assert APIKey.objects.count() == 1


def test_a_wrong_answer_uses_the_challenge_up(key, enrolled):
    challenge = ask(key)
    refused(answer(challenge, sign(key, b"x")), "signature_invalid")
    refused(answer(challenge, sign(key, challenge["message"].encode())), "challenge_invalid")
    assert (
        failures() == [("signature_invalid", "failed"), ("challenge_invalid", "failed")] and not APIKey.objects.exists()
    )


def test_a_challenge_ends_after_a_minute(key, enrolled):
    challenge = ask(key)
    Challenge.objects.update(expires_at=timezone.now() - timedelta(milliseconds=1))
    refused(answer(challenge, sign(key, challenge["message"].encode())), "challenge_invalid")
    assert failures() == [("challenge_invalid", "failed")] and not APIKey.objects.exists()


def test_an_inactive_owner(key, enrolled, operator):
    operator.is_active = False
    operator.save()
    refused(login(key), "account_inactive")
    assert Record.objects.get(action="account.sign_in_failed").object_id == str(operator.pk)


def test_a_removed_key_ends_what_it_opened(key, enrolled, operator, actor_of):
    token = login(key).json()["token"]
    ssh_actions.remove_ssh_key(actor_of(operator), enrolled)
    assert bearer(token).get(ME).status_code == 401
    refused(login(key), "key_unknown")
    assert Record.objects.filter(action="ssh_key.removed").count() == 1


def test_too_many_failures_from_an_address(key, enrolled):
    for _ in range(20):
        assert answer(ask(key), "-----BEGIN SSH SIGNATURE-----\nx\n-----END SSH SIGNATURE-----").status_code == 401
    for late in (post(CHALLENGE, {"fingerprint": "SHA256:" + "A" * 43}), answer({"challenge": "0" * 32}, "x")):
        assert late.status_code == 429 and late.json()["code"] == "too_many_attempts"
        assert 0 < int(late["Retry-After"]) <= 300
    SignInFailure.objects.update(at=timezone.now() - timedelta(minutes=6))
    assert login(key).status_code == 201


WRONG = [
    None,
    [],
    "x",
    {},
    {"fingerprint": "SHA256:short", "challenge": "x", "signature": 1},
    {"fingerprint": "SHA256:" + "A" * 43 + "\n", "challenge": "0" * 32, "signature": "a\x00b"},
    {"fingerprint": "MD5:00", "challenge": "0" * 32, "signature": "x" * 9000},
    {"fingerprint": 1, "challenge": ["x"], "signature": {"a": 1}},
]


@pytest.mark.parametrize("body", WRONG)
def test_wrong_bodies_are_400(db, body):
    for url in (CHALLENGE, LOGIN):
        assert post(url, body).status_code == 400, url


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(signature=some.text(max_size=300), blob=some.binary(max_size=200))
def test_no_garbage_is_an_error_of_ours(db, signature, blob):
    import base64

    wrapped = f"-----BEGIN SSH SIGNATURE-----\n{base64.b64encode(blob).decode()}\n-----END SSH SIGNATURE-----"
    challenge = str(ssh_actions.new_challenge("http://testserver", "SHA256:x")[0].pk)
    for text in (signature, wrapped):
        SignInFailure.objects.all().delete()
        assert post(LOGIN, {"challenge": challenge, "signature": text}).status_code in (400, 401)


def test_logging_out(key, enrolled, key_of, operator):
    token = login(key).json()["token"]
    assert bearer(token).post(LOGOUT).status_code == 204
    late = bearer(token).get(ME)
    assert late.status_code == 401 and "opsctl login" in late.json()["detail"]
    plain = bearer(key_of(operator))
    assert plain.post(LOGOUT).status_code == plain.post(BROWSER).status_code == 409
    assert Client().post(LOGOUT).status_code == Client().post(BROWSER).status_code == 401


def test_from_the_command_line_to_the_browser(key, enrolled, operator):
    told = bearer(login(key).json()["token"]).post(BROWSER)
    assert told.status_code == 201 and told.json()["url"].startswith("http://testserver/login/link/")
    path = told.json()["url"].removeprefix("http://testserver")
    client = Client()
    for _ in range(2):  # looking at it uses nothing up
        assert "Otto Operator" in client.get(path).content.decode()
    assert client.post(path).status_code == 302
    assert client.session["methods"] == ["ssh"] and client.session["_auth_user_id"] == str(operator.pk)
    assert Client().post(path).status_code == 410


def test_a_browser_link_ends_after_a_minute(key, enrolled, monkeypatch):
    import time

    path = bearer(login(key).json()["token"]).post(BROWSER).json()["url"].removeprefix("http://testserver")
    now = time.time()
    monkeypatch.setattr("django.core.signing.time.time", lambda: now + 62)
    assert Client().post(path).status_code == 410


def test_a_bounded_sign_in_opens_no_browser_session(key, enrolled, system):
    for bounds in ({"scopes": []}, {"environments": ["staging"]}):
        assert bearer(login(key, **bounds).json()["token"]).post(BROWSER).status_code == 409


def test_an_admin_without_a_second_factor_gets_to_the_page_that_enrols_one(tmp_path, admin, actor_of):
    path = make_key(tmp_path)
    ssh_actions.add_ssh_key(actor_of(admin), admin, public(path))
    token = login(path).json()["token"]
    assert not sessions.has_second_factor(admin)
    assert bearer(token).get(ME).json()["code"] == "second_factor_required"
    url = bearer(token).post(BROWSER).json()["url"].removeprefix("http://testserver")
    client = Client()
    client.post(url)
    assert client.get("/").status_code == 302 and client.get("/account/security/").status_code == 200
    assert bearer(token).post(LOGOUT).status_code == 204


def test_keys_over_the_command_line(key, tmp_path, operator, capsys):
    call_command("ssh_key", "add", "otto", str(key) + ".pub")
    assert "opsctl login" in capsys.readouterr().out and login(key).status_code == 201
    call_command("ssh_key", "list")
    printed = SSHKey.objects.get().fingerprint
    assert f"{printed}  otto  ssh-ed25519  ada@laptop" in capsys.readouterr().out
    for wrong, says in (
        (("add", "otto", str(key)), "private key"),
        (("add", "otto", str(key) + ".pub"), "enrolled already"),
        (("add", "nobody", str(key) + ".pub"), "no user"),
        (("add", "otto", str(tmp_path / "missing")), "Cannot read"),
        (("remove", "SHA256:x"), "no SSH key"),
    ):
        with pytest.raises(CommandError, match=says) as error:
            call_command("ssh_key", *wrong)
        assert key.read_text()[60:90] not in str(error.value)
    call_command("ssh_key", "remove", printed)
    assert not SSHKey.objects.exists()
    assert json.dumps([record.after for record in Record.objects.all()]).count("BEGIN OPENSSH") == 0
