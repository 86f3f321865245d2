"""Read an Airflow connection into the settings of a client; every message names the field of the form to fill."""

from __future__ import annotations

import json
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
        oauth = _oauth(connection, extra)
        return Settings(
            api_key=_api_key(connection) if oauth is None else "",
            oauth=oauth,
            base_url=_base_url(connection),
            revision=_text(extra, "revision") or DEFAULT_REVISION,
            account_id=_text(extra, "account_id"),
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
            f"there is no extra field {unknown[0]!r}; known are {', '.join(sorted(KNOWN_EXTRAS))}"
        )
    return known


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
    url = host if "://" in host else f"https://{host}"
    return f"{url}:{connection.port}" if connection.port else url


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
