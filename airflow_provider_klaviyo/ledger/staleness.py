"""People of an old plan are looked up once more before they are deleted: a profile may be somebody else's by now."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Final

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
    row_id = (requests.c.plan_id, requests.c.number, requests.c.part, requests.c.profile_id)
    query = select(*row_id, requests.c.kind, requests.c.identifier).where(
        requests.c.plan_id == reference.plan_id,
        requests.c.batch == reference.batch,
        requests.c.outcome == Outcome.PLANNED.value,
        requests.c.kind != Kind.ID.value,
        requests.c.claimed_at.is_(None),
    )
    with ledger.database.begin() as connection:
        rows = connection.execute(query).all()
    listed = [(row, Identifier.of(Kind(row.kind), row.identifier)) for row in rows]
    held_by = {
        one.identifier: {profile.id for profile in one.profiles}
        for one in resolve({identifier: None for _, identifier in listed}, client)
        if one.outcome in SURE
    }
    for row, identifier in listed:
        holders = held_by.get(identifier)
        if holders is not None and row.profile_id not in holders:
            log.warning("Profile %s does not hold what was listed any more; it is not deleted", row.profile_id)
            outcome = Outcome.HELD if holders else Outcome.ABSENT
            values = {"outcome": outcome.value, "outcome_at": datetime.now(UTC), "identifier": None}
            with ledger.database.begin() as connection:
                ledger.change(connection, outcome.value, [row], values, was=Outcome.PLANNED)
