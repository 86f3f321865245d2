"""The tables of a ledger. Plans, requests and events are the record; paces and tokens are what workers share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.types import TypeDecorator

__all__ = [
    "OPEN",
    "SCHEMA_VERSION",
    "accounts",
    "events",
    "metadata",
    "paces",
    "plans",
    "requests",
    "tokens",
    "versions",
]

SCHEMA_VERSION: Final = 3

metadata = MetaData()


# Generic in SQLAlchemy 2 only.
class UTCDateTime(TypeDecorator):  # type: ignore[type-arg]
    """A time in UTC, on databases with and without time zones alike."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Return the time as the database keeps it."""
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Return the time with its zone."""
        return None if value is None else value.replace(tzinfo=UTC)


PLAN_ID: Final = String(32)
ACCOUNT_ID: Final = String(32)
KEY_ID: Final = String(8)
PROFILE_ID: Final = String(64)
STATE: Final = String(16)
ACTOR: Final = String(1_000)
OPEN: Final = ("planned", "requested")

versions = Table("klaviyo_ledger", metadata, Column("schema_version", Integer, primary_key=True, autoincrement=False))
"""One row: the version of these tables."""

accounts = Table(
    "klaviyo_accounts",
    metadata,
    Column("account_id", ACCOUNT_ID, primary_key=True),
    Column("key_id", KEY_ID, primary_key=True),
    Column("first_used_at", UTCDateTime, nullable=False),
)
"""The fingerprint keys that the records of each Klaviyo account were made with."""

plans = Table(
    "klaviyo_plans",
    metadata,
    Column("plan_id", PLAN_ID, primary_key=True),
    Column("account_id", ACCOUNT_ID, nullable=False),
    Column("origin", String(64), nullable=False, index=True),
    Column("recipe", String(64), nullable=False),
    Column("contents", String(64)),
    Column("actor", ACTOR, nullable=False),
    Column("state", STATE, nullable=False),
    Column("began_at", UTCDateTime, nullable=False),
    Column("touched_at", UTCDateTime, nullable=False),
    Column("listed", Integer, nullable=False, default=0),
    Column("duplicates", Integer, nullable=False, default=0),
    Column("known", Integer, nullable=False, default=0),
    Column("profiles", Integer, nullable=False, default=0),
    Column("batch_size", Integer, nullable=False, default=0),
    Column("batches", Integer, nullable=False, default=0),
    Column("max_profiles", Integer),
    Column("max_profiles_per_identifier", Integer),
    Column("invalid_again", Integer, nullable=False, default=0),
    Column("refused_again", Integer, nullable=False, default=0),
    Column("held_again", Integer, nullable=False, default=0),
)
"""What was listed at once, by one task of one DAG run. Its requests count once it is ``ready``.

``invalid_again``, ``refused_again`` and ``held_again`` count listed identifiers of which an earlier plan has the row.
"""

requests = Table(
    "klaviyo_requests",
    metadata,
    Column("plan_id", PLAN_ID, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("part", Integer, primary_key=True, autoincrement=False),
    Column("parts", Integer, nullable=False),
    Column("account_id", ACCOUNT_ID, nullable=False),
    Column("kind", STATE),
    Column("fingerprint", String(64), nullable=False),
    Column("key_id", KEY_ID, nullable=False),
    Column("identifier", Text),
    Column("request_id", String(255)),
    Column("received_at", UTCDateTime, nullable=False),
    Column("regulation", STATE, nullable=False),
    Column("due_at", UTCDateTime, nullable=False),
    Column("profile_id", PROFILE_ID),
    Column("batch", Integer),
    Column("outcome", STATE, nullable=False),
    Column("outcome_at", UTCDateTime, nullable=False),
    Column("claimed_by", ACTOR),
    Column("claimed_at", UTCDateTime),
    Column("in_doubt", Integer, nullable=False, server_default="0"),
    Column("checked_at", UTCDateTime),
    Index("klaviyo_requests_fingerprint", "fingerprint"),
)
"""What each row of a plan asked for, and what became of it: one row for each profile that an identifier matches.

``number`` is the row's place in the source. ``identifier`` is encrypted, and wiped as soon as the outcome is final.
``in_doubt`` is 1 for a deletion that Klaviyo may have accepted, or not: it is watched, and may be requested again.
"""


def _index_of_some(name: str, condition: ColumnElement[bool], *columns: Column[Any]) -> None:
    """Add an index that leaves out the millions of rows that nobody will ask for by these columns."""
    Index(name, *columns, postgresql_where=condition, sqlite_where=condition)


_index_of_some("klaviyo_requests_open", requests.c.outcome.in_(OPEN), requests.c.plan_id, requests.c.batch)
_index_of_some(
    "klaviyo_requests_profile", requests.c.profile_id.is_not(None), requests.c.profile_id, requests.c.plan_id
)

events = Table(
    "klaviyo_events",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("plan_id", PLAN_ID, nullable=False),
    Column("number", Integer),
    Column("profile_id", PROFILE_ID),
    Column("event", STATE, nullable=False),
    Column("at", UTCDateTime, nullable=False),
    Column("actor", ACTOR, nullable=False),
    Index("klaviyo_events_plan", "plan_id", "profile_id"),
)
"""Every step, in order; rows are only ever added. Of a profile, of a request, or of the whole plan."""

paces = Table(
    "klaviyo_paces",
    metadata,
    Column("quota", String(255), primary_key=True),
    Column("endpoint", String(64), primary_key=True),
    Column("next_at", Float(53), nullable=False),
    Column("held_until", Float(53), nullable=False),
    Column("version", BigInteger, nullable=False),
)
"""The next free turn of each account and endpoint, in seconds since 1970 on the database's own clock."""

tokens = Table(
    "klaviyo_tokens",
    metadata,
    Column("installation", String(64), primary_key=True),
    Column("sealed", Text),
    Column("renew_at", Float(53), nullable=False),
    Column("expires_at", Float(53), nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("lease", BigInteger, nullable=False),
    Column("leased_until", Float(53), nullable=False),
)
"""The newest tokens of each OAuth installation, encrypted, and who may refresh them now.

``generation`` counts the pairs, ``lease`` the leases. Times are seconds since 1970 on the database's own clock.
"""
