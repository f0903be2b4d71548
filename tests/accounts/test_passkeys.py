"""Passkeys: enrolled, used, and refused for every reason there is."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts import passkeys
from accounts.models import Challenge, Passkey, RecoveryCode, SignInFailure, User
from audit.models import Record
from tests.accounts.authenticator import Authenticator
from tests.accounts.ways import add_passkey, by_link, code_of, says, with_app, with_passkey

pytestmark = pytest.mark.usefixtures("still_clock")


def ask() -> dict:
    return Client().post("/login/passkey/options/").json()


def sign_in(device: Authenticator, question: dict | None = None, **changes) -> tuple[Client, int, str]:
    client = Client()
    question = question or client.post("/login/passkey/options/").json()
    sent = {"challenge": question["challenge"], "assertion": device.get(question, **changes)}
    answer = client.post("/login/passkey/", sent)
    return client, answer.status_code, says(answer)


def is_signed_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


def test_enrol_then_sign_in_without_a_name(operator):
    client, device, codes = with_passkey(operator)
    assert len(codes) == 10 and RecoveryCode.objects.count() == 10
    assert Record.objects.get(action="passkey.added").after == {"name": "Laptop", "synchronised": False}
    assert client.session["methods"] == ["link", "passkey"]
    other, status, _ = sign_in(device)
    assert status == 302 and other.session["methods"] == ["passkey"]
    assert other.get("/").status_code == 200
    found = Passkey.objects.get()
    assert found.sign_count == 1 and found.last_used_at and found.transports == ["internal"]
    signed = Record.objects.filter(action="account.signed_in").latest("pk")
    assert signed.after == {"how": "passkey"} and signed.actor == operator


def test_what_the_browser_is_asked(operator):
    client, device, _ = with_passkey(operator)
    made = client.post("/account/security/passkeys/options/").json()["public_key"]
    assert made["rp"] == {"name": "OpsConsole", "id": "localhost"} and made["attestation"] == "none"
    wanted = made["authenticatorSelection"]
    assert wanted["userVerification"] == "required" and wanted["residentKey"] == "preferred"
    assert [item["id"] for item in made["excludeCredentials"]] == [Passkey.objects.get().credential_id]
    asked = ask()["public_key"]
    assert asked["userVerification"] == "required" and asked["allowCredentials"] == [] and asked["rpId"] == "localhost"
    assert Challenge.objects.latest("expires_at").expires_at <= timezone.now() + timedelta(minutes=5)
    signing = Challenge.objects.filter(kind=Challenge.Kind.PASSKEY_SIGN_IN).get()
    assert signing.expires_at <= timezone.now() + timedelta(seconds=60)


def test_a_second_passkey_brings_no_new_codes(operator):
    client, _, _ = with_passkey(operator)
    answer = add_passkey(client, Authenticator(), "Security key")
    assert answer.status_code == 302 and RecoveryCode.objects.count() == 10
    assert {found.name for found in Passkey.objects.all()} == {"Laptop", "Security key"}


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"origin": "http://127.0.0.1:8000"}, "another address"),
        ({"origin": "https://localhost:8000"}, "another address"),
        ({"origin": "http://localhost:8001"}, "another address"),
        ({"origin": "http://localhost:8000.evil.example"}, "another address"),
        ({"rp_id": "evil.example"}, "another address"),
        ({"verifies": False}, "did not verify the person"),
    ],
)
def test_a_wrong_device_neither_enrols_nor_signs_in(operator, wrong, why):
    client = by_link(operator)
    answer = add_passkey(client, Authenticator(**wrong))
    assert answer.status_code == 400 and why in says(answer) and not Passkey.objects.exists()
    _, device, _ = with_passkey(operator)
    for name, value in wrong.items():
        setattr(device, name, value)
    other, status, words = sign_in(device)
    assert status == 400 and why in words and not is_signed_in(other)
    failed = Record.objects.get(action="account.sign_in_failed")
    assert failed.outcome == "failed" and failed.address == "127.0.0.1" and why in failed.reason
    assert failed.object_name == "otto" and failed.after == {"how": "passkey"}


def test_a_question_is_answered_once_and_within_a_minute(operator):
    _, device, _ = with_passkey(operator)
    question = ask()
    assert sign_in(device, question)[1] == 302
    client, status, words = sign_in(device, question)
    assert status == 400 and "answered before" in words and not is_signed_in(client)
    late = ask()
    Challenge.objects.filter(pk=late["challenge"]).update(expires_at=timezone.now())
    assert sign_in(device, late)[1] == 400


def test_a_failed_answer_uses_the_question_up(operator):
    _, device, _ = with_passkey(operator)
    question = ask()
    assert sign_in(device, question, signature="AAAA")[1] == 400
    assert sign_in(device, question)[1] == 400 and Challenge.objects.get(pk=question["challenge"]).used_at


def test_a_copied_passkey_is_found_by_its_counter(operator):
    _, device, _ = with_passkey(operator)
    device.count = 8
    assert sign_in(device)[1] == 302
    device.count = 8  # the copy has seen less than the original: it answers with 9 again
    client, status, words = sign_in(device)
    assert status == 400 and "may have been copied" in words and not is_signed_in(client)
    assert "counter went back (9 to 9)" in Record.objects.get(action="account.sign_in_failed").reason
    assert Passkey.objects.get().sign_count == 9


def test_a_device_without_a_counter_works_again_and_again(operator):
    _, device, _ = with_passkey(operator)
    for _ in range(2):
        device.count = -1
        assert sign_in(device)[1] == 302


def test_a_question_of_another_kind_or_person_is_not_taken(operator, developer):
    client, device, _ = with_passkey(operator)
    registration = client.post("/account/security/passkeys/options/").json()
    assert sign_in(device, registration)[1] == 400
    thief = by_link(developer)
    assert add_passkey(thief, Authenticator()).status_code == 200
    mine = client.post("/account/security/passkeys/options/").json()
    sent = {"name": "x", "challenge": mine["challenge"], "credential": Authenticator().create(mine)}
    assert thief.post("/account/security/passkeys/", sent).status_code == 400


def test_the_passkey_of_somebody_inactive_opens_nothing(operator):
    _, device, _ = with_passkey(operator)
    User.objects.filter(pk=operator.pk).update(is_active=False)
    client, status, words = sign_in(device)
    assert status == 400 and "switched off" in words and not is_signed_in(client)


def test_a_passkey_that_names_another_person_is_refused(operator):
    _, device, _ = with_passkey(operator)
    device.handle = "AAAAAAAAAAk"
    assert "another person" in sign_in(device)[2]


def test_the_same_passkey_cannot_be_enrolled_twice(operator, developer):
    _, device, _ = with_passkey(operator)
    answer = add_passkey(by_link(developer), device)
    assert answer.status_code == 400 and "enrolled already" in says(answer)


@pytest.mark.parametrize("name", ["", "   ", "x" * 61, "\x00"])
def test_a_passkey_needs_a_name(operator, name):
    answer = add_passkey(by_link(operator), Authenticator(), name)
    assert answer.status_code == 400 and not Passkey.objects.exists()


def test_rename(operator, developer):
    client, _, _ = with_passkey(operator)
    address = f"/account/security/passkeys/{Passkey.objects.get().pk}/"
    assert client.post(address, {"name": " Work  laptop "}).status_code == 302
    assert Passkey.objects.get().name == "Work laptop"
    assert Record.objects.get(action="passkey.renamed").before == {"name": "Laptop"}
    assert client.post(address, {"name": ""}).status_code == 400
    assert by_link(developer).post(address, {"name": "Mine"}).status_code == 404


def test_remove_takes_the_name_a_reason_and_a_fresh_proof(operator):
    client, seed = with_app(operator)
    add_passkey(client, Authenticator())
    passkey = Passkey.objects.get()
    address = f"/account/security/passkeys/{passkey.pk}/remove/"
    challenge = client.get(address).context["step_up"]["challenge"]
    good = {"name_typed": "Laptop", "reason": "Sold it", "challenge": str(challenge), "code": code_of(seed)}
    for change in ({"name_typed": "laptop"}, {"code": ""}, {"code": "000000"}, {"challenge": ""}):
        assert client.post(address, {**good, **change}).status_code == 400 and Passkey.objects.exists()
    assert client.post(address, good)["Location"] == "/account/security/"
    assert not Passkey.objects.exists()
    record = Record.objects.get(action="passkey.removed")
    assert record.reason == "Sold it" and record.before == {"name": "Laptop"}


def test_the_last_factor_of_an_admin_stays(admin):
    client, device, _ = with_passkey(admin)
    passkey = Passkey.objects.get()
    address = f"/account/security/passkeys/{passkey.pk}/remove/"
    assert "your last second factor" in says(client.get(address))
    body = {"action": "passkey.removed", "object": f"passkey:{passkey.pk}"}
    question = client.post("/api/v1/step-up/", body, content_type="application/json").json()
    sent = {"name_typed": "Laptop", "reason": "x", "challenge": question["challenge"]}
    answer = client.post(address, {**sent, "assertion": device.get(question)})
    assert answer.status_code == 400 and "last second factor of an Admin" in says(answer) and Passkey.objects.exists()


def test_at_another_address_the_page_leads_to_the_right_one(operator, settings):
    client = by_link(operator)
    page = client.get("/account/security/").content.decode()
    assert "Passkeys work at" in page and 'href="http://localhost:8000/account/security/"' in page
    settings.OPSC_ORIGIN = "http://testserver"
    assert "Passkeys work at" not in client.get("/account/security/").content.decode()
    settings.OPSC_ORIGIN = "http://192.0.2.7:8000"
    assert passkeys.relying_party() == "" and "OPSC_ORIGIN" in says(client.get("/account/security/"))
    assert client.post("/account/security/passkeys/options/").status_code == 400


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
PARTS = st.fixed_dictionaries(
    dict.fromkeys(("clientDataJSON", "authenticatorData", "signature"), JSON), optional={"userHandle": JSON}
)
ANSWERS = st.fixed_dictionaries(
    {"id": st.just("cred"), "rawId": st.just("cred") | JSON, "type": st.just("public-key"), "response": PARTS | JSON}
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answer=ANSWERS.map(json.dumps) | JSON.map(json.dumps) | st.text(max_size=60))
def test_no_answer_makes_it_stumble(operator, answer):
    Passkey.objects.get_or_create(user=operator, credential_id="cred", defaults={"name": "x", "public_key": b"key"})
    SignInFailure.objects.all().delete()
    found = Client().post("/login/passkey/", {"challenge": ask()["challenge"], "assertion": answer})
    assert found.status_code == 400


def test_too_long_an_answer_is_not_even_read(db):
    found = Client().post("/login/passkey/", {"challenge": ask()["challenge"], "assertion": "[" * 20_000})
    assert found.status_code == 400 and "too long" in says(found)
