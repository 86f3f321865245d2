"""`POST /oauth/token`: a pair of tokens for a refresh token, or for an authorization code."""

from __future__ import annotations

from airflow_provider_klaviyo.emulator.answers import Answer
from airflow_provider_klaviyo.emulator.endpoint import Asking
from airflow_provider_klaviyo.emulator.ids import letters
from airflow_provider_klaviyo.emulator.installations import Grant
from airflow_provider_klaviyo.emulator.token_request import client, form, is_verified, refused, required, tokens

_LETTERS = 40


def oauth_token(asking: Asking) -> Answer:
    """Give out a pair of tokens."""
    fields = form(asking.asked)
    (grant_type,) = required(fields, "grant_type")
    if grant_type == "refresh_token":
        return _refreshed(asking, *required(fields, "refresh_token"))
    if grant_type == "authorization_code":
        return _exchanged(asking, *required(fields, "code", "code_verifier", "redirect_uri"))
    raise refused("unsupported_grant_type")


def _refreshed(asking: Asking, refresh_token: str) -> Answer:
    client_id, _ = client(asking.asked)
    for grant in asking.state.grants.of_client(client_id):
        if grant.is_refreshed_by(refresh_token, asking.now):
            return _issued(asking, grant, letters(_LETTERS, asking.state.rng) if grant.rotates else refresh_token)
    raise refused("invalid_grant")


def _exchanged(asking: Asking, code: str, code_verifier: str, redirect_uri: str) -> Answer:
    client_id, _ = client(asking.asked)
    found = asking.state.grants.authorized(code, asking.now)
    if (
        found is None
        or found.grant.installation.client_id != client_id
        or found.redirect_uri != redirect_uri
        or not is_verified(code_verifier, found.code_challenge)
    ):
        raise refused("invalid_grant")
    return _issued(asking, found.grant, letters(_LETTERS, asking.state.rng), code)


def _issued(asking: Asking, grant: Grant, refresh_token: str, code: str | None = None) -> Answer:
    access_token = letters(_LETTERS, asking.state.rng)
    asking.state.happen(
        "tokens",
        account_id=grant.installation.account_id,
        client_id=grant.installation.client_id,
        access_token=access_token,
        refresh_token=refresh_token,
        code=code,
        now=asking.now,
    )
    return tokens(access_token, refresh_token, grant.expires_in, " ".join(sorted(grant.key.scopes)))
