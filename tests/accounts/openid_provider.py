"""A small OpenID provider on loopback, a program of its own: ``python openid_provider.py CLIENT_ID CLIENT_SECRET``.

It prints its issuer, then answers: discovery, keys, authorize (whoever ``user`` names is signed in at once) and token,
where it checks client, redirect address, one use of the code, and PKCE. ``fault`` in the authorize request: it lies.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import KeySet, OctKey, RSAKey

KEY = RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"})
STRANGE = RSAKey.generate_key(2048, {"kid": "one"})
CLIENT, SECRET = sys.argv[1:3] if len(sys.argv) == 3 else ("", "")
codes: dict[str, dict[str, str]] = {}
state = {"fault": ""}


def encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


class Provider(BaseHTTPRequestHandler):
    """The provider's addresses."""

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def log_message(self, *args: Any) -> None:
        """Says nothing."""

    def answer(self, body: Any, status: int = 200, **headers: str) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        given = dict(parse_qsl(url.query))
        match url.path:
            case "/fault":  # what is wrong from now on with what the console fetches by itself
                state["fault"] = given.get("is", "")
                self.answer({})
            case "/.well-known/openid-configuration":
                self.discovery()
            case "/keys" if state["fault"] == "redirected_keys":
                self.answer({}, 302, Location=f"{self.issuer}/other-keys")
            case "/keys" | "/other-keys":
                self.answer(KeySet([KEY]).as_dict(private=False))
            case "/authorize":
                self.authorize(given)
            case _:
                self.answer({}, 404)

    def discovery(self) -> None:
        found = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "authorization_response_iss_parameter_supported": True,
        }
        match state["fault"]:
            case "down":
                self.answer({}, 503)
            case "moved":
                self.answer(found, 302, Location=f"{self.issuer}/elsewhere")
            case "nonsense":
                self.answer(b"<html>")
            case "endless":
                self.answer(b'{"a": "' + b"x" * 100_000 + b'"}')
            case "other_issuer":
                self.answer({**found, "issuer": "https://other.example"})
            case "plain_http":
                self.answer({**found, "token_endpoint": "http://192.0.2.1/token"})
            case _:
                self.answer(found)

    def authorize(self, given: dict[str, str]) -> None:
        assert given["response_type"] == "code" and given["client_id"] == CLIENT
        assert given["code_challenge_method"] == "S256" and len(given["code_challenge"]) == 43 and given["nonce"]
        assert "openid" in given["scope"].split()
        code = secrets.token_urlsafe(16)
        codes[code] = given
        fault = given.get("fault", "")
        back = {"code": code, "state": given["state"], "iss": self.issuer}
        back |= {"bad_state": {"state": "x"}, "mixed_up": {"iss": "https://other.example"}}.get(fault, {})
        if fault == "denied":
            back = {"error": "access_denied", "state": given["state"]}
        if fault == "no_iss":
            del back["iss"]
        self.answer(b"", 302, Location=f"{given['redirect_uri']}?{urlencode(back)}")

    def do_POST(self) -> None:
        given = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
        asked = codes.pop(given.get("code", ""), None)
        basic = "Basic " + base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        verifier = encoded(hashlib.sha256(given.get("code_verifier", "").encode()).digest())
        if self.headers["Authorization"] != basic:
            self.answer({"error": "invalid_client"}, 401)
        elif not asked or verifier != asked["code_challenge"] or given.get("redirect_uri") != asked["redirect_uri"]:
            self.answer({"error": "invalid_grant"}, 400)
        else:
            known = {} if asked.get("fault") == "no_id_token" else {"id_token": self.id_token(asked, "access")}
            self.answer({"access_token": "access", "token_type": "Bearer", "expires_in": 60, **known})

    def id_token(self, asked: dict[str, str], access_token: str) -> str:
        now, fault = int(time.time()), asked.get("fault", "")
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "sub": "1",
            "aud": CLIENT,
            "iat": now,
            "exp": now + 60,
            "nonce": asked["nonce"],
            "preferred_username": asked.get("user", ""),
            "amr": asked.get("amr", "pwd").split(),
            "at_hash": encoded(hashlib.sha256(access_token.encode()).digest()[:16]),
        }
        claims |= {
            "bad_nonce": {"nonce": "x"},
            "bad_aud": {"aud": "another-client"},
            "two_audiences": {"aud": [CLIENT, "another-client"], "azp": "another-client"},
            "bad_issuer": {"iss": "https://other.example"},
            "expired": {"iat": now - 7200, "exp": now - 3600},
            "bad_at_hash": {"at_hash": "x"},
            "name_is_a_list": {"preferred_username": ["otto"]},
            "name_with_nul": {"preferred_username": "otto\x00"},
            "email": {"email": "otto", "email_verified": asked.get("verified") == "yes"},
        }.get(fault, {})
        for name in {"no_nonce": ["nonce"], "no_exp": ["exp"], "no_aud": ["aud"]}.get(fault, []):
            del claims[name]
        if fault == "unsigned":
            parts = ({"alg": "none"}, claims)
            return ".".join(encoded(json.dumps(part).encode()) for part in parts) + "."
        if fault == "by_secret":
            return jwt.encode({"alg": "HS256", "kid": "one"}, claims, OctKey.import_key(SECRET))
        key = STRANGE if fault == "bad_signature" else KEY
        text = jwt.encode({"alg": "RS256", "kid": "two" if fault == "unknown_key" else "one"}, claims, key)
        return text[:-8] if fault == "cut_off" else text


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()
