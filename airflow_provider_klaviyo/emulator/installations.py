"""Apps that were installed in accounts by OAuth, and the tokens that they have.

Pure: the time is an argument.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from airflow_provider_klaviyo.emulator.tenants import Key

# A refresh token that is not used for so long is dead.
_UNUSED_SECONDS = 90 * 24 * 3600
_CODE_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Installation:
    """An app in an account, and the refresh token that it had when it was asked for."""

    account_id: str
    client_id: str
    client_secret: str = field(repr=False)
    refresh_token: str = field(repr=False)


@dataclass(slots=True)
class Grant:
    """What an installed app may do, for how long at a time, and since when its refresh token was not used."""

    installation: Installation
    key: Key
    rotates: bool
    expires_in: int
    used_at: float
    is_revoked: bool = False

    def is_refreshed_by(self, token: str, now: float) -> bool:
        """Whether this is its refresh token, and alive."""
        is_alive = not self.is_revoked and now < self.used_at + _UNUSED_SECONDS
        return is_alive and token == self.installation.refresh_token


@dataclass(frozen=True, slots=True)
class Code:
    """What an authorization is worth to whoever knows its secret and comes in time."""

    grant: Grant
    code_challenge: str
    redirect_uri: str
    created: float


class Grants:
    """All installations, in the order in which they were made."""

    def __init__(self) -> None:
        self._grants: dict[tuple[str, str], Grant] = {}
        self._access_tokens: dict[str, tuple[Grant, float]] = {}
        self._codes: dict[str, Code] = {}

    def __iter__(self) -> Iterator[Grant]:
        return iter(self._grants.values())

    def add(self, grant: Grant) -> None:
        """Install an app; in how many accounts ever, it has one secret."""
        client_id, account_id = grant.installation.client_id, grant.installation.account_id
        if (client_id, account_id) in self._grants:
            raise ValueError(f"{client_id} is installed in {account_id} already.")
        if any(one.installation.client_secret != grant.installation.client_secret for one in self.of_client(client_id)):
            raise ValueError(f"{client_id} has another secret.")
        self._grants[client_id, account_id] = grant

    def get(self, client_id: str, account_id: str) -> Grant:
        """Return what an app may do in an account."""
        return self._grants[client_id, account_id]

    def of_client(self, client_id: str) -> list[Grant]:
        """Return what an app may do in all accounts."""
        return [grant for grant in self if grant.installation.client_id == client_id]

    def key(self, access_token: str, now: float) -> Key | None:
        """Return what an access token is good for, if it still is."""
        grant, expires_at = self._access_tokens.get(access_token, (None, 0.0))
        return grant.key if grant is not None and now < expires_at else None

    def issue(self, grant: Grant, access_token: str, refresh_token: str, now: float) -> None:
        """Give out a pair of tokens; no other refresh token is alive then."""
        grant.installation = replace(grant.installation, refresh_token=refresh_token)
        grant.used_at, grant.is_revoked = now, False
        self._access_tokens[access_token] = grant, now + grant.expires_in

    def authorize(self, code: str, authorized: Code) -> None:
        """Give out an authorization code."""
        self._codes[code] = authorized

    def authorized(self, code: str, now: float) -> Code | None:
        """Return what an authorization code is worth, if it is still."""
        found = self._codes.get(code)
        return found if found is not None and now < found.created + _CODE_SECONDS else None

    def use(self, code: str) -> None:
        """Let a code be worth nothing any more."""
        self._codes.pop(code, None)

    def expire_access_tokens(self, grant: Grant) -> None:
        """Let the access tokens of an installation be good for nothing from now on."""
        self._access_tokens = {token: one for token, one in self._access_tokens.items() if one[0] is not grant}

    def revoke(self, grant: Grant) -> None:
        """Let all tokens of an installation be good for nothing from now on."""
        grant.is_revoked = True
        self.expire_access_tokens(grant)
