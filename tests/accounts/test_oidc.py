"""Single sign-on against a real OpenID provider on loopback (``openid_provider.py``), honest and lying."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import SignInFailure, User
from audit.models import Record
from opsconsole.config import Config
from tests.accounts.factors import give_second_factor

CLIENT, SECRET = "console", "a-secret-of-the-client-0123456789"
LOGIN, CALLBACK = "/login/oidc/", "/login/oidc/callback/"


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    """The address of a provider that runs."""
    program = Path(__file__).with_name("openid_provider.py")
    process = subprocess.Popen([sys.executable, str(program), CLIENT, SECRET], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield process.stdout.readline().strip()
    process.terminate()
    process.wait(timeout=10)
    process.stdout.close()


@pytest.fixture
def provider(issuer, settings, db) -> Iterator[str]:
    """The provider, set up in the console; it fetches honestly at first."""
    settings.OIDC_ISSUER, settings.OIDC_CLIENT_ID, settings.OIDC_CLIENT_SECRET = issuer, CLIENT, lambda: SECRET
    settings.OIDC_LABEL = "Example ID"
    lie(issuer, "")
    yield issuer
    lie(issuer, "")


def lie(issuer: str, fault: str) -> None:
    httpx.get(f"{issuer}/fault", params={"is": fault}).raise_for_status()


def visit(client: Client, wanted: str = "", **given: str):
    """From the button to the provider and back: the console's answer to what the provider sent."""
    begun = client.get(LOGIN, {"next": wanted} if wanted else {})
    assert begun.status_code == 302, begun.content
    back = httpx.get(begun["Location"], params={**parse_qs_flat(begun["Location"]), **given})
    return client.get(urlsplit(back.headers["Location"])._replace(scheme="", netloc="").geturl())


def parse_qs_flat(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def is_signed_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


def test_off_there_are_no_such_addresses_and_no_button(client, db):
    assert client.get(LOGIN).status_code == client.get(CALLBACK).status_code == 404
    assert "oidc" not in client.get("/login/").content.decode()


def test_somebody_who_exists_here_enters(provider, client, operator):
    assert "Sign in with Example ID" in client.get("/login/").content.decode()
    answer = visit(client, "/deployments/", user="otto")
    assert (answer.status_code, answer["Location"]) == (302, "/deployments/")
    assert client.session["_auth_user_id"] == str(operator.pk) and client.session["methods"] == ["oidc"]
    assert Record.objects.get(action="account.signed_in").after == {"how": "oidc"}
    assert User.objects.count() == 1 and client.get("/environments/").status_code == 200


def test_what_the_console_asks_the_provider(provider, client):
    asked = client.get(LOGIN)["Location"]
    given = parse_qs_flat(asked)
    assert asked.startswith(f"{provider}/authorize?") and given["code_challenge_method"] == "S256"
    assert given["redirect_uri"] == "http://testserver/login/oidc/callback/" and given["client_id"] == CLIENT
    again = parse_qs_flat(Client().get(LOGIN)["Location"])
    for name in ("state", "nonce", "code_challenge"):
        assert len(given[name]) >= 43 and given[name] != again[name]
    assert SECRET not in asked and client.session["oidc"]["verifier"] not in asked


@pytest.mark.parametrize("wanted", ["https://evil.example/", "//evil.example/", "/\\evil.example/", "javascript:x"])
def test_next_stays_here(provider, client, operator, wanted):
    assert visit(client, wanted, user="otto")["Location"] == "/"


FAULTS = {
    "bad_state": "question of this browser",
    "mixed_up": "another provider",
    "no_iss": "another provider",
    "denied": "It says: access_denied",
    "bad_nonce": "InvalidClaimError",
    "no_nonce": "MissingClaimError",
    "bad_aud": "InvalidClaimError",
    "no_aud": "MissingClaimError",
    "two_audiences": "InvalidClaimError",
    "bad_issuer": "InvalidClaimError",
    "expired": "ExpiredTokenError",
    "no_exp": "MissingClaimError",
    "bad_at_hash": "InvalidClaimError",
    "bad_signature": "BadSignatureError",
    "unsigned": "UnsupportedAlgorithmError",
    "by_secret": "UnsupportedAlgorithmError",
    "unknown_key": "InvalidKeyIdError",
    "cut_off": "BadSignatureError",
    "no_id_token": "KeyError",
    "name_is_a_list": "this console does not",
    "name_with_nul": "this console does not",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_provider_that_lies_signs_nobody_in(provider, client, operator, fault):
    answer = visit(client, user="otto", fault=fault)
    assert answer.status_code == 403 and not is_signed_in(client)
    record = Record.objects.get(action="account.sign_in_failed")
    assert (record.after["how"], record.outcome) == ("oidc", "failed") and SignInFailure.objects.count() == 1
    assert FAULTS[fault] in record.reason


@pytest.mark.parametrize("fault", ["other_issuer", "plain_http", "down", "moved", "nonsense", "endless"])
def test_a_provider_that_is_no_use_is_a_502_in_words(provider, client, fault):
    lie(provider, fault)
    answer = client.get(LOGIN)
    assert answer.status_code == 502 and "Back to signing in" in answer.content.decode()


def test_keys_are_not_fetched_from_elsewhere(provider, client, operator):
    lie(provider, "redirected_keys")
    assert visit(client, user="otto").status_code == 502 and not is_signed_in(client)


def test_a_provider_that_does_not_answer(provider, client, settings):
    settings.OIDC_ISSUER = "http://127.0.0.1:1"
    answer = client.get(LOGIN)
    assert answer.status_code == 502 and "does not answer" in answer.content.decode()


def test_people_whom_this_console_does_not_know_stay_out(provider, client, operator):
    for name in ("eve", "Otto", ""):
        answer = visit(client, user=name)
        assert answer.status_code == 403 and "does not" in answer.content.decode()
    User.objects.filter(pk=operator.pk).update(is_active=False)
    assert visit(client, user="otto").status_code == 403
    assert User.objects.count() == 1 and not is_signed_in(client)
    codes = {record.after["code"] for record in Record.objects.filter(action="account.sign_in_failed")}
    assert codes == {"oidc_unknown_person"}


def test_an_answer_is_for_the_browser_that_asked_and_works_once(provider, client, operator):
    begun = client.get(LOGIN)["Location"]
    back = httpx.get(begun, params={**parse_qs_flat(begun), "user": "otto"}).headers["Location"]
    path = urlsplit(back)._replace(scheme="", netloc="").geturl()
    assert Client().get(path).status_code == 403
    assert client.get(path).status_code == 302 and is_signed_in(client)
    assert client.get(path).status_code == 403
    assert Client().get(CALLBACK).status_code == 403


def test_an_attempt_ends_after_ten_minutes(provider, client, operator, monkeypatch):
    import time

    begun = client.get(LOGIN)["Location"]
    back = httpx.get(begun, params={**parse_qs_flat(begun), "user": "otto"}).headers["Location"]
    now = time.time()
    monkeypatch.setattr("accounts.oidc.time.time", lambda: now + 601)
    answer = client.get(urlsplit(back)._replace(scheme="", netloc="").geturl())
    assert answer.status_code == 403 and "Begin again" in answer.content.decode()


def test_a_wrong_client_secret(provider, client, operator, settings):
    settings.OIDC_CLIENT_SECRET = lambda: "another"
    assert visit(client, user="otto").status_code == 403 and not is_signed_in(client)


def test_a_secret_that_cannot_be_read_is_said_and_not_shown(provider, client, settings):
    def missing() -> str:
        raise LookupError("file:/nowhere")

    settings.OIDC_CLIENT_SECRET = missing
    answer = client.get(LOGIN)
    assert answer.status_code == 502 and "/nowhere" not in answer.content.decode()


def test_the_second_factor_is_asked_for_here_unless_the_provider_is_trusted_with_it(provider, operator, settings):
    give_second_factor(operator)
    asked = Client()
    visit(asked, user="otto", amr="pwd mfa")
    assert asked.get("/environments/")["Location"].startswith("/login/second/")
    settings.OIDC_STRONG_AMR = ["mfa"]
    weak, strong = Client(), Client()
    visit(weak, user="otto", amr="pwd")
    assert weak.get("/environments/").status_code == 302
    visit(strong, user="otto", amr="pwd mfa")
    assert strong.get("/environments/").status_code == 200
    assert strong.session["methods"] == ["oidc", "oidc_mfa"]


def test_another_claim_can_hold_the_name_and_an_address_must_be_verified(provider, operator, settings):
    settings.OIDC_USERNAME_CLAIM = "email"
    for verified, status in (("no", 403), ("yes", 302)):
        assert visit(Client(), fault="email", verified=verified).status_code == status


def test_too_many_failures(provider, client, operator):
    for _ in range(20):
        client.get(CALLBACK)
    late = client.get(LOGIN)
    assert late.status_code == 429 and int(late["Retry-After"]) > 0
    SignInFailure.objects.update(at=timezone.now() - timedelta(minutes=6))
    assert client.get(LOGIN).status_code == 302


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"oidc_issuer": "http://login.example.com", "oidc_client_id": "x"}, "https://host/path"),
        ({"oidc_issuer": "login.example.com", "oidc_client_id": "x"}, "https://host/path"),
        ({"oidc_issuer": "https://login.example.com/?a=b", "oidc_client_id": "x"}, "no query"),
        ({"oidc_issuer": "https://login.example.com"}, "has to be set"),
    ],
)
def test_wrong_settings_stop_the_start(given, says):
    plain = {"secret_key": "0" * 32, "database_url": "postgresql://x", "redis_url": "redis://x"}
    with pytest.raises(ValueError, match=says):
        Config(**plain, **given)
    assert Config(
        **plain, oidc_issuer="http://127.0.0.1:9", oidc_client_id="x", oidc_strong_amr="mfa, hwk"
    ).oidc_strong_amr == ["mfa", "hwk"]
