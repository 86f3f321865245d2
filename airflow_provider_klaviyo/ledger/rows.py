"""Requests that are not final, read back with the identifier that they are for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.engine import Connection
from sqlalchemy.sql.elements import ColumnElement

from airflow_provider_klaviyo.deletion.identifiers import Identifier, Kind
from airflow_provider_klaviyo.ledger.ledger import Ledger
from airflow_provider_klaviyo.ledger.tables import requests

__all__ = ["OpenRequest", "read_open_requests"]


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """One profile of one request. Its repr does not show the person."""

    plan_id: str
    number: int
    part: int
    fingerprint: str
    profile_id: str
    outcome_at: datetime
    claimed_at: datetime | None
    identifier: Identifier = field(repr=False)


def read_open_requests(
    ledger: Ledger,
    connection: Connection,
    conditions: Sequence[ColumnElement[bool]],
    parameters: Mapping[str, Any] | None = None,
    most: int | None = None,
) -> list[OpenRequest]:
    """Return the requests of the account that match, in the order of the source.

    :param parameters: of the conditions.
    :param most: how many rows to read; None for all.
    :raises LedgerSetupError: when an identifier cannot be decrypted.
    """
    columns = (
        requests.c.plan_id,
        requests.c.number,
        requests.c.part,
        requests.c.fingerprint,
        requests.c.profile_id,
        requests.c.outcome_at,
        requests.c.claimed_at,
        requests.c.kind,
        requests.c.identifier,
        requests.c.key_id,
    )
    query = (
        select(*columns)
        .where(requests.c.account_id == ledger.account_id, requests.c.identifier.is_not(None), *conditions)
        .order_by(requests.c.plan_id, requests.c.number, requests.c.part)
        .limit(most)
    )
    return [
        OpenRequest(
            row.plan_id,
            row.number,
            row.part,
            row.fingerprint,
            row.profile_id,
            row.outcome_at,
            row.claimed_at,
            Identifier.of(Kind(row.kind), ledger.sealer.unseal(row.identifier, row.fingerprint, row.key_id)),
        )
        for row in connection.execute(query, dict(parameters or {}))
    ]
