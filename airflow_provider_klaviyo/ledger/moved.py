"""People whose profile was merged, deleted or given to somebody else between plan and deletion, found again.

A listed identifier may be in another profile by then. That profile joins the request, under the guards of the plan, and
is looked at like any other before it is deleted.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.engine import Connection

from airflow_provider_klaviyo.api.calls import find_all_profiles
from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.deletion.identifiers import Identifier, Kind
from airflow_provider_klaviyo.deletion.meant import fingerprints_of
from airflow_provider_klaviyo.deletion.outcomes import Outcome
from airflow_provider_klaviyo.deletion.resolve import Resolved, resolve
from airflow_provider_klaviyo.ledger.database import any_of
from airflow_provider_klaviyo.ledger.ledger import Ledger
from airflow_provider_klaviyo.ledger.rows import OpenRequest, read_open_requests
from airflow_provider_klaviyo.ledger.tables import requests

__all__ = ["Moved", "join"]

log = logging.getLogger(__name__)


class Moved:
    """Listed identifiers that the profile of their request does not hold any more.

    :param plan: the row of their plan.
    :param worker: claims the profiles that join.
    """

    def __init__(self, ledger: Ledger, plan: Mapping[str, Any], worker: str) -> None:
        self._ledger = ledger
        self._plan = plan
        self._worker = worker
        self._missed: dict[str, set[str]] = {}

    def add(self, profile_id: str, fingerprints: Iterable[str]) -> None:
        """Keep in mind that a profile does not hold these."""
        self._missed.setdefault(profile_id, set()).update(fingerprints)

    def settle(self, client: KlaviyoClient, sent: Mapping[str, str]) -> dict[str, set[str]]:
        """Look for the identifiers elsewhere, and record what became of them.

        Found in other profiles, those join. Found nowhere, by identifier and by profile id, they are ``absent``, or
        ``requested`` and in doubt if an earlier try may have had the profile deleted. If two looks contradict each
        other, the request stays outstanding.

        :param sent: profiles whose deletion was just requested, by the fingerprints that they held: a search may not
            find them any more.
        :returns: the profiles that join, each with the fingerprints that it is listed by.
        """
        missed, self._missed = self._missed, {}
        rows = [row for row in self._planned(missed) if row.fingerprint in missed[row.profile_id]]
        if not rows:
            return {}
        log.warning(
            "%s profiles are gone, or do not hold what was listed any more; looking for the listed identifiers again",
            f"{len({row.profile_id for row in rows}):,}",
        )
        ids = list(dict.fromkeys(row.profile_id for row in rows))
        seen = {one.id: fingerprints_of(one, self._ledger.keys) for one in client.run(find_all_profiles(Kind.ID, ids))}
        rows = _without_contradictions(rows, seen)
        by_identifier: dict[Identifier, list[OpenRequest]] = {}
        for row in rows:
            by_identifier.setdefault(row.identifier, []).append(row)
        joined: dict[str, set[str]] = {}
        for resolved in self._resolved(by_identifier, client):
            for row in by_identifier[resolved.identifier]:
                for profile_id in self._settle_one(row, resolved, missed, sent, is_there=row.profile_id in seen):
                    joined.setdefault(profile_id, set()).add(row.fingerprint)
        return joined

    def _planned(self, missed: Mapping[str, set[str]]) -> list[OpenRequest]:
        is_any, parameters = any_of(self._ledger.database, requests.c.profile_id, list(missed))
        of_plan = (requests.c.plan_id == self._plan["plan_id"], requests.c.outcome == Outcome.PLANNED.value)
        is_ours = or_(requests.c.claimed_at.is_(None), requests.c.claimed_by == self._worker)
        with self._ledger.database.begin() as connection:
            return read_open_requests(self._ledger, connection, (*of_plan, is_ours, is_any), parameters)

    def _resolved(self, identifiers: Iterable[Identifier], client: KlaviyoClient) -> Iterable[Resolved]:
        """Look identifiers up; for a profile id, its own profile was the only place to look."""
        named = []
        for identifier in identifiers:
            if identifier.kind is Kind.ID:
                yield Resolved(identifier, Outcome.ABSENT)
            else:
                named.append(identifier)
        most = self._plan["max_profiles_per_identifier"]
        yield from resolve(named, client, max_profiles_per_identifier=most)

    def _settle_one(
        self,
        row: OpenRequest,
        resolved: Resolved,
        missed: Mapping[str, set[str]],
        sent: Mapping[str, str],
        *,
        is_there: bool,
    ) -> list[str]:
        """Record what became of a request; return the profiles that join it."""
        ledger, outcome = self._ledger, resolved.outcome
        holders = [profile.id for profile in resolved.profiles]
        if outcome is Outcome.ABSENT and sent.get(row.fingerprint, row.profile_id) != row.profile_id:
            holders, outcome = [sent[row.fingerprint]], Outcome.PLANNED
        if row.profile_id in holders:
            log.warning("Looks contradict each other about profile %s; its request stays outstanding", row.profile_id)
            return []
        with ledger.database.begin() as connection:
            others = [one for one in holders if one not in _profiles_of(connection, row)]
            if outcome is Outcome.PLANNED and others and self._is_room(connection, others, missed):
                join(ledger, connection, row, others, was=Outcome.PLANNED, claimed_by=self._worker)
                return others
            if outcome is Outcome.PLANNED:
                # Without others, all that hold it belong to the request already, under other parts of it.
                outcome = Outcome.HELD if others else Outcome.ABSENT
            values: dict[str, Any] = {"outcome_at": datetime.now(UTC), "identifier": None}
            if outcome is Outcome.ABSENT and row.claimed_at is not None and not is_there:
                outcome, values = Outcome.REQUESTED, {"outcome_at": datetime.now(UTC), "in_doubt": 1}
            ledger.change(connection, outcome.value, [row], values | {"outcome": outcome.value}, was=Outcome.PLANNED)
        return []

    def _is_room(self, connection: Connection, others: list[str], missed: Mapping[str, set[str]]) -> bool:
        """Tell whether more profiles may join the plan without more than ``max_profiles`` being deleted."""
        most = self._plan["max_profiles"]
        if most is None:
            return True
        query = select(requests.c.profile_id).where(requests.c.plan_id == self._plan["plan_id"]).distinct()
        listed = {*connection.execute(query).scalars()} - {None} - set(missed)
        if len(listed | set(others)) <= most:
            return True
        log.warning("A moved identifier would have the plan match more than max_profiles=%s profiles: held", most)
        return False


def _without_contradictions(rows: list[OpenRequest], seen: Mapping[str, frozenset[str]]) -> list[OpenRequest]:
    """Leave out rows whose profile a second look, a search by id, does see with what was listed.

    :param seen: the profiles that it sees, each with the fingerprints of what it holds.
    """
    left = [row for row in rows if row.fingerprint not in seen.get(row.profile_id, ())]
    if len(left) < len(rows):
        log.warning("%s looks contradict each other; those requests stay outstanding", len(rows) - len(left))
    return left


def join(
    ledger: Ledger,
    connection: Connection,
    row: OpenRequest,
    profile_ids: list[str],
    *,
    was: Outcome,
    claimed_by: str | None = None,
) -> None:
    """Let profiles take the place of the one that a request was for; they are to be deleted, within a transaction.

    :param was: the outcome of the row so far.
    """
    log.warning("Profile %s is replaced by %s, which holds what was listed", row.profile_id, ", ".join(profile_ids))
    this = (requests.c.plan_id == row.plan_id, requests.c.number == row.number)
    parts = select(func.max(requests.c.part)).where(*this)
    last: int = connection.execute(parts).scalar_one()
    values = {
        "profile_id": profile_ids[0],
        "outcome": Outcome.PLANNED.value,
        "outcome_at": datetime.now(UTC),
        "claimed_by": claimed_by,
        "claimed_at": None,
        "in_doubt": 0,
    }
    moved = (*this, requests.c.part == row.part, requests.c.outcome == was.value)
    if connection.execute(requests.update().where(*moved).values(**values)).rowcount != 1:
        return
    copied = connection.execute(select(requests).where(*this, requests.c.part == row.part)).mappings().one()
    for part, profile_id in enumerate(profile_ids[1:], start=last + 1):
        connection.execute(requests.insert(), {**copied, "part": part, "profile_id": profile_id})
    connection.execute(requests.update().where(*this).values(parts=last + len(profile_ids)))
    ledger.note(connection, row.plan_id, "moved", [(row.number, profile_id) for profile_id in profile_ids])


def _profiles_of(connection: Connection, row: OpenRequest) -> set[str]:
    """Return all profiles that a request was for."""
    query = select(requests.c.profile_id).where(requests.c.plan_id == row.plan_id, requests.c.number == row.number)
    return set(connection.execute(query).scalars())
