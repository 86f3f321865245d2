"""The tokens of an OAuth installation, for all workers: encrypted, and refreshed by one at a time.

Who may refresh is settled by compare-and-set on the installation's row, and for how long by the database's own clock,
so that it does not matter what the workers' clocks say, nor which of them is killed.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from hashlib import sha256
from hmac import digest
from typing import Any, Final

from cryptography.fernet import Fernet, InvalidToken
from sqlalchemy.engine import Connection, RowMapping
from sqlalchemy.sql.elements import ColumnElement

from airflow_provider_klaviyo.api.credentials import OAuthApp
from airflow_provider_klaviyo.api.oauth import Tokens
from airflow_provider_klaviyo.api.tokens import AccessToken, Busy, Lease
from airflow_provider_klaviyo.ledger.database import Database
from airflow_provider_klaviyo.ledger.errors import LedgerSetupError
from airflow_provider_klaviyo.ledger.tables import tokens as table

__all__ = ["LedgerTokens"]

# Longer than a request can take, so that a lease ends by itself only if its holder is gone.
LEASE_SECONDS: Final = 60.0
# A token that should have been replaced, but is still good, is used for so long before that is tried again.
MEANWHILE_SECONDS: Final = 10.0
# Far more than any lease or pause: what lasts longer was written while the database's clock was ahead.
LONGEST_LEASE_SECONDS: Final = 3_600.0
# Klaviyo lets a refresh token die that is not used for so long.
UNUSED_SECONDS: Final = 90 * 24 * 3_600.0
PURPOSE: Final = b"airflow-provider-klaviyo: the tokens of an installation"


class LedgerTokens:
    """The newest tokens of one installation, in a ledger's database, in the form of a `TokenStore`.

    They are encrypted under the refresh token of the connection, which Airflow keeps and the database does not. Under
    another refresh token there is nothing: a new one in the connection begins anew, and wins.

    :param database: closed with this.
    :raises LedgerUnavailableError: from every method, when the database cannot be read or written.
    """

    def __init__(self, database: Database, app: OAuthApp) -> None:
        self._database = database
        self._app = app
        self._fernet = Fernet(urlsafe_b64encode(digest(app.refresh_token.encode(), PURPOSE, sha256)))

    def take(self, refused: str | None) -> AccessToken | Lease | Busy:
        """Return the access token; or the right to refresh, where there is none, or only the one that was refused.

        :raises LedgerSetupError: when the row was damaged.
        """
        with self._database.begin() as connection:
            now = self._database.seconds(connection)
            row = connection.execute(table.select().where(self._row())).mappings().first()
            if row is None:
                return self._begin(connection, now)
            tokens = self._opened(row["sealed"])
            access_token = None if tokens is None or tokens.access_token == refused else tokens.access_token
            if access_token is not None and now < row["renew_at"]:
                return AccessToken(access_token, row["renew_at"] - now)
            left = min(row["expires_at"] - now, MEANWHILE_SECONDS)
            meanwhile = AccessToken(access_token, left) if access_token is not None and left > 0 else None
            is_leased = now < row["leased_until"] <= now + LONGEST_LEASE_SECONDS
            if is_leased or not self._lease(connection, row, now):
                return meanwhile or Busy()
            refresh_token = self._app.refresh_token if tokens is None else tokens.refresh_token
            return Lease(refresh_token, row["generation"], row["lease"] + 1, meanwhile)

    def keep(self, lease: Lease, tokens: Tokens) -> bool:
        """Keep a new pair for good; tell whether nobody else has kept a newer one.

        A lease that ended meanwhile does no harm: whoever has the next one has an older refresh token than this.
        """
        with self._database.begin() as connection:
            expires_at = self._database.seconds(connection) + tokens.expires_in
            values = {
                "sealed": self._sealed(tokens),
                "renew_at": expires_at - tokens.renewal_seconds,
                "expires_at": expires_at,
                "generation": lease.generation + 1,
                "leased_until": 0.0,
            }
            return self._change(connection, values, generation=lease.generation)

    def give_back(self, lease: Lease, pause_seconds: float) -> bool:
        """Let others refresh after a pause; tell whether nobody else had the lease, or kept a pair, meanwhile."""
        with self._database.begin() as connection:
            leased_until = self._database.seconds(connection) + min(pause_seconds, LONGEST_LEASE_SECONDS)
            values = {"leased_until": leased_until}
            return self._change(connection, values, generation=lease.generation, lease=lease.number)

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    def _begin(self, connection: Connection, now: float) -> Lease | Busy:
        """Add the row with the first lease, and remove the rows of installations that nobody uses any more."""
        connection.execute(table.delete().where(table.c.expires_at < now - UNUSED_SECONDS))
        row = {
            "installation": self._app.digest,
            "sealed": None,
            "renew_at": now,
            "expires_at": now,
            "generation": 0,
            "lease": 1,
            "leased_until": now + LEASE_SECONDS,
        }
        is_mine = self._database.insert_once(connection, table, row)
        return Lease(self._app.refresh_token, generation=0, number=1) if is_mine else Busy()

    def _lease(self, connection: Connection, row: RowMapping, now: float) -> bool:
        """Take the next lease, unless somebody else is quicker."""
        values = {"lease": row["lease"] + 1, "leased_until": now + LEASE_SECONDS}
        return self._change(connection, values, generation=row["generation"], lease=row["lease"])

    def _change(self, connection: Connection, values: dict[str, Any], **still: int) -> bool:
        """Change the row if these columns are still what they were."""
        statement = table.update().where(self._row())
        for name, value in still.items():
            statement = statement.where(table.c[name] == value)
        return bool(connection.execute(statement.values(**values)).rowcount == 1)

    def _row(self) -> ColumnElement[bool]:
        return table.c.installation == self._app.digest

    def _sealed(self, tokens: Tokens) -> str:
        pair = [tokens.access_token, tokens.refresh_token, tokens.expires_in]
        return self._fernet.encrypt(json.dumps(pair).encode()).decode()

    def _opened(self, sealed: str | None) -> Tokens | None:
        if sealed is None:
            return None
        try:
            return Tokens(*json.loads(self._fernet.decrypt(sealed)))
        except InvalidToken:
            raise LedgerSetupError(
                "the tokens of the OAuth app were changed by somebody, and cannot be read any more. Have the app "
                "authorised anew, and put the new refresh token into the Klaviyo connection's field 'OAuth refresh "
                "token' (oauth_refresh_token)"
            ) from None
