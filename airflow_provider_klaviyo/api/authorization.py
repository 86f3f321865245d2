"""How somebody lets an app into their Klaviyo account: a URL to open, and the one that the browser comes back with.

Source: https://developers.klaviyo.com/en/docs/set_up_oauth
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from typing import Final
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from airflow_provider_klaviyo.api.errors import KlaviyoAnswerError

__all__ = ["AUTHORIZE_URL", "authorization_url", "challenge_of", "read_code"]

AUTHORIZE_URL: Final = "https://www.klaviyo.com/oauth/authorize"


def challenge_of(code_verifier: str) -> str:
    """Return the code challenge of a verifier, by S256: the only way that Klaviyo takes."""
    return urlsafe_b64encode(hashlib.sha256(code_verifier.encode()).digest()).rstrip(b"=").decode()


def authorization_url(
    client_id: str, *, redirect_uri: str, scopes: Sequence[str], state: str, code_verifier: str
) -> str:
    """Return the URL under which somebody with an account agrees to the app.

    :param redirect_uri: where the browser is sent afterwards; one of those that the app names in Klaviyo.
    :param scopes: at most those of the app.
    :param state: comes back, so that nobody else's authorization is taken for this one.
    :param code_verifier: that the code is to be exchanged with; only its challenge is in the URL.
    """
    parameters = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "scope": " ".join(scopes),
        "state": state,
        "code_challenge_method": "S256",
        "code_challenge": challenge_of(code_verifier),
    }
    return f"{AUTHORIZE_URL}?{urlencode(parameters, quote_via=quote)}"


def read_code(url: str, state: str) -> str:
    """Return the authorization code in the URL that the browser was sent to.

    :raises KlaviyoAnswerError: when there is none, or the URL belongs to another authorization.
    """
    try:
        query = parse_qs(urlsplit(url.strip()).query, errors="strict")
    except ValueError:
        query = {}
    if "error" in query:
        raise KlaviyoAnswerError("Klaviyo did not authorise the app: access was denied, or a scope is not the app's")
    if query.get("state") != [state]:
        raise KlaviyoAnswerError("this URL does not belong to this authorization: its state is missing, or another one")
    codes = query.get("code", [])
    if len(codes) != 1:
        raise KlaviyoAnswerError("this URL has no authorization code. Paste the whole URL of the page, with its query")
    return codes[0]
