"""People of an old plan are looked up once more before they are deleted: a profile may be somebody else's by now."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import select

from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.deletion.identifiers import Identifier, Kind
from airflow_provider_klaviyo.deletion.outcomes import Outcome
from airflow_provider_klaviyo.deletion.resolve import resolve
from airflow_provider_klaviyo.ledger.ledger import BatchReference, Ledger
from airflow_provider_klaviyo.ledger.tables import requests

__all__ = ["let_go_of_others"]

FRESH: Final = timedelta(days=1)
SURE: Final = (Outcome.PLANNED, Outcome.ABSENT)

log = logging.getLogger(__name__)


def let_go_of_others(ledger: Ledger, reference: BatchReference, client: KlaviyoClient) -> None:
    """Look up who is still to be deleted of a batch that was planned more than a day ago.

    A profile that does not hold the listed identifier any more is not deleted: nobody has the identifier now
    (``absent``), or another profile has (``held``, and the next plan that lists it finds that one).
    """
    if datetime.now(UTC) - ledger.plan(reference.plan_id)["began_at"] < FRESH:
        return
    columns = (requests.c.number, requests.c.part, requests.c.kind, requests.c.identifier, requests.c.profile_id)
    query = select(*columns).where(
        requests.c.plan_id == reference.plan_id,
        requests.c.batch == reference.batch,
        requests.c.outcome == Outcome.PLANNED.value,
        requests.c.kind != Kind.ID.value,
        requests.c.claimed_at.is_(None),
    )
    with ledger.database.begin() as connection:
        rows = connection.execute(query).all()
    held_by = {
        one.identifier: {profile.id for profile in one.profiles}
        for one in resolve({Identifier.of(Kind(row.kind), row.identifier): None for row in rows}, client)
        if one.outcome in SURE
    }
    for row in rows:
        holders = held_by.get(Identifier.of(Kind(row.kind), row.identifier))
        if holders is not None and row.profile_id not in holders:
            _let_go(ledger, reference, row, Outcome.HELD if holders else Outcome.ABSENT)


def _let_go(ledger: Ledger, reference: BatchReference, row: Any, outcome: Outcome) -> None:
    log.warning("Profile %s does not hold what was listed any more; it is not deleted", row.profile_id)
    this = (
        requests.c.plan_id == reference.plan_id,
        requests.c.number == row.number,
        requests.c.part == row.part,
        requests.c.outcome == Outcome.PLANNED.value,
    )
    values = {"outcome": outcome.value, "outcome_at": datetime.now(UTC), "identifier": None}
    with ledger.database.begin() as connection:
        connection.execute(requests.update().where(*this).values(**values))
        ledger.note(connection, reference.plan_id, outcome.value, [(row.number, row.profile_id)])
