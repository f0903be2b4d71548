"""The audit trail, API keys and second factors as a checklist reads them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import APIKey
from audit.models import ChainLink, Verification
from environments import evidence
from environments.evidence import Subject, Verdict
from tests.accounts.factors import give_second_factor, make_key

pytestmark = pytest.mark.django_db


def read(name, environment):
    found = evidence.read(name, Subject(environment)).reading
    assert not found.value.startswith("Could not be read"), found.value
    return found


def test_the_audit_chain(production):
    assert read("audit.chain", production).verdict == Verdict.NO_DATA
    Verification.objects.all().delete()
    kept = Verification.objects.create(tail_seq=ChainLink.objects.count(), tail_at=timezone.now())
    found = read("audit.chain", production)
    assert found.verdict == Verdict.PASS and "Intact, checked" in found.value and "last walk" in found.detail.lower()
    kept.tail_at = timezone.now() - timedelta(minutes=5)
    kept.save()
    assert read("audit.chain", production).verdict == Verdict.WARN
    kept.wrong_seq, kept.wrong_what = 7, "the digest differs"
    kept.save()
    found = read("audit.chain", production)
    assert (found.verdict, found.value) == (Verdict.FAIL, "Broken at entry 7: the digest differs")


def test_keys_to_renew(production, admin):
    assert read("accounts.keys_due", production).value == "None of 0 keys is due"
    make_key(admin)
    assert read("accounts.keys_due", production).verdict == Verdict.PASS
    now = timezone.now()
    APIKey.objects.update(created_at=now - timedelta(days=60), expires_at=now + timedelta(days=3))
    found = read("accounts.keys_due", production)
    assert found.verdict == Verdict.WARN and found.value == "1 of 1 key to renew" and admin.display_name in found.detail
    APIKey.objects.update(expires_at=now - timedelta(days=1))
    found = read("accounts.keys_due", production)
    assert found.verdict == Verdict.WARN and "1 key ended in the last 7 days" in found.value


def test_an_admin_without_a_second_factor_fails(production, admin, operator):
    found = read("accounts.second_factors", production)
    assert found.verdict == Verdict.FAIL and found.value.startswith("0 of 1 Admin have a second factor")
    assert admin.display_name in found.detail and "1 of 1 others have none" in found.value
    give_second_factor(admin)
    assert read("accounts.second_factors", production).verdict == Verdict.PASS
