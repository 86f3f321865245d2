"""How to reach one Klaviyo account: checked once, then a plain value."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from airflow_provider_klaviyo.api.credentials import (
    ACCESS_TOKEN,
    PRIVATE_KEY,
    Credential,
    OAuthApp,
    digest_of,
    is_plain,
)
from airflow_provider_klaviyo.api.endpoints import ENDPOINTS, Endpoint
from airflow_provider_klaviyo.api.errors import KlaviyoConfigurationError
from airflow_provider_klaviyo.api.pace import Limit

__all__ = [
    "DEFAULT_BASE_URL",
    "DEFAULT_REVISION",
    "DEFAULT_TIMEOUT_SECONDS",
    "DEFAULT_UTILISATION",
    "REVISION",
    "Settings",
    "is_loopback",
]

DEFAULT_BASE_URL: Final = "https://a.klaviyo.com"
DEFAULT_REVISION: Final = "2026-07-15"
DEFAULT_UTILISATION: Final = 0.97
DEFAULT_TIMEOUT_SECONDS: Final = 30.0
REVISION: Final = re.compile(r"\d{4}-\d{2}-\d{2}(\.[a-z0-9-]+)?")
# What may be repeated in a message: a key has digits.
PLAIN_NAME: Final = re.compile(r"[a-z][a-z_-]{0,39}")
PLAIN_ADDRESS: Final = re.compile(r"(\w*:)?//(\[[\da-f:.]+\]|[\w.-]+)(:\d+)?/?", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where a Klaviyo account is, the key to it, and how fast to go there.

    :param api_key: private key (``pk_…``). Never in a repr.
    :param oauth: an app that was installed in the account, instead of a key.
    :param base_url: scheme and host; ``https``, or ``http`` on this machine's loopback.
    :param revision: of Klaviyo's API, ``YYYY-MM-DD``.
    :param account_id: the only account to work on; None for whichever the key belongs to.
    :param utilisation: share of the rate limits to use, above 0 and at most 1. At 0.97 a thousand deletions take
        17 minutes.
    :param limits: by endpoint name, where they differ from the documented ones.
    :param timeout_seconds: for connecting, and for each wait for data. A response as a whole may take three times as
        long.
    :raises KlaviyoConfigurationError: when one of them cannot be; the message names the field of the connection.
    """

    api_key: str = field(default="", repr=False)
    oauth: OAuthApp | None = None
    base_url: str = DEFAULT_BASE_URL
    revision: str = DEFAULT_REVISION
    account_id: str | None = None
    utilisation: float = DEFAULT_UTILISATION
    limits: Mapping[str, Limit] = field(default_factory=dict)
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS

    def __post_init__(self) -> None:
        if self.oauth is not None and self.api_key:
            raise KlaviyoConfigurationError("there must be a private API key or an OAuth app, not both")
        if self.oauth is None and not is_plain(self.api_key):
            raise KlaviyoConfigurationError("the API key is empty or has white space or non-ASCII characters in it")
        _check_base_url(self.base_url)
        if not REVISION.fullmatch(self.revision):
            raise KlaviyoConfigurationError(f"revision must look like {DEFAULT_REVISION}")
        if not 0 < self.utilisation <= 1:
            raise KlaviyoConfigurationError(f"utilisation must be above 0 and at most 1, not {self.utilisation}")
        if not 0 < self.timeout_seconds <= 600:
            raise KlaviyoConfigurationError(f"timeout must be 1 to 600 seconds, not {self.timeout_seconds}")
        for name, limit in self.limits.items():
            if name not in ENDPOINTS:
                shown = f" {name!r}" if PLAIN_NAME.fullmatch(name) else " of that name"
                raise KlaviyoConfigurationError(
                    f"limits: there is no endpoint{shown}; known are {', '.join(ENDPOINTS)}"
                )
            if not limit.is_possible:
                raise KlaviyoConfigurationError(f"limits: burst and steady of {name} must be numbers above 0")

    @property
    def response_seconds(self) -> float:
        """For how long a response may take as a whole: connecting, sending and receiving."""
        return 3 * self.timeout_seconds

    @property
    def credential(self) -> Credential:
        """What requests are sent with, in words."""
        return PRIVATE_KEY if self.oauth is None else ACCESS_TOKEN

    @property
    def secret(self) -> bytes:
        """What nobody else knows, and stays the same for as long as possible: the key of digests, never shown."""
        return (self.api_key if self.oauth is None else self.oauth.client_secret).encode()[:64]

    @property
    def key_digest(self) -> str:
        """A digest that tells keys and installations apart without giving one away."""
        return digest_of(self.api_key) if self.oauth is None else self.oauth.digest

    @property
    def quota(self) -> str:
        """Whose rate limits these are: the account's where it is known, else the key's. Never the key itself.

        All private keys of an account share its limits, but every app that is installed in it has limits of its own.
        Source: https://developers.klaviyo.com/en/docs/rate_limits_and_error_handling
        """
        whose = f"{self.base_url} {self.account_id or self.key_digest}"
        return whose if self.oauth is None else f"{whose} {self.oauth.client_id}"

    def interval_seconds(self, endpoint: Endpoint) -> float:
        """Return the seconds from one call of this endpoint to the next."""
        return self.limits.get(endpoint.name, endpoint.limit).interval_seconds(self.utilisation)


def _check_base_url(base_url: str) -> None:
    try:
        url = urlsplit(base_url)
        host, _ = url.hostname, url.port
        (host or "").encode("idna")
    except ValueError:
        host = None
    if not host or not PLAIN_ADDRESS.fullmatch(base_url):
        raise KlaviyoConfigurationError(
            "the host must be a plain address such as https://a.klaviyo.com, without user, path or query"
        )
    if url.scheme != "https" and not (url.scheme == "http" and is_loopback(host)):
        raise KlaviyoConfigurationError(
            "the host must be reached over https, because the API key travels with every call; plain http is for "
            "this machine's loopback only"
        )


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address is this very machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
