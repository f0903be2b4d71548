"""Codes of an authenticator app: of this moment only, once only, and the seed is never kept in the clear."""

from __future__ import annotations

import re
import threading

import pyotp
import pytest
from django.db import connections
from django.test import Client

from accounts import proofs, totp
from accounts.models import AuthenticatorApp
from audit.models import Record
from tests.accounts.ways import by_link, code_of, codes_in, fresh, says, with_app, with_passkey

pytestmark = pytest.mark.usefixtures("still_clock")
SEED = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
"""The seed of RFC 6238, appendix B."""


@pytest.mark.parametrize(
    ("at", "code"), [(59, "287082"), (1111111109, "081804"), (1234567890, "005924"), (20000000000, "353130")]
)
def test_the_codes_of_the_standard(at, code):
    assert totp.matching_step(SEED, code, at) == at // 30


def test_only_the_present_step_counts():
    at = 1_700_000_010  # the first second of a step
    code = pyotp.TOTP(SEED).at(at)
    assert at % 30 == 0
    assert [totp.matching_step(SEED, code, at + seconds) is not None for seconds in (-1, 0, 29, 30)] == [
        False,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize("code", ["", "12345", "1234567", "abcdef", "２８７０８２", "287 082 1", "\x00", "-287082x"])
def test_what_is_no_code(code):
    assert totp.matching_step(SEED, code, 59) is None


def test_blanks_in_a_code_do_not_matter():
    assert totp.matching_step(SEED, " 287 082 ", 59) == 1


def test_the_seed_is_encrypted_and_earlier_keys_are_read(settings):
    kept = totp.encrypt(SEED)
    assert SEED not in kept and totp.decrypt(kept) == SEED
    old, settings.SECRET_KEY = settings.SECRET_KEY, "another secret key, at least this long"
    with pytest.raises(totp.UnreadableSeed, match="OPSC_SECRET_KEY_FALLBACKS"):
        totp.decrypt(kept)
    settings.SECRET_KEY_FALLBACKS = [old]
    assert totp.decrypt(kept) == SEED and totp.decrypt(totp.encrypt(SEED)) == SEED


def test_enrol(operator):
    client = by_link(operator)
    assert client.get("/account/security/app/").status_code == 302  # nothing is being set up yet
    assert client.post("/account/security/app/start/")["Location"] == "/account/security/app/"
    page = client.get("/account/security/app/")
    text = page.content.decode()
    seed = totp.decrypt(AuthenticatorApp.objects.get().seed)
    assert totp.grouped(seed) in text and re.fullmatch(r"[A-Z2-7]{32}", seed) and "<svg" in text
    assert "style=" not in text and "no-store" in page["Cache-Control"]
    for part in ('autocomplete="one-time-code"', 'inputmode="numeric"'):
        assert part in text
    wrong = client.post("/account/security/app/", {"code": "000000"})
    assert wrong.status_code == 400 and totp.grouped(seed) in wrong.content.decode()
    assert AuthenticatorApp.objects.get().confirmed_at is None
    done = client.post("/account/security/app/", {"code": code_of(seed)})
    assert done.status_code == 200 and len(codes_in(done)) == 10
    assert AuthenticatorApp.objects.get().confirmed_at and Record.objects.filter(action="totp.added").count() == 1
    assert client.session["methods"] == ["link", "totp"]
    assert all(seed not in str(record.after) for record in Record.objects.all())
    assert client.post("/account/security/app/start/").status_code == 400  # there is one


def test_the_picture_holds_the_address_of_the_seed():
    assert totp.address(SEED, "otto") == f"otpauth://totp/OpsConsole:otto?secret={SEED}&issuer=OpsConsole"
    assert totp.qr(SEED, "otto").startswith("<svg viewBox=")


def test_an_app_that_was_never_confirmed_is_no_factor(operator):
    client = by_link(operator)
    client.post("/account/security/app/start/")
    code = code_of(totp.decrypt(AuthenticatorApp.objects.get().seed))
    other = by_link(operator)
    assert other.get("/").status_code == 200  # nothing is asked for
    assert other.post("/login/second/", {"code": code}).status_code == 302 and other.session["methods"] == ["link"]


def test_an_app_that_is_being_set_up_shows_nothing_beside_a_passkey(operator):
    client, _, _ = with_passkey(operator)
    client.post("/account/security/app/start/")
    code = code_of(totp.decrypt(AuthenticatorApp.objects.get().seed))
    other = by_link(operator)
    answer = other.post("/login/second/", {"code": code})
    assert answer.status_code == 400 and "no authenticator app" in says(answer)
    assert "Code that the app shows" not in says(other.get("/login/second/"))


def test_a_link_then_a_code(operator):
    _, seed = with_app(operator)
    client = by_link(operator)
    assert client.get("/deployments/")["Location"] == "/login/second/?next=/deployments/"
    key = client.session.session_key
    answer = client.post("/login/second/", {"code": code_of(seed), "next": "/deployments/"})
    assert answer["Location"] == "/deployments/" and client.session["methods"] == ["link", "totp"]
    assert client.session.session_key != key and client.get("/deployments/").status_code == 200
    assert Record.objects.filter(action="account.second_factor_passed", actor=operator).count() == 1


def test_a_code_works_once(operator, rf):
    _, seed = with_app(operator)
    code = code_of(seed)
    first, second = by_link(operator), by_link(operator)
    assert first.post("/login/second/", {"code": code}).status_code == 302
    answer = second.post("/login/second/", {"code": code})
    assert answer.status_code == 400 and "used before" in says(answer)
    failed = Record.objects.get(action="account.second_factor_failed")
    assert failed.after == {"method": "totp", "for": "sign_in"} and code not in failed.reason


def test_an_earlier_code_of_a_clock_that_went_back_is_refused(operator, rf):
    client, seed = with_app(operator)
    request = rf.get("/")
    request.user, request.session = operator, client.session
    at = 1_700_000_010
    proofs.by_code(request, operator, code_of(seed, at), "test", at)
    for moment in (at, at - 30):
        with pytest.raises(proofs.WrongProof, match="used before"):
            proofs.by_code(request, operator, code_of(seed, moment), "test", moment)
    proofs.by_code(request, operator, code_of(seed, at + 30), "test", at + 30)


@pytest.mark.django_db(transaction=True)
def test_two_uses_at_once_open_one_session(operator):
    _, seed = with_app(operator)
    clients = [by_link(operator) for _ in range(2)]
    code, barrier, found = code_of(seed), threading.Barrier(2), []

    def press(client: Client) -> None:
        try:
            barrier.wait(timeout=10)
            found.append(client.post("/login/second/", {"code": code}).status_code)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=press, args=[client]) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert sorted(found) == [302, 400]


def test_remove_takes_a_fresh_proof(operator):
    client, seed = with_app(operator)
    page = client.get("/account/security/app/remove/")
    sent = {"name_typed": "otto", "reason": "New phone", "challenge": str(page.context["step_up"]["challenge"])}
    assert client.post("/account/security/app/remove/", {**sent, "code": "123456"}).status_code == 400
    assert client.post("/account/security/app/remove/", {**sent, "code": code_of(seed)}).status_code == 302
    assert not AuthenticatorApp.objects.exists() and operator.recovery_codes.count() == 0
    assert Record.objects.get(action="totp.removed").reason == "New phone"
    fresh(operator)


def test_the_only_app_of_an_admin_stays(admin):
    client, seed = with_app(admin)
    page = client.get("/account/security/app/remove/")
    sent = {"name_typed": "ada", "reason": "x", "challenge": str(page.context["step_up"]["challenge"])}
    answer = client.post("/account/security/app/remove/", {**sent, "code": code_of(seed)})
    assert answer.status_code == 400 and "last second factor" in says(answer) and AuthenticatorApp.objects.exists()


def test_somebody_with_a_factor_adds_no_other_before_it_is_shown(operator):
    with_passkey(operator)
    client = by_link(operator)
    answer = client.post("/account/security/app/start/")
    assert answer["Location"].startswith("/login/second/") and not AuthenticatorApp.objects.exists()
