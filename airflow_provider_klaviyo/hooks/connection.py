"""Read an Airflow connection into the settings of a client; every message names the field of the form to fill."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_klaviyo.api.credentials import DEFAULT_STORE, OAuthApp
from airflow_provider_klaviyo.api.errors import KlaviyoConfigurationError
from airflow_provider_klaviyo.api.pace import Limit
from airflow_provider_klaviyo.api.settings import (
    DEFAULT_BASE_URL,
    DEFAULT_REVISION,
    DEFAULT_TIMEOUT_SECONDS,
    DEFAULT_UTILISATION,
    Settings,
)
from airflow_provider_klaviyo.deletion.fingerprints import FingerprintKeyError, FingerprintKeys

if TYPE_CHECKING:
    from airflow.sdk import Connection

__all__ = ["KNOWN_EXTRAS", "fingerprint_keys_from", "settings_from"]

PREFIX: Final = "extra__klaviyo__"
OAUTH_FIELDS: Final = {
    "oauth_client_id": "OAuth client id",
    "oauth_client_secret": "OAuth client secret",
    "oauth_refresh_token": "OAuth refresh token",
}
SECRET_EXTRAS: Final = ("fingerprint_key", "oauth_client_secret", "oauth_refresh_token")
KEY_PREFIX: Final = "pk_"
SHORTEST_SECRET: Final = 8
# Klaviyo gives six; no key is as short as the longest of these.
ACCOUNT_ID: Final = re.compile(r"[A-Za-z0-9]{4,16}")
PLAIN_NAME: Final = re.compile(r"(?!pk_)[a-z][a-z_-]{0,39}")
# Of a host without dots, which is a name in a network of one's own. Keys are longer.
LONGEST_BARE_HOST: Final = 24
KNOWN_EXTRAS: Final = {
    "account_id",
    "fingerprint_key",
    "limits",
    "oauth_store_conn_id",
    "revision",
    "timeout",
    "utilisation",
    *OAUTH_FIELDS,
}


def settings_from(connection: Connection, extra: Mapping[str, Any]) -> Settings:
    """Return how to reach Klaviyo, as this connection says.

    :param extra: the connection's extra fields, already decoded.
    :raises KlaviyoConfigurationError: naming the connection, the field and what belongs there.
    """
    try:
        extra = _known(connection, extra)
        _refuse_misplaced_secrets(connection, extra)
        oauth = _oauth(connection, extra)
        return Settings(
            api_key=_api_key(connection) if oauth is None else "",
            oauth=oauth,
            base_url=_base_url(connection),
            revision=_text(extra, "revision") or DEFAULT_REVISION,
            account_id=_account_id(extra),
            utilisation=_number(extra, "utilisation", DEFAULT_UTILISATION),
            limits=_limits(extra.get("limits")),
            timeout_seconds=_number(extra, "timeout", DEFAULT_TIMEOUT_SECONDS),
        )
    except KlaviyoConfigurationError as error:
        raise KlaviyoConfigurationError(f"Connection {connection.conn_id!r}: {error}") from None


def fingerprint_keys_from(connection: Connection, extra: Mapping[str, Any]) -> FingerprintKeys:
    """Return the keys that people are known by in a ledger.

    :raises KlaviyoConfigurationError: naming the connection, the field and how to make a key.
    """
    try:
        return FingerprintKeys.parse(_text(_known(connection, extra), "fingerprint_key"))
    except (FingerprintKeyError, KlaviyoConfigurationError) as error:
        raise KlaviyoConfigurationError(f"Connection {connection.conn_id!r}: {error}") from None


def _known(connection: Connection, extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return the extra fields by their bare names: the form of Airflow 2.11 sends each with its old prefix too.

    An extra that is not all understood is refused: an account_id that is misspelt, or lost in bad JSON, guards nothing.
    Airflow makes an extra that it cannot read an empty one.
    """
    try:
        is_object = isinstance(json.loads(connection.extra or "{}"), dict)
    except ValueError:
        is_object = False
    if not is_object:
        raise KlaviyoConfigurationError('the extra fields must be a JSON object such as {"account_id": "AbC123"}')
    prefixed = {name.removeprefix(PREFIX): value for name, value in extra.items() if name.startswith(PREFIX)}
    known = prefixed | {name: value for name, value in extra.items() if not name.startswith(PREFIX)}
    unknown = sorted(set(known) - KNOWN_EXTRAS)
    if unknown:
        raise KlaviyoConfigurationError(
            f"there is no extra field{_shown(unknown[0])}; known are {', '.join(sorted(KNOWN_EXTRAS))}"
        )
    return known


def _refuse_misplaced_secrets(connection: Connection, extra: Mapping[str, Any]) -> None:
    """Refuse a key in a field that is not kept secret: what such fields hold is stored, logged and part of messages."""
    given = (connection.password, *(extra.get(name) for name in SECRET_EXTRAS))
    secrets = {one.strip() for one in given if isinstance(one, str) and len(one.strip()) >= SHORTEST_SECRET}
    values = {"host": connection.host, "login": connection.login, "schema": connection.schema}
    values |= {name: value for name, value in extra.items() if name not in SECRET_EXTRAS}
    for name, value in values.items():
        text = value.strip() if isinstance(value, str) else ""
        bare = text.partition("://")[2] or text
        if bare.lower().startswith(KEY_PREFIX) or any(secret in text for secret in secrets):
            raise KlaviyoConfigurationError(
                f"{name} holds a private key, or another secret of this connection; it is not shown here. Put it into "
                "its own field, which Airflow keeps encrypted and hides, and make a new one if others may have seen it"
            )


def _account_id(extra: Mapping[str, Any]) -> str | None:
    account_id = _text(extra, "account_id")
    if account_id is not None and not ACCOUNT_ID.fullmatch(account_id):
        raise KlaviyoConfigurationError(
            "the field 'Account id' (account_id) must be six letters and digits such as AbC123, which Klaviyo shows "
            "under Settings > Account > API keys as the public key. It holds something else, which is not shown here "
            "because it may be a key"
        )
    return account_id


def _api_key(connection: Connection) -> str:
    api_key = (connection.password or "").strip()
    if not api_key:
        raise KlaviyoConfigurationError(
            "the field 'Private API key' (password) is empty. Make a private key in Klaviyo under Settings > API keys "
            "with the scopes data-privacy:write, profiles:read and accounts:read"
        )
    return api_key


def _oauth(connection: Connection, extra: Mapping[str, Any]) -> OAuthApp | None:
    """Return the app that the connection names, if it names one: all of it, and no key beside it."""
    given = {name: value for name in OAUTH_FIELDS if (value := _text(extra, name)) is not None}
    if not given:
        return None
    if (connection.password or "").strip():
        raise KlaviyoConfigurationError(
            "there are a private key and an OAuth app. Empty the field 'Private API key' (password), or "
            f"{_fields(given)}"
        )
    missing = [name for name in OAUTH_FIELDS if name not in given]
    if missing:
        raise KlaviyoConfigurationError(
            f"of an OAuth app there is {_fields(given)}, but not {_fields(missing)}. Fill in all three, or none and "
            "'Private API key' (password)"
        )
    return OAuthApp(
        client_id=given["oauth_client_id"],
        client_secret=given["oauth_client_secret"],
        refresh_token=given["oauth_refresh_token"],
        store=_text(extra, "oauth_store_conn_id") or DEFAULT_STORE,
    )


def _fields(names: Iterable[str]) -> str:
    return " and ".join(f"'{OAUTH_FIELDS[name]}' ({name})" for name in names)


def _base_url(connection: Connection) -> str:
    host = (connection.host or "").strip().rstrip("/")
    if not host:
        return DEFAULT_BASE_URL
    if len(host) > LONGEST_BARE_HOST and re.fullmatch(r"(\w+://)?[\w=-]+", host):
        raise KlaviyoConfigurationError(
            "the host must be a plain address such as https://a.klaviyo.com. It holds something else, which is not "
            "shown here because it may be a key"
        )
    url = host if "://" in host else f"https://{host}"
    return f"{url}:{connection.port}" if connection.port else url


def _shown(name: str) -> str:
    """Return a name that somebody mistyped, unless it may be a key."""
    return f" {name!r}" if PLAIN_NAME.fullmatch(name) else " of a name that is not shown here, as it may be a key"


def _text(extra: Mapping[str, Any], name: str) -> str | None:
    value = extra.get(name)
    if value is not None and not isinstance(value, str):
        raise KlaviyoConfigurationError(f"{name} must be text, not {type(value).__name__}")
    return value.strip() or None if value else None


def _number(extra: Mapping[str, Any], name: str, default: float) -> float:
    value = extra.get(name)
    if value is None or value == "":
        return default
    try:
        return float(value)
    except (TypeError, ValueError):
        raise KlaviyoConfigurationError(f"{name} must be a number such as {default}") from None


def _limits(value: Any) -> dict[str, Limit]:
    """Read ``{"profile_deletion": {"burst": 3, "steady": 60}}``, as an object or as its JSON text."""
    if value is None or value == "":
        return {}
    try:
        limits = json.loads(value) if isinstance(value, str) else value
        return {name: Limit(float(it["burst"]), float(it["steady"])) for name, it in limits.items()}
    except (AttributeError, KeyError, TypeError, ValueError):
        raise KlaviyoConfigurationError(
            'limits must be JSON such as {"profile_deletion": {"burst": 3, "steady": 60}}'
        ) from None
