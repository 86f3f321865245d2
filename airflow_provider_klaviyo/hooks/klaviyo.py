"""The Klaviyo hook: an Airflow connection of type ``klaviyo`` turned into clients and calls."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook, mask_secret

from airflow_provider_klaviyo.api import calls
from airflow_provider_klaviyo.api.client import AsyncKlaviyoClient, KlaviyoClient
from airflow_provider_klaviyo.api.conversation import PATIENCE_SECONDS, Conversation
from airflow_provider_klaviyo.api.errors import (
    KlaviyoAccountError,
    KlaviyoConfigurationError,
    KlaviyoError,
    KlaviyoPermissionError,
)
from airflow_provider_klaviyo.api.pace import Pacing, paces_of_this_process
from airflow_provider_klaviyo.api.resources import NOBODY, Account
from airflow_provider_klaviyo.api.settings import Settings
from airflow_provider_klaviyo.get_provider_info import get_provider_info
from airflow_provider_klaviyo.hooks.calls import KlaviyoCalls
from airflow_provider_klaviyo.hooks.connection import fingerprint_keys_from, settings_from
from airflow_provider_klaviyo.hooks.tokens import open_async_tokens, open_tokens
from airflow_provider_klaviyo.tracebacks import hide_variables

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from airflow_provider_klaviyo.deletion.fingerprints import FingerprintKeys

__all__ = ["KlaviyoHook"]

TEST_PATIENCE_SECONDS: Final = 5.0

_checked_keys: set[tuple[str, str, str]] = set()


@hide_variables
class KlaviyoHook(KlaviyoCalls, BaseHook):
    """Talk to Klaviyo with the private API key, or the OAuth app, of an Airflow connection.

    Everything in a process that works on one account shares one even pace, at 97 % of Klaviyo's limits by default.

    :param klaviyo_conn_id: the connection. Its password is the private key; its extra fields are ``account_id``,
        ``utilisation``, ``revision``, ``timeout``, ``limits`` and ``fingerprint_key``. In place of a key it may have
        ``oauth_client_id``, ``oauth_client_secret`` and ``oauth_refresh_token``, and then ``oauth_store_conn_id``, the
        connection to a database that suits a ledger, where the tokens of the app are kept.
    :param paces: shared by everything that must keep one pace, such as a ledger's; by default all of this process.
    """

    conn_name_attr = "klaviyo_conn_id"
    default_conn_name = "klaviyo_default"
    conn_type = "klaviyo"
    hook_name = "Klaviyo"

    def __init__(self, klaviyo_conn_id: str = default_conn_name, *, paces: Pacing = paces_of_this_process) -> None:
        super().__init__()
        self.klaviyo_conn_id = klaviyo_conn_id
        self._paces = paces
        self._client: KlaviyoClient | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return which standard fields the connection form hides and renames (Airflow 2.11 asks the hook)."""
        behaviour = _connection_type()["ui-field-behaviour"]
        return {key.replace("-", "_"): value for key, value in behaviour.items()}

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the extra fields of the connection form (Airflow 2.11 asks the hook)."""
        from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
        from wtforms import StringField

        return {
            name: StringField(spec["label"], description=spec["description"], widget=BS3TextFieldWidget())
            for name, spec in _connection_type()["conn-fields"].items()
        }

    def get_conn(self) -> KlaviyoClient:
        """Return the blocking client, checked to be on the right account. One for each hook; `close` closes it.

        :raises KlaviyoConfigurationError: when the connection is missing or half-filled.
        :raises KlaviyoAccountError: when the key belongs to another account than ``account_id`` says.
        """
        if self._client is None:
            client = self._new_client(self._paces)
            try:
                if not _is_checked(client.settings):
                    check_account(client.run(calls.get_account()), client.settings, self.klaviyo_conn_id)
            except BaseException:
                client.close()
                raise
            self._client = client
        return self._client

    async def get_async_conn(self) -> AsyncKlaviyoClient:
        """Return a new asyncio client, checked to be on the right account; the caller closes it.

        :raises KlaviyoConfigurationError: when the connection is missing or half-filled.
        :raises KlaviyoAccountError: when the key belongs to another account than ``account_id`` says.
        """
        return await self.open_async_conn(await self.get_async_settings())

    async def open_async_conn(
        self, settings: Settings, *, patience_seconds: float = PATIENCE_SECONDS
    ) -> AsyncKlaviyoClient:
        """Return a new asyncio client for settings that were read already, checked to be on the right account.

        :param patience_seconds: how long to try to check it.
        :raises KlaviyoAccountError: when the key belongs to another account than ``account_id`` says.
        """
        # In a thread: to read the certificates takes a tenth of a second, for which the event loop would stand still.
        tokens = await open_async_tokens(settings, self.klaviyo_conn_id)
        client = await asyncio.to_thread(partial(AsyncKlaviyoClient, settings, tokens=tokens))
        try:
            if not _is_checked(client.settings):
                account = await client.run(calls.get_account(patience_seconds=patience_seconds))
                check_account(account, client.settings, self.klaviyo_conn_id)
        except BaseException:
            await client.close()
            raise
        return client

    def close(self) -> None:
        """Close the blocking client, if there is one."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def get_settings(self) -> Settings:
        """Return what the connection says, checked."""
        connection = self._connection()
        return settings_from(connection, connection.extra_dejson)

    def get_fingerprint_keys(self) -> FingerprintKeys:
        """Return the keys that people are known by in a ledger; Airflow masks them in logs from now on.

        :raises KlaviyoConfigurationError: when there is none, saying how to make one.
        """
        connection = self._connection()
        keys = fingerprint_keys_from(connection, connection.extra_dejson)
        for key in keys.keys:
            mask_secret(key.decode())
        return keys

    def _connection(self) -> Connection:
        try:
            return self.get_connection(self.klaviyo_conn_id)
        except AirflowNotFoundException as error:
            raise _missing(self.klaviyo_conn_id) from error

    async def get_async_settings(self) -> Settings:
        """Return what the connection says, checked, without blocking the event loop."""
        from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson

        try:
            connection: Connection = await get_async_connection(self.klaviyo_conn_id)
        except AirflowNotFoundException as error:
            raise _missing(self.klaviyo_conn_id) from error
        return settings_from(connection, await get_async_extra_dejson(connection))

    def test_connection(self) -> tuple[bool, str]:
        """Tell whether the connection works, and if not, which field or which scope to correct."""
        try:
            with self._new_client() as client:
                account = self._account_of(client)
                client.run(_nobody())
        except KlaviyoError as error:
            return False, str(error)
        return True, (
            f"The {client.settings.credential.short_name} works for {account} and may read profiles. Whether it has "
            "the scope data-privacy:write shows at the first deletion only"
        )

    def _new_client(self, paces: Pacing = paces_of_this_process) -> KlaviyoClient:
        settings = self.get_settings()
        return KlaviyoClient(settings, paces=paces, tokens=open_tokens(settings, self.klaviyo_conn_id))

    def _account_of(self, client: KlaviyoClient) -> str:
        """Return whose key it is, in words. Only if the connection names an account must the key be allowed to tell."""
        try:
            account = client.run(calls.get_account(patience_seconds=TEST_PATIENCE_SECONDS))
        except KlaviyoPermissionError:
            if client.settings.account_id is not None:
                raise
            return "an account that it may not name (it lacks the scope accounts:read)"
        check_account(account, client.settings, self.klaviyo_conn_id)
        return str(account)


def check_account(account: Account, settings: Settings, conn_id: str) -> None:
    """Refuse to go on with a key of another account than the connection says; remember one that is right.

    :raises KlaviyoAccountError: naming both accounts.
    """
    if settings.account_id is not None and account.id != settings.account_id:
        raise KlaviyoAccountError(
            f"Connection {conn_id!r}: the {settings.credential.name} belongs to {account}, but account_id says "
            f"{settings.account_id}. Nothing was changed. Correct the {settings.credential.short_name} or the field "
            "'Account id'"
        )
    _checked_keys.add((settings.base_url, settings.key_digest, account.id))


def _is_checked(settings: Settings) -> bool:
    """Tell whether the account needs no check: none is named, or this key was seen to belong to it.

    A key never changes its account, and Klaviyo answers only 15 such questions a minute.
    """
    account_id = settings.account_id
    return account_id is None or (settings.base_url, settings.key_digest, account_id) in _checked_keys


def _nobody() -> Conversation[calls.Found]:
    """Look nobody up, to see whether the key may."""
    return calls.find_profiles("id", [NOBODY], patience_seconds=TEST_PATIENCE_SECONDS)


def _missing(conn_id: str) -> KlaviyoConfigurationError:
    return KlaviyoConfigurationError(
        f"Connection {conn_id!r} does not exist: create it with the type Klaviyo and fill in 'Private API key' "
        "(password), or set klaviyo_conn_id to one that exists"
    )


def _connection_type() -> dict[str, Any]:
    connection_type: dict[str, Any] = get_provider_info()["connection-types"][0]
    return connection_type
