"""What proves to Klaviyo who is asking: a private key, or an app that was installed with OAuth.

Sources: https://developers.klaviyo.com/en/docs/authenticate_
https://developers.klaviyo.com/en/docs/set_up_oauth
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Final, TypeGuard

from airflow_provider_klaviyo.api.errors import KlaviyoConfigurationError

__all__ = ["ACCESS_TOKEN", "DEFAULT_STORE", "PRIVATE_KEY", "Credential", "OAuthApp", "digest_of", "is_plain"]

DEFAULT_STORE: Final = "klaviyo_ledger"
LONGEST: Final = 4_096
LONGEST_CLIENT_ID: Final = 100
PLAIN: Final = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Credential:
    """What a request is sent with, in the words of a message.

    :param name: what it is.
    :param short_name: what it is, for those who know which.
    :param remedy: why it may be accepted nowhere, and what to do then.
    :param scope_remedy: what to do when it lacks a scope, where that is not plain.
    """

    name: str
    short_name: str
    remedy: str
    scope_remedy: str = ""


PRIVATE_KEY: Final = Credential(
    name="private key",
    short_name="key",
    remedy="the key was revoked, or is mistyped. Put a good one into the connection's field 'Private API key' "
    "(password)",
)
ACCESS_TOKEN: Final = Credential(
    name="access token",
    short_name="access token",
    remedy="the app may have been uninstalled from the account. Have it authorised anew with `python -m "
    "airflow_provider_klaviyo.oauth --help`, and put the refresh token that this prints into the connection's field "
    "'OAuth refresh token' (oauth_refresh_token)",
    scope_remedy="Add the scope to the app in Klaviyo, and have the app authorised anew",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuthApp:
    """An app that was installed in a Klaviyo account with OAuth 2.0. Its secrets are never in a repr.

    :param client_id: of the app.
    :param client_secret: of the app.
    :param refresh_token: that the app was given when it was authorised. Where Klaviyo replaces it by a new one, that
        one is in the store, under this one.
    :param store: the name of what keeps the tokens for everybody who works on this installation.
    :raises KlaviyoConfigurationError: when one of them cannot be; the message names the field of the connection.
    """

    client_id: str
    client_secret: str = field(repr=False)
    refresh_token: str = field(repr=False)
    store: str = DEFAULT_STORE

    def __post_init__(self) -> None:
        if not is_plain(self.client_id) or ":" in self.client_id or len(self.client_id) > LONGEST_CLIENT_ID:
            raise KlaviyoConfigurationError(
                f"oauth_client_id must be up to {LONGEST_CLIENT_ID} ASCII characters without white space and colons"
            )
        for name in ("client_secret", "refresh_token"):
            if not is_plain(getattr(self, name)):
                raise KlaviyoConfigurationError(
                    f"oauth_{name} is empty, too long, or has white space or non-ASCII characters in it"
                )

    @property
    def digest(self) -> str:
        """A digest that tells installations apart without giving a secret away: the row of the store."""
        return digest_of(f"{self.client_id}:{self.refresh_token}")


def digest_of(secret: str) -> str:
    """Return a digest that tells secrets apart without giving one away."""
    return hashlib.blake2b(secret.encode(), digest_size=16).hexdigest()


def is_plain(secret: object) -> TypeGuard[str]:
    """Tell whether something can stand in a header, and be a key or a token."""
    return isinstance(secret, str) and len(secret) <= LONGEST and PLAIN.fullmatch(secret) is not None
