"""What keeps the tokens of an OAuth app: a ledger's database, because workers cannot write Airflow's connections."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from airflow.providers.common.compat.sdk import mask_secret

from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.api.credentials import OAuthApp
from airflow_provider_klaviyo.api.errors import (
    KlaviyoConfigurationError,
    KlaviyoTokenError,
    KlaviyoUnavailableError,
)
from airflow_provider_klaviyo.api.oauth import Tokens, refresh
from airflow_provider_klaviyo.api.settings import Settings
from airflow_provider_klaviyo.api.tokens import AccessToken, Busy, Lease, TokenKeeper

if TYPE_CHECKING:
    from airflow_provider_klaviyo.ledger.tokens import LedgerTokens

__all__ = ["open_async_tokens", "open_tokens"]

# A request as a whole takes three times as long at most, and with the wait for its turn less than a lease.
LONGEST_TIMEOUT_SECONDS: Final = 15.0
PLAIN_ID: Final = re.compile(r"[a-z][a-z0-9_.-]{0,39}")


def open_tokens(
    settings: Settings, conn_id: str, received: Callable[[str], object] | None = None
) -> TokenKeeper | None:
    """Return where the access tokens of a connection come from; None for one with a private key.

    :param conn_id: of Klaviyo, for messages.
    :param received: is told each secret, before anybody uses it; None has Airflow mask them in logs.
    :raises KlaviyoConfigurationError: when the connection names no database that suits a ledger.
    :raises KlaviyoUnavailableError: when the database cannot be reached.
    """
    app = settings.oauth
    if app is None:
        return None
    received = received or mask_secret
    for secret in (app.client_secret, app.refresh_token):
        received(secret)
    return TokenKeeper(_Store(app, conn_id), partial(_refreshed, settings, app, conn_id), received=received)


async def open_async_tokens(settings: Settings, conn_id: str) -> TokenKeeper | None:
    """Do the same without blocking the event loop."""
    from asgiref.sync import sync_to_async

    if settings.oauth is None:
        return None
    received = partial(_mask_from_a_thread, asyncio.get_running_loop())
    # Not any thread: in one of these Airflow can be asked for a connection, and asks its supervisor in the event loop.
    return await sync_to_async(open_tokens, thread_sensitive=False)(settings, conn_id, received)


class _Store:
    """The tokens in a ledger's database, whose errors say which connection they are about, and are Klaviyo's."""

    def __init__(self, app: OAuthApp, conn_id: str) -> None:
        from airflow_provider_klaviyo.hooks.database import open_database
        from airflow_provider_klaviyo.ledger.tokens import LedgerTokens

        self._conn_id = conn_id
        # The name is part of messages, and the field one of those in which a key may have been put by mistake.
        self._store_id = app.store if PLAIN_ID.fullmatch(app.store) else "named by oauth_store_conn_id"
        with self._translated():
            self._tokens: LedgerTokens = LedgerTokens(open_database(app.store, set_by="oauth_store_conn_id"), app)

    def take(self, refused: str | None) -> AccessToken | Lease | Busy:
        with self._translated():
            return self._tokens.take(refused)

    def keep(self, lease: Lease, tokens: Tokens) -> bool:
        with self._translated():
            return self._tokens.keep(lease, tokens)

    def give_back(self, lease: Lease, pause_seconds: float) -> bool:
        with self._translated():
            return self._tokens.give_back(lease, pause_seconds)

    def close(self) -> None:
        self._tokens.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        from airflow_provider_klaviyo.hooks.database import naming
        from airflow_provider_klaviyo.ledger.errors import LedgerError, LedgerSetupError

        try:
            with naming(self._store_id):
                yield
        except LedgerError as error:
            kind = KlaviyoConfigurationError if isinstance(error, LedgerSetupError) else KlaviyoUnavailableError
            message = f"Connection {self._conn_id!r}: no access token without its store (oauth_store_conn_id). {error}"
        else:
            return
        raise kind(message)


def _refreshed(settings: Settings, app: OAuthApp, conn_id: str, refresh_token: str) -> Tokens:
    """Exchange a refresh token for a new pair of tokens."""
    timeout_seconds = min(settings.timeout_seconds, LONGEST_TIMEOUT_SECONDS)
    with KlaviyoClient(replace(settings, timeout_seconds=timeout_seconds)) as client:
        try:
            return client.run(refresh(app, refresh_token))
        except KlaviyoTokenError as error:
            error.args = (f"Connection {conn_id!r}: {error}",)
            raise


def _mask_from_a_thread(loop: asyncio.AbstractEventLoop, secret: str) -> None:
    """Have Airflow mask a secret in logs, from a thread beside the event loop."""
    if not loop.is_closed():
        asyncio.run_coroutine_threadsafe(_mask(secret), loop)


async def _mask(secret: str) -> None:
    try:
        from airflow.sdk.log import amask_secret
    except ImportError:  # Airflow before 3.3.
        from asgiref.sync import sync_to_async

        await sync_to_async(mask_secret)(secret)
    else:
        await amask_secret(secret)
