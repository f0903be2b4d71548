"""Secrets that were really used are found in no log, audit record, export, live frame or error page."""

from __future__ import annotations

import json
import re
from urllib.parse import urlsplit

import httpx
import pyotp
from playwright.sync_api import expect

from opsconsole.local.stack import Stack
from tests.stacks import rows

LEAST = 8
"""A shorter text may stand somewhere by chance."""


def test_planted_secrets_are_found_nowhere(stack: Stack, visitor) -> None:
    canaries = _of_the_installation(stack)
    frames: list[str] = []
    dora = visitor("Developer", color_scheme="light")
    for status in (400, 403, 404):
        dora.forgive_status(status)
    dora.page.on("websocket", lambda socket: socket.on("framereceived", lambda text: frames.append(str(text))))
    canaries |= _use_an_app(dora) | _use_an_api_key(dora) | _use_a_link(stack, dora)
    pages = _refusals(stack, dora, canaries)
    dora.page.goto("/")
    dora.sees_live()
    canaries["session"] = next(one["value"] for one in dora.context.cookies() if one["name"] == "sessionid")
    assert len(canaries) > 12 and all(len(text) >= LEAST for text in canaries.values())
    assert frames, "no frame was seen"
    places = {**_logs(stack), **_audit(stack), "frames": "\n".join(frames), **pages}
    assert all(len(text) for text in places.values())
    found = [(place, name) for place, text in places.items() for name, secret in canaries.items() if secret in text]
    assert found == []


def test_the_search_would_find_one(stack: Stack) -> None:
    """The public part of a key is in the trail, so what is searched is really there."""
    prefix = json.loads(stack.keys.read_text())["developer"].split("_")[1]
    assert any(prefix in text for text in _audit(stack).values())


def _of_the_installation(stack: Stack) -> dict[str, str]:
    environ = stack.environ()
    found = {f"key of {role}": text.split("_", 2)[2] for role, text in json.loads(stack.keys.read_text()).items()}
    return found | {
        "secret key": environ["OPSC_SECRET_KEY"],
        "database password": urlsplit(environ["DATABASE_URL"]).password or "",
        "valkey password": urlsplit(environ["REDIS_URL"]).password or "",
        "token of the instances": stack.token.read_text().strip(),
    }


def _use_an_app(dora) -> dict[str, str]:
    """Set an authenticator app up, with a wrong code first; its seed and the recovery codes."""
    page = dora.page
    page.goto("/account/security/")
    page.get_by_role("button", name="Set up an authenticator app").click()
    seed = re.sub(r"\s", "", page.locator("main pre, main .code-block code").first.inner_text())
    code = page.locator("input[name=code]")
    code.fill("000000")
    page.get_by_role("button", name="Turn it on").click()
    page.locator("input[name=code]").fill(pyotp.TOTP(seed).now())
    page.get_by_role("button", name="Turn it on").click()
    expect(page.get_by_role("heading", level=1, name="Your recovery codes")).to_be_visible()
    codes = page.locator(".recovery-codes code").all_inner_texts()
    return {"seed": seed, **{f"recovery code {n}": text for n, text in enumerate(codes)}}


def _use_an_api_key(dora) -> dict[str, str]:
    """Make a key on the page, and use it well and badly."""
    page = dora.page
    page.goto("/account/keys/new/")
    page.get_by_label("Name").fill("Canary")
    page.get_by_role("button", name="Make the key and show it").click()
    text = re.search(r"opsc_[a-z0-9]+_[\w-]{43}", page.locator("main").inner_text())
    assert text
    key = text.group(0)
    for headers in ({"Authorization": f"Bearer {key}"}, {"Authorization": f"Bearer {key[:-1]}x"}):
        httpx.get(f"{dora.url}/api/v1/me/", headers=headers)
        httpx.post(f"{dora.url}/api/v1/deployments/", headers=headers, json={"environment": key, "reason": key})
    httpx.get(f"{dora.url}/api/v1/audit/", params={"q": key}, headers={"Authorization": f"Bearer {key}"})
    return {"new key": key.split("_", 2)[2]}


def _use_a_link(stack: Stack, dora) -> dict[str, str]:
    """Open a one-time link of somebody else without using it up."""
    url = stack.manage("sign_in_link", "otto", "--base-url", stack.url).strip().splitlines()[-1]
    assert httpx.get(url).status_code == 200
    return {"link": url.rstrip("/").rpartition("/")[2]}


def _refusals(stack: Stack, dora, canaries: dict[str, str]) -> dict[str, str]:
    """Pages that say no, asked for with secrets in every place but the address, which the asker has anyway."""
    secret = canaries["new key"]
    found = {}
    for name, path in (("404", "/releases/v9.9.9/"), ("403", "/people/")):
        dora.page.set_extra_http_headers({"X-Canary": secret, "Referer": f"{dora.url}/?key={secret}"})
        dora.page.goto(path)
        found[name] = dora.page.content()
    dora.page.set_extra_http_headers({})
    sent = httpx.post(f"{stack.url}/logout/", data={"csrfmiddlewaretoken": secret}, cookies={"csrftoken": "x" * 32})
    return {**found, "csrf": sent.text}


def _logs(stack: Stack) -> dict[str, str]:
    files = [*stack.var.glob("console/*.log"), *stack.var.glob("postgres*.log"), *stack.var.glob("valkey*.log")]
    found = {path.name: path.read_text(errors="replace") for path in files}
    assert "web.log" in found and "monitor.log" in found
    return {name: text for name, text in found.items() if text}


def _audit(stack: Stack) -> dict[str, str]:
    key = json.loads(stack.keys.read_text())["admin"]
    headers = {"Authorization": f"Bearer {key}"}
    exports = {
        f"export as {form}": httpx.get(f"{stack.url}/api/v1/audit/export/", params={"as": form}, headers=headers).text
        for form in ("csv", "jsonl")
    }
    table = rows(stack, "SELECT to_jsonb(r)::text FROM audit_record r")
    return {**exports, "audit table": "\n".join(text for (text,) in table)}
