"""What `POST /oauth/token` is asked: who asks, and what for; and how it says no.

https://developers.klaviyo.com/en/docs/set_up_oauth
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from http import HTTPStatus
from urllib.parse import parse_qs

from airflow_provider_klaviyo.emulator.answers import Answer, RefusalError
from airflow_provider_klaviyo.emulator.asking import Asked

_BASIC = re.compile(r"Basic (\S+)")
_FORM = "application/x-www-form-urlencoded"
_VERIFIER = re.compile(r"[A-Za-z0-9\-._~]{43,128}")
_MEDIA_TYPE = "application/json"


class TokenRefusalError(RefusalError):
    """A request is answered with an error of OAuth, which knows nothing of JSON:API."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(status, code, code, code)

    def answer(self) -> Answer:
        """Return the JSON object with the error."""
        headers = {"WWW-Authenticate": "Basic"} if self.status == HTTPStatus.UNAUTHORIZED else {}
        return Answer(self.status, json.dumps({"error": self.code}).encode(), _MEDIA_TYPE, headers)


def invalid_client() -> TokenRefusalError:
    """Return the 401 for an app that nobody knows."""
    return TokenRefusalError(HTTPStatus.UNAUTHORIZED, "invalid_client")


def refused(code: str) -> TokenRefusalError:
    """Return a 400."""
    return TokenRefusalError(HTTPStatus.BAD_REQUEST, code)


def tokens(access_token: str, refresh_token: str, expires_in: int, scope: str) -> Answer:
    """Return the pair that a client is to keep."""
    pair = {
        "access_token": access_token,
        "refresh_token": refresh_token,
        "token_type": "Bearer",
        "expires_in": expires_in,
        "scope": scope,
    }
    return Answer(HTTPStatus.OK, json.dumps(pair).encode(), _MEDIA_TYPE, {"Cache-Control": "no-store"})


def client(asked: Asked) -> tuple[str, str]:
    """Return the id and the secret that the request came with, or refuse it."""
    found = _BASIC.fullmatch(asked.headers.get("authorization", ""))
    try:
        text = base64.b64decode(found[1] if found else "", validate=True).decode()
    except (binascii.Error, UnicodeError):
        raise invalid_client() from None
    client_id, _, client_secret = text.partition(":")
    return client_id, client_secret


def form(asked: Asked) -> dict[str, str]:
    """Return the body, or refuse it; as OAuth wants it, what is empty is not there."""
    if asked.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise refused("invalid_request")
    try:
        fields = parse_qs(asked.body.decode("ascii"), errors="strict")
    except UnicodeError:
        raise refused("invalid_request") from None
    if any(len(values) != 1 for values in fields.values()):
        raise refused("invalid_request")
    return {name: value for name, (value,) in fields.items()}


def required(fields: dict[str, str], *names: str) -> list[str]:
    """Return fields that have to be there."""
    if not set(names) <= set(fields):
        raise refused("invalid_request")
    return [fields[name] for name in names]


def is_verified(code_verifier: str, code_challenge: str) -> bool:
    """Whether a challenge was made, by S256, from what this is."""
    if _VERIFIER.fullmatch(code_verifier) is None:
        return False
    digest = hashlib.sha256(code_verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == code_challenge
