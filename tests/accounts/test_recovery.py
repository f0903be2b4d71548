"""Recovery codes: ten, once each, for the day the device is lost."""

from __future__ import annotations

import pytest

from accounts import recovery
from accounts.models import RecoveryCode
from audit.models import Record
from tests.accounts.authenticator import Authenticator
from tests.accounts.ways import add_passkey, by_link, code_of, codes_in, says, with_app, with_passkey

pytestmark = pytest.mark.usefixtures("still_clock")


def test_a_code_is_long_and_has_no_characters_that_look_alike():
    codes = {recovery.new_code() for _ in range(200)}
    assert len(codes) == 200 and not set("".join(codes)) & set("ilo01")
    assert all(len(code.replace("-", "")) == 24 for code in codes)


def test_only_digests_are_kept_and_they_belong_to_one_person(operator, developer):
    codes = recovery.renew(operator)
    kept = set(RecoveryCode.objects.values_list("digest", flat=True))
    assert len(kept) == 10 and not kept & set(codes)
    assert not recovery.use(developer, codes[0]) and recovery.use(operator, codes[0])


def test_a_code_may_be_typed_as_one_likes_and_works_once(operator):
    codes = recovery.renew(operator)
    assert recovery.use(operator, f" {codes[0].upper().replace('-', ' ')} ")
    assert not recovery.use(operator, codes[0]) and recovery.left(operator) == 9


def test_in_by_link_and_recovery_code_when_the_device_is_lost(admin):
    _, _, codes = with_passkey(admin)
    client = by_link(admin)
    assert client.get("/").status_code == 302
    assert client.post("/login/second/", {"recovery_code": "abcd-efgh"}).status_code == 400
    assert client.post("/login/second/", {"recovery_code": codes[3]}).status_code == 302
    assert client.get("/").status_code == 200 and client.session["methods"] == ["link", "recovery"]
    used = Record.objects.get(action="recovery.used")
    assert used.after == {"left": 9} and codes[3] not in str(used.__dict__)
    assert "9 of 10 left" in says(client.get("/account/security/"))
    again = by_link(admin)
    assert again.post("/login/second/", {"recovery_code": codes[3]}).status_code == 400
    assert add_passkey(client, Authenticator(), "New phone").status_code == 302


def test_new_codes_take_a_fresh_proof_and_end_the_old_ones(operator):
    client, seed = with_app(operator)
    old = set(RecoveryCode.objects.values_list("digest", flat=True))
    page = client.get("/account/security/recovery/")
    sent = {"name_typed": "otto", "reason": "Printed anew", "challenge": str(page.context["step_up"]["challenge"])}
    assert client.post("/account/security/recovery/", sent).status_code == 400
    done = client.post("/account/security/recovery/", {**sent, "code": code_of(seed)})
    assert done.status_code == 200 and len(codes_in(done)) == 10 and "shown only now" in says(done)
    assert not old & set(RecoveryCode.objects.values_list("digest", flat=True))
    assert "no-store" in done["Cache-Control"]


def test_a_recovery_code_is_no_fresh_proof(operator):
    client, _ = with_app(operator)
    code = recovery.renew(operator)[0]
    page = client.get("/account/security/recovery/")
    sent = {"name_typed": "otto", "reason": "x", "challenge": str(page.context["step_up"]["challenge"])}
    for name in ("code", "recovery_code"):
        assert client.post("/account/security/recovery/", {**sent, name: code}).status_code == 400
    assert recovery.left(operator) == 10


def test_without_a_factor_there_are_no_codes(operator):
    answer = by_link(operator).post("/account/security/recovery/", {"reason": "x"})
    assert answer.status_code == 400 and not RecoveryCode.objects.exists()
