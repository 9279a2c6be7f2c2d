"""An OpenID Connect provider over real HTTP: discovery, keys, token endpoint with PKCE, RSA."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT_ID, CLIENT_SECRET = "aii-client", "a secret of the client"


def new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class OIDCIdP:
    """What it says can be bent by the tests: ``claims`` replace, ``None`` leaves out."""

    def __init__(self) -> None:
        self.key, self.other_key = new_key(), new_key()
        self.reset()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                if self.path.startswith("/authorize?"):
                    self.send_response(302)
                    back = outer.authorize(outer.issuer + self.path, outer.person)
                    self.send_header("Location", back)
                    self.end_headers()
                    return
                self.answer(outer.pages.get(self.path))

            def do_POST(self) -> None:
                form = self.rfile.read(int(self.headers["Content-Length"])).decode()
                self.answer(outer.trade(dict(parse_qsl(form))))

            def answer(self, found: Any) -> None:
                if callable(found):
                    found(self)
                    return
                self.send_response(200 if found is not None else 400)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(found).encode())

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.reset()

    def reset(self) -> None:
        self.claims: dict[str, Any] = {}
        # Who sits at the browser, where there is one.
        self.person = ""
        self.userinfo: dict[str, Any] | None = None
        self.algorithm, self.sign_with, self.kid = "RS256", self.key, "one"
        self.codes: dict[str, dict[str, str]] = {}
        self.asked: list[str] = []
        self.last_request: dict[str, str] = {}
        issuer = getattr(self, "issuer", "")
        self.config = {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/authorize",
            "token_endpoint": f"{issuer}/token",
            "jwks_uri": f"{issuer}/keys",
            "userinfo_endpoint": f"{issuer}/userinfo",
        }

    @property
    def pages(self) -> dict[str, Any]:
        jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
        return {
            "/.well-known/openid-configuration": self.config,
            "/keys": {"keys": [{**jwk, "kid": "one", "use": "sig"}]},
            "/userinfo": self.userinfo,
        }

    def authorize(self, address: str, email: str) -> str:
        """Do what a browser and a person do there; return where they are sent back to."""
        assert urlsplit(address)._replace(query="").geturl() == f"{self.issuer}/authorize"
        asked = {name: each[0] for name, each in parse_qs(urlsplit(address).query).items()}
        assert asked["response_type"] == "code" and asked["client_id"] == CLIENT_ID
        assert asked["code_challenge_method"] == "S256" and len(asked["state"]) >= 16
        code = uuid4().hex
        self.last_request = asked
        self.codes[code] = {**asked, "email": email}
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"

    def trade(self, form: dict[str, str]) -> dict[str, Any] | None:
        asked = self.codes.pop(form.get("code", ""), None)
        verifier = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(verifier).rstrip(b"=").decode()
        if (
            asked is None
            or form.get("client_secret") != CLIENT_SECRET
            or form.get("redirect_uri") != asked["redirect_uri"]
            or challenge != asked["code_challenge"]
        ):
            return None
        return {"access_token": "t", "token_type": "Bearer", "id_token": self.token(asked)}

    def token(self, asked: dict[str, str]) -> str:
        now_s = int(time.time())
        claims = {
            "iss": self.issuer,
            "sub": f"account of {asked['email']}",
            "aud": CLIENT_ID,
            "iat": now_s,
            "exp": now_s + 300,
            "nonce": asked["nonce"],
            "email": asked["email"],
            "email_verified": True,
            **self.claims,
        }
        kept = {name: value for name, value in claims.items() if value is not None}
        if self.algorithm == "HS256":
            # As an attacker would: with what is published as the secret.
            return hs256(kept, json.dumps(self.pages["/keys"]["keys"][0]).encode())
        key = None if self.algorithm == "none" else self.sign_with
        return jwt.encode(kept, key, algorithm=self.algorithm, headers={"kid": self.kid})


def hs256(claims: dict[str, Any], secret: bytes) -> str:
    return jwt.encode(claims, secret, algorithm="HS256", headers={"kid": "one"})
