"""An OpenID Connect provider on this machine, which signs in the address that it is told to."""

import base64
import json
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "glan", "secret-of-the-client-0123456789"


class IdentityProvider:
    """The provider; `email` is who signs in next, `verified` whether the address was verified."""

    def __init__(self) -> None:
        self.email, self.verified = "ada@example.org", True
        self._key = RSAKey.generate_key(2048, {"kid": "1", "use": "sig", "alg": "RS256"})
        self._nonces: dict[str, str] = {}
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider._get(self)

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                sent = dict(urllib.parse.parse_qsl(self.rfile.read(length).decode()))
                _answer(self, provider._token(sent))

            def log_message(self, *words: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def settings(self, studio: str, roles: str) -> str:
        """The sign-in file of a studio."""
        return (
            f'[auth]\nredirect_uri = "{studio}/oauth2callback"\ncookie_secret = "0123456789abcdef0123456789abcdef"\n'
            f'client_id = "{CLIENT}"\nclient_secret = "{SECRET}"\n'
            f'server_metadata_url = "{self.url}/.well-known/openid-configuration"\n\n[roles]\n{roles}\n'
        )

    def _get(self, request: BaseHTTPRequestHandler) -> None:
        path, _, query = request.path.partition("?")
        asked = dict(urllib.parse.parse_qsl(query))
        if path == "/authorize":
            code = base64.urlsafe_b64encode(f"{time.time_ns()}".encode()).decode()
            self._nonces[code] = asked.get("nonce", "")
            request.send_response(302)
            request.send_header(
                "Location", f"{asked['redirect_uri']}?{urllib.parse.urlencode({'code': code, 'state': asked['state']})}"
            )
            request.end_headers()
        elif path == "/jwks":
            _answer(request, {"keys": [self._key.as_dict(private=False)]})
        else:
            _answer(request, {
                "issuer": self.url, "authorization_endpoint": f"{self.url}/authorize", "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/jwks", "response_types_supported": ["code"], "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
            })  # fmt: skip

    def _token(self, sent: dict[str, str]) -> dict:
        now = int(time.time())
        claims = {
            "iss": self.url, "aud": CLIENT, "sub": self.email, "email": self.email, "email_verified": self.verified, "iat": now,
            "exp": now + 600, "nonce": self._nonces.pop(sent["code"]),
        }  # fmt: skip
        token = jwt.encode({"alg": "RS256", "kid": "1"}, claims, self._key)
        return {"access_token": "x", "token_type": "Bearer", "expires_in": 600, "id_token": token}


def _answer(request: BaseHTTPRequestHandler, content: dict) -> None:
    body = json.dumps(content).encode()
    request.send_response(200)
    request.send_header("Content-Type", "application/json")
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)
