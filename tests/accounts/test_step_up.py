"""Step-up: a fresh proof, for this act alone, once, within a minute."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core import signing
from django.test import Client, RequestFactory
from django.utils import timezone
from rest_framework.request import Request

from accounts import step_up
from accounts.errors import StepUpFailed, StepUpRequired
from accounts.models import Challenge, Passkey
from audit.models import Record
from tests.accounts.ways import by_link, code_of, fresh, says, with_app, with_passkey

pytestmark = pytest.mark.usefixtures("still_clock")
ACT, NAME = "role.changed", "dora"


def question(client: Client, action: str = ACT, ref: str = "user:7"):
    body = {"action": action, "object": ref}
    return client.post("/api/v1/step-up/", body, content_type="application/json")


@pytest.fixture
def send(rf: RequestFactory):
    """Bring a form to ``confirm``, as a view would: ``send(client, user, code="123456")``."""

    def make(client: Client, user, subject="user:7", action=ACT, name=NAME, **fields) -> None:
        request = rf.post("/", {"name_typed": NAME, "reason": "x", **fields})
        request.user, request.session, request.request_id = user, client.session, "test-request"
        try:
            step_up.confirm(request, action, subject, name)
        finally:
            client.cookies["sessionid"] = request.session.session_key
            request.session.save()

    return make


def form(client: Client, user, rf, subject="user:7", action=ACT, name=NAME) -> str:
    request = rf.get("/")
    request.user, request.session = user, client.session
    return str(step_up.offer(request, action, subject, name)["challenge"])


def test_by_code(operator, send, rf):
    client, seed = with_app(operator)
    key = client.session.session_key
    send(client, operator, challenge=form(client, operator, rf), code=code_of(seed))
    record = Record.objects.get(action="account.confirmed")
    assert record.after == {"action": ACT, "method": "totp"} and record.actor == operator
    assert client.session.session_key != key and client.get("/").status_code == 200
    stale = Client()
    stale.cookies["sessionid"] = key
    assert stale.get("/").status_code == 302


def test_by_passkey(operator, send):
    client, device, _ = with_passkey(operator)
    asked = question(client).json()
    assert [item["id"] for item in asked["public_key"]["allowCredentials"]] == [Passkey.objects.get().credential_id]
    answer = {"challenge": asked["challenge"], "assertion": device.get(asked)}
    send(client, operator, **answer)
    assert Record.objects.get(action="account.confirmed").after["method"] == "passkey"
    with pytest.raises(StepUpFailed, match="answered before"):
        send(client, operator, **answer)


def test_the_question_over_the_api_is_answered_with_a_code_once(operator, send):
    client, seed = with_app(operator)
    asked = question(client).json()
    assert asked["public_key"] is None and asked["expires_at"].endswith("Z")
    send(client, operator, challenge=asked["challenge"], code=code_of(seed))
    fresh(operator)
    with pytest.raises(StepUpFailed, match="too old"):
        send(client, operator, challenge=asked["challenge"], code=code_of(seed))


@pytest.mark.parametrize("typed", ["", "Dora", "dor", "dora2"])
def test_the_name_is_typed_exactly(operator, send, rf, typed):
    client, seed = with_app(operator)
    with pytest.raises(StepUpFailed, match="exactly"):
        send(client, operator, challenge=form(client, operator, rf), code=code_of(seed), name_typed=typed)
    send(client, operator, challenge=form(client, operator, rf), code=code_of(seed), name_typed=" dora ")


def test_without_a_proof_it_is_asked_for(operator, send, rf):
    client, _ = with_app(operator)
    with pytest.raises(StepUpRequired, match="your passkey, or with the code"):
        send(client, operator, challenge=form(client, operator, rf))


@pytest.mark.parametrize("other", [{"action": "other.act"}, {"subject": "user:8"}])
def test_a_proof_for_another_act_is_none(operator, send, rf, other):
    client, seed = with_app(operator)
    with pytest.raises(StepUpFailed):
        send(client, operator, challenge=form(client, operator, rf), code=code_of(seed), **other)
    asked = question(client).json()
    with pytest.raises(StepUpFailed, match="another act"):
        send(client, operator, challenge=asked["challenge"], code=code_of(seed), **other)
    assert not Record.objects.filter(action="account.confirmed").exists()


def test_an_assertion_for_another_act_or_for_signing_in_is_none(operator, send):
    client, device, _ = with_passkey(operator)
    other = question(client, "other.act").json()
    with pytest.raises(StepUpFailed, match="another act"):
        send(client, operator, challenge=other["challenge"], assertion=device.get(other))
    signing_in = Client().post("/login/passkey/options/").json()
    with pytest.raises(StepUpFailed):
        send(client, operator, challenge=signing_in["challenge"], assertion=device.get(signing_in))


def test_a_proof_of_another_session_or_person_is_none(operator, developer, send, rf):
    client, seed = with_app(operator)
    fresh(operator)
    elsewhere = by_link(operator)
    elsewhere.post("/login/second/", {"code": code_of(seed)})
    fresh(operator)
    for challenge in (form(elsewhere, operator, rf), question(elsewhere).json()["challenge"]):
        with pytest.raises(StepUpFailed, match="another session"):
            send(client, operator, challenge=challenge, code=code_of(seed))
    theirs, _ = with_app(developer)
    with pytest.raises(StepUpFailed):
        send(client, operator, challenge=form(theirs, developer, rf), code=code_of(seed))


def test_proofs_grow_old(operator, send, rf, monkeypatch):
    import time

    client, seed = with_app(operator)
    asked, drawn, now = question(client).json(), form(client, operator, rf), time.time()
    assert Challenge.objects.get().expires_at <= timezone.now() + timedelta(seconds=60)
    Challenge.objects.update(expires_at=timezone.now())
    with pytest.raises(StepUpFailed, match="too old"):
        send(client, operator, challenge=asked["challenge"], code=code_of(seed))
    monkeypatch.setattr(signing.time, "time", lambda: now + step_up.FORM_LIFETIME + 2)  # of the whole process
    with pytest.raises(StepUpFailed, match="too old"):
        send(client, operator, challenge=drawn, code=code_of(seed, now + step_up.FORM_LIFETIME + 2))


def test_a_wrong_code_is_audited_with_what_it_was_for(operator, send, rf):
    client, _ = with_app(operator)
    with pytest.raises(StepUpFailed, match="not right now"):
        send(client, operator, challenge=form(client, operator, rf), code="000000")
    failed = Record.objects.get(action="account.second_factor_failed")
    assert failed.after == {"method": "totp", "for": ACT} and failed.outcome == "failed"


def test_a_device_that_does_not_verify_is_refused(operator, send):
    client, device, _ = with_passkey(operator)
    device.verifies, asked = False, question(client).json()
    with pytest.raises(StepUpFailed, match="did not verify"):
        send(client, operator, challenge=asked["challenge"], assertion=device.get(asked))


def test_an_api_key_can_never_confirm(operator, rf):
    from tests.accounts.factors import make_key

    key = Client(headers={"Authorization": f"Bearer {make_key(operator)}"})
    answer = question(key)
    assert answer.status_code == 403 and answer.json()["code"] == "step_up_required"
    assert "on the page" in answer.json()["detail"]
    request = Request(rf.post("/"))
    request.user, request.auth = operator, operator.api_keys.get()
    request._full_data = {"step_up": {"challenge": "x", "code": "123456"}}
    with pytest.raises(StepUpRequired, match="API key"):
        step_up.confirm(request, ACT, "user:7", NAME)


def test_over_the_api_by_session(operator, rf):
    client, seed = with_app(operator)
    for member in (None, "x", {}, {"code": 7}, {"challenge": "x", "code": ["1"]}):
        with pytest.raises(StepUpRequired):
            confirm_json(client, operator, rf, member)
    asked = question(client).json()
    confirm_json(client, operator, rf, {"challenge": asked["challenge"], "code": code_of(seed)})
    assert Record.objects.filter(action="account.confirmed").count() == 1


def confirm_json(client: Client, user, rf, member) -> None:
    plain = rf.post("/")
    plain.session = client.session
    request = Request(plain)
    request.user, request.auth = user, None
    request._full_data = {"step_up": member}
    step_up.confirm(request, ACT, "user:7", NAME)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"action": "x"},
        {"action": "A.b", "object": "x"},
        {"action": "a.b", "object": "x\x00"},
        {"action": "a.b", "object": "x" * 201},
        {"action": "a.b", "object": "c:1", "more": 1},
    ],
)
def test_malformed_questions(operator, body):
    client, _ = with_app(operator)
    assert client.post("/api/v1/step-up/", body, content_type="application/json").status_code == 400


def test_who_has_no_factor_is_led_to_one(operator):
    page = by_link(operator).get("/account/security/recovery/")
    assert "Add a second factor" in says(page) and "name_typed" not in page.content.decode()


def test_what_was_typed_is_kept_after_a_refusal(operator):
    client, _ = with_app(operator)
    sent = {"name_typed": "otto", "reason": "Because <b>", "code": "000000"}
    sent["challenge"] = str(client.get("/account/security/recovery/").context["step_up"]["challenge"])
    page = client.post("/account/security/recovery/", sent)
    text = page.content.decode()
    assert (
        page.status_code == 400
        and 'value="otto"' in text
        and "Because &lt;b&gt;" in text
        and "Nothing was done" in text
    )
