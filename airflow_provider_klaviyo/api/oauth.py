"""Tokens of an app with OAuth 2.0: asked for, and what Klaviyo answers to that. Pure: text in, values out.

Source: https://developers.klaviyo.com/en/docs/set_up_oauth
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

from airflow_provider_klaviyo.api.conversation import Conversation, Send, error_of, turn
from airflow_provider_klaviyo.api.credentials import OAuthApp, is_plain
from airflow_provider_klaviyo.api.endpoints import Endpoint
from airflow_provider_klaviyo.api.errors import KlaviyoAnswerError, KlaviyoTokenError
from airflow_provider_klaviyo.api.pace import Limit
from airflow_provider_klaviyo.api.wire import Answer, Request, at, is_text, read_document

__all__ = ["OAUTH_TOKEN", "Tokens", "exchange_code", "refresh"]

# Klaviyo names no limit here. An hour's token is asked for once an hour.
OAUTH_TOKEN: Final = Endpoint("oauth_token", "POST", "/oauth/token", (), Limit(burst=3, steady=150))
FORM: Final = "application/x-www-form-urlencoded"
LONGEST_TURN_SECONDS: Final = 10.0
LONGEST_LIFE_SECONDS: Final = 366 * 24 * 3_600.0
# A token is replaced this long before it expires, or at this share of its life, whichever comes later.
RENEWAL_SECONDS: Final = 300.0
RENEWAL_SHARE: Final = 0.1


@dataclass(frozen=True, slots=True)
class Tokens:
    """A pair of tokens as Klaviyo gave it out. Its repr shows neither.

    :param expires_in: seconds that the access token is good for.
    """

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in: float

    @property
    def renewal_seconds(self) -> float:
        """How long before it expires the access token should be replaced."""
        return min(RENEWAL_SECONDS, RENEWAL_SHARE * self.expires_in)


def refresh(app: OAuthApp, refresh_token: str) -> Conversation[Tokens]:
    """Exchange a refresh token for a new pair, once: whoever tries again must know that nobody else did meanwhile.

    :param refresh_token: the newest one of the app's installation.
    :raises KlaviyoTokenError: when it is dead, or Klaviyo does not know the app; says what to do.
    :raises KlaviyoUnavailableError: when Klaviyo does not answer. It may have taken the refresh token all the same.
    :raises KlaviyoAnswerError: for an answer that is no pair of tokens.
    """
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    answer = yield from _asked(app.client_id, app.client_secret, form)
    return _tokens(answer, refresh_token)


def exchange_code(
    client_id: str, client_secret: str, *, code: str, code_verifier: str, redirect_uri: str
) -> Conversation[Tokens]:
    """Exchange the code of an authorization for the first pair of tokens.

    :raises KlaviyoTokenError: when the code is not good, or Klaviyo does not know the app.
    :raises KlaviyoError: as `refresh`.
    """
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "code_verifier": code_verifier,
        "redirect_uri": redirect_uri,
    }
    return _tokens((yield from _asked(client_id, client_secret, form)), None)


def _asked(client_id: str, client_secret: str, form: Mapping[str, str]) -> Conversation[Answer]:
    """Send a request for tokens once, and return the answer if it is a good one."""
    yield from turn(OAUTH_TOKEN, LONGEST_TURN_SECONDS)
    answer = yield Send(_request(client_id, client_secret, form))
    if isinstance(answer, Answer) and answer.status == 200:
        return answer
    # OAuth knows nothing of JSON:API: its errors are an object with a code.
    is_genuine = True if isinstance(answer, Answer) and is_text(_code(answer)) else None
    error = yield from error_of(OAUTH_TOKEN, answer, is_genuine=is_genuine)
    message = _message(client_id, answer, form["grant_type"]) if isinstance(answer, Answer) else None
    if message is not None and not isinstance(error, KlaviyoAnswerError):
        raise KlaviyoTokenError(message, status=error.status)
    raise error


def _request(client_id: str, client_secret: str, form: Mapping[str, str]) -> Request:
    headers = {
        "authorization": f"Basic {b64encode(f'{client_id}:{client_secret}'.encode()).decode()}",
        "content-type": FORM,
        "accept": "application/json",
    }
    return Request(OAUTH_TOKEN, OAUTH_TOKEN.path, body=urlencode(form).encode(), headers=headers)


def _message(client_id: str, answer: Answer, grant_type: str) -> str | None:
    """Return what a refusal means for whoever has to act, or None where it is not one of these."""
    if answer.status == 401:
        return (
            f"Klaviyo does not know the OAuth app {client_id}, or not with this secret. Correct the connection's "
            "fields 'OAuth client id' (oauth_client_id) and 'OAuth client secret' (oauth_client_secret)"
        )
    # Klaviyo's own guide calls it by the second name.
    if answer.status != 400 or _code(answer) not in ("invalid_grant", "invalid_grant_type"):
        return None
    if grant_type != "refresh_token":
        return (
            f"Klaviyo does not take the authorization code of the OAuth app {client_id}: it is good once, for a few "
            "minutes, and with the same redirect URI only. Begin anew"
        )
    return (
        f"Klaviyo does not take the refresh token of the OAuth app {client_id} any more: it was revoked, was not used "
        "for 90 days, or was replaced by one that is kept elsewhere or never arrived. Get a new one with `python -m "
        f"airflow_provider_klaviyo.oauth --client-id {client_id} --redirect-uri … --scopes …`, and put it into the "
        "connection's field 'OAuth refresh token' (oauth_refresh_token)"
    )


def _code(answer: Answer) -> Any:
    try:
        return at(json.loads(answer.body), "error")
    except (ValueError, RecursionError):
        return None


def _tokens(answer: Answer, refresh_token: str | None) -> Tokens:
    """Read a pair of tokens. Where there is no new refresh token, the one before stays good."""
    document = read_document(answer, OAUTH_TOKEN)
    access_token, expires_in = document.get("access_token"), at(document, "expires_in")
    refresh_token = document.get("refresh_token", refresh_token)
    token_type = document.get("token_type", "bearer")
    if not is_plain(access_token) or not is_plain(refresh_token) or str(token_type).lower() != "bearer":
        raise KlaviyoAnswerError(f"the answer to {OAUTH_TOKEN} is no pair of tokens", status=answer.status)
    if type(expires_in) not in (int, float) or not 0 < expires_in <= LONGEST_LIFE_SECONDS:
        raise KlaviyoAnswerError(f"the answer to {OAUTH_TOKEN} does not say when it expires", status=answer.status)
    return Tokens(access_token, refresh_token, float(expires_in))
