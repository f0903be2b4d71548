"""Planted secrets do not survive, whatever their field or shape; ordinary words do."""

from __future__ import annotations

import json
import string

import pytest
from django.db import transaction
from hypothesis import given
from hypothesis import strategies as st

from accounts.keys import generate
from audit.actions import record
from audit.actors import system
from audit.models import Record
from audit.redaction import REDACTED, redact

CANARY = "Xq7Canary9Zt4"
NAMES = (
    "password", "new_password", "Password", "userPassword", "passwd", "passphrase", "secret", "clientSecret",
    "totp_secret", "token", "access-token", "Authorization", "Cookie", "Set-Cookie", "private_key", "privateKey",
    "seed", "wallet_seed", "api_key", "apiKey", "API_KEY", "recovery_codes", "recovery_code", "recovery", "credentials",
    "mnemonic", "session_key", "sessionid", "session_id", "secret_id", "otp", "pin",
)  # fmt: skip
PEM = f"-----BEGIN OPENSSH PRIVATE KEY-----\n{CANARY}\n-----END OPENSSH PRIVATE KEY-----"
SHAPES = (
    f"opsc_abcdefghij_{CANARY}",
    PEM,
    PEM.partition("-----END")[0],
    f"-----BEGIN ENCRYPTED PRIVATE KEY-----\n{CANARY}",
    f"Authorization: Bearer {CANARY}",
    f"bearer {CANARY}",
    f"Basic {CANARY}==",
    f"otpauth://totp/OpsConsole:ada?secret={CANARY}&issuer=x",
    f"postgresql://opsconsole:{CANARY}@db.example.com:5432/x",
    f"redis://:{CANARY}@127.0.0.1:6379/0",
    f"https://ada:{CANARY}/{CANARY}@example.com/",
    f"eyJhbGciOiJIUzI1NiJ9.{CANARY}.{CANARY}",
    f"https://x.example.com/?token={CANARY}&a=1",
    f"OPSC_SECRET_KEY={CANARY}",
    f"password = '{CANARY} {CANARY}'",
    f'{{"api_key": "{CANARY}"}}',
)
ORDINARY = (
    "sha256:" + "ab" * 32,
    "ab" * 32,
    "Bearer instruments are traded",
    "Basic understanding of the token: expired",
    "http://127.0.0.1:8080/quote/BTC?mail=a@b.example",
    "unix:/run/haproxy.sock",
    "ada@example.com",
    "The password of the day is none of your business",
    "opsc_abcdefghij",
    "v1.2.5 → v1.2.6, 3 of 4 checks passed; error rate 0.4 %",
    "2026-01-21T03:04:05.123456Z",
    "6f1c2a1e-0f1c-4b63-9a38-0f3f0c9b7c11",
)
UNTOUCHED = {
    "from": "v1.2.4",
    "digest": "sha256:" + "0f" * 32,
    "tx_hash": "0x" + "ab" * 32,
    "api_key_prefix": "opsc_abcdefghij",
    "recovery_codes_left": 7,
    "token_file": "/etc/opsconsole/token",
    "has_password": True,
    "password": None,
    "author": "Ada",
    "pinned": "yes",
    "monkey": "see",
    "keys": ["a", "b"],
    "positions": [{"symbol": "BTC", "size": 0.25}],
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [CANARY, 42_424_242, [CANARY], {"value": CANARY}])
def test_a_secret_name_hides_its_value(name, value):
    assert redact({"a": [{name: value}]}) == {"a": [{name: REDACTED}]}


@pytest.mark.parametrize("text", SHAPES)
def test_a_secret_shape_is_cut_out_of_text(text):
    for found in (redact(text), redact({"note": f"see {text}"})["note"], redact({text: 1})):
        assert CANARY not in str(found) and REDACTED in str(found)


def test_what_is_public_of_a_secret_stays():
    key, prefix, _ = generate()
    assert redact(key) == f"opsc_{prefix}_{REDACTED}"
    assert redact("postgresql://ada:pw@db:5432/x") == f"postgresql://ada:{REDACTED}@db:5432/x"
    assert redact("0x" + "ab" * 32) == redact({"key": "0x" + "AB" * 32})["key"] == REDACTED


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_is_left_alone(text):
    assert redact(text) == text and redact({"reason": [text]}) == {"reason": [text]}


def test_ordinary_fields_are_left_alone():
    assert redact(UNTOUCHED) == UNTOUCHED


PLAIN = st.text(string.ascii_lowercase + " .-", max_size=12)
NESTED = st.recursive(
    st.none() | st.integers() | PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PLAIN, inner, max_size=3),
    max_leaves=8,
)


@given(st.data())
def test_nothing_planted_survives_at_any_depth(data):
    planted = data.draw(
        st.sampled_from(
            [{name: CANARY} for name in NAMES] + [{"note": text} for text in SHAPES] + [[t] for t in SHAPES]
        )
    )
    for _ in range(data.draw(st.integers(0, 30))):
        name, beside = data.draw(PLAIN), data.draw(NESTED)
        planted = data.draw(st.sampled_from([{name: planted, "beside": beside}, [beside, planted], (planted,)]))
    assert CANARY not in json.dumps(redact(planted))


@given(NESTED)
def test_what_has_no_secret_comes_back_as_it_was(value):
    names = json.dumps(value)
    if not any(word in names for word in ("pin", "otp", "seed", "pwd", "auth", "jwt", "token", "secret")):
        assert redact(value) == value


def test_a_record_holds_no_secret(db):
    with transaction.atomic():
        made = record(
            system("tests"),
            "system.applied",
            reason=SHAPES[0],
            before={"password": CANARY},
            after={"url": SHAPES[8], "deep": [{"Cookie": CANARY}]},
        )
    kept = Record.objects.filter(pk=made.pk).values()[0]
    assert CANARY not in str(kept)
    assert kept["after"]["url"] == f"postgresql://opsconsole:{REDACTED}@db.example.com:5432/x"
