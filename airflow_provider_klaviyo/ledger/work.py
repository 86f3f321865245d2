"""A batch as a worker sees it: what is still to be deleted, and each step recorded before and after it is taken."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import func, or_, select
from sqlalchemy.engine import Connection
from sqlalchemy.sql.elements import ColumnElement

from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.api.resources import Profile
from airflow_provider_klaviyo.deletion.meant import fingerprints_of
from airflow_provider_klaviyo.deletion.outcomes import Outcome
from airflow_provider_klaviyo.ledger.errors import SupersededError
from airflow_provider_klaviyo.ledger.ledger import LONGEST_DELETION, READY, BatchReference, Ledger
from airflow_provider_klaviyo.ledger.moved import Moved
from airflow_provider_klaviyo.ledger.tables import OPEN, plans, requests

__all__ = ["LedgerBatch"]

# Longer than a call may wait for better times: a worker that claimed a profile before that is no longer at it.
LONGEST_CLAIM: Final = timedelta(minutes=15)

PLANNED: Final = requests.c.outcome == Outcome.PLANNED.value
MAY_END: Final = or_(PLANNED, requests.c.in_doubt == 1)
WITHDRAWN_UNSENT: Final = {"outcome": Outcome.HELD.value, "identifier": None, "in_doubt": 0}


class LedgerBatch:
    """What is not done of a batch, in any state that a crash may have left it in; the record of a drain.

    To open a batch takes it over from the earlier tries of the same task. One that is still alive, because only its
    scheduler has died, is stopped at its next profile.

    A profile that several plans list is deleted once: the deletion answers every request of the account for an
    identifier that the profile holds.

    :param reference: as an XCom brought it; believed only as far as the ledger bears it out.
    :raises LedgerSetupError: when this ledger knows no such batch, or it may not be worked off.
    """

    def __init__(self, ledger: Ledger, reference: BatchReference) -> None:
        self._ledger = ledger
        self._reference = reference
        plan = ledger.open_plan(reference.plan_id)
        ledger.check_batch(plan, reference.batch)
        # With the plan: another Airflow on the same ledger may have a task of the same name.
        self._tries = f"{ledger.actor} #{reference.plan_id[:8]}-"
        self._me = self._tries + uuid4().hex[:8]
        of_my_tries = func.substr(requests.c.claimed_by, 1, len(self._tries)) == self._tries
        free = (PLANNED, or_(requests.c.claimed_by.is_(None), of_my_tries))
        rows = (
            select(requests.c.profile_id, requests.c.fingerprint)
            .where(*self._of_batch(), PLANNED)
            .order_by(requests.c.due_at, requests.c.number)
        )
        with ledger.database.begin() as connection:
            connection.execute(requests.update().where(*self._of_batch(), *free).values(claimed_by=self._me))
            found = connection.execute(rows).all()
        self._listed: dict[str, set[str]] = {}
        for profile_id, fingerprint in found:
            self._listed.setdefault(profile_id, set()).add(fingerprint)
        self.profile_ids: list[str] = list(self._listed)
        self._in_doubt: set[str] = set()
        self._sent: dict[str, str] = {}
        self._moved = Moved(ledger, plan, self._me)

    @property
    def counts(self) -> dict[str, int]:
        """How many identifiers of the batch have which outcome, as of now."""
        return self._ledger.counts([self._reference.plan_id], self._reference.batch)

    def is_meant(self, profile: Profile) -> bool:
        """Tell whether a profile holds an identifier that the batch lists it by.

        Listed identifiers that it does not hold are kept in mind: `find_again` looks for them elsewhere.
        """
        listed = self._listed.get(profile.id, set())
        elsewhere = listed - fingerprints_of(profile, self._ledger.keys)
        if elsewhere:
            self._moved.add(profile.id, elsewhere)
        return elsewhere != listed

    def begin(self, profile: Profile) -> bool:
        """Record that a profile is about to be deleted; tell whether it is ours to delete.

        It is not when the plan may not be worked off any more, when the profile holds nothing of what the plan lists,
        when another worker is at it, or was quicker.

        :param profile: as it was just looked up by its id.
        :raises SupersededError: when a later try of the same task has taken the batch over.
        """
        held = fingerprints_of(profile, self._ledger.keys)
        with self._looked_at(profile.id) as (connection, now, found):
            rows = [row for row in found if row.fingerprint in held]
            if not any(row.plan_id == self._reference.plan_id and row.is_planned for row in rows):
                return False
            if any(row.is_accepted(now) for row in rows):
                self._answer(connection, profile.id)
                return False
            if self._is_under_way(rows, now):
                return False
            if any(row.is_planned and row.claimed_at is not None for row in rows):
                self._in_doubt.add(profile.id)
            claimed = (*self._of_profile(profile.id), PLANNED, requests.c.fingerprint.in_(held))
            connection.execute(requests.update().where(*claimed).values(claimed_by=self._me, claimed_at=now))
            self._ledger.note(connection, self._reference.plan_id, "asked", [(None, profile.id)])
        self._sent.update(dict.fromkeys(held, profile.id))
        return True

    def end(self, profile_id: str, outcome: Outcome, *, in_doubt: bool = False) -> None:
        """Record what became of the deletion, for every plan that it answers, also one withdrawn meanwhile."""
        if profile_id in self._in_doubt and outcome is not Outcome.REQUESTED:
            outcome, in_doubt = Outcome.REQUESTED, True  # An earlier try may have had it deleted.
        values: dict[str, Any] = {"outcome": outcome.value, "outcome_at": _now(), "in_doubt": int(in_doubt)}
        if outcome is not Outcome.REQUESTED:
            values["identifier"] = None
        sent = (requests.c.claimed_by == self._me, requests.c.claimed_at.is_not(None))
        claimed = (*self._of_profile(profile_id), MAY_END, *sent)
        with self._ledger.database.begin() as connection:
            answered = connection.execute(select(requests.c.plan_id).where(*claimed).distinct()).scalars()
            plan_ids = sorted({*answered, self._reference.plan_id})
            connection.execute(requests.update().where(*claimed).values(**values))
            for plan_id in plan_ids:
                self._ledger.note(connection, plan_id, outcome.value, [(None, profile_id)])

    def give_back(self, profile_id: str) -> None:
        """Let go of a profile that Klaviyo would not delete; not of one that an earlier try may have had deleted."""
        if profile_id in self._in_doubt:
            return
        mine = (*self._of_profile(profile_id), requests.c.claimed_by == self._me)
        with self._ledger.database.begin() as connection:
            connection.execute(requests.update().where(*mine, PLANNED).values(claimed_at=None))
            unsent = requests.update().where(*mine, requests.c.in_doubt == 1)
            connection.execute(unsent.values(outcome_at=_now(), **WITHDRAWN_UNSENT))

    def miss(self, profile_id: str, *, is_there: bool) -> None:
        """Record that a profile is gone, or is there and holds nothing that is listed.

        If it is gone, and another plan had it deleted, it is ``requested``, and so confirmed. If not, `find_again`
        looks for the person.
        """
        with self._looked_at(profile_id) as (connection, now, rows):
            if not any(row.plan_id == self._reference.plan_id and row.is_planned for row in rows):
                return
            if self._is_under_way(rows, now):
                return
            if not is_there and any(row.is_accepted(now) for row in rows):
                self._answer(connection, profile_id)
                return
            of_plan = (*self._of_profile(profile_id), requests.c.plan_id == self._reference.plan_id, PLANNED)
            connection.execute(requests.update().where(*of_plan).values(claimed_by=self._me))
        self._moved.add(profile_id, self._listed[profile_id])

    def find_again(self, client: KlaviyoClient) -> Sequence[str]:
        """Look for the people whose profiles were missed, and settle them; return the profiles that join the batch."""
        joined = self._moved.settle(client, self._sent)
        for profile_id, fingerprints in joined.items():
            self._listed.setdefault(profile_id, set()).update(fingerprints)
        return list(joined)

    @contextmanager
    def _looked_at(self, profile_id: str) -> Iterator[tuple[Connection, datetime, list[_Row]]]:
        """Give what the ledger has of a profile that is not final, while nobody else changes it; and the time.

        There are no rows if the plan may not be worked off any more.
        """
        database = self._ledger.database
        columns = (
            requests.c.plan_id,
            requests.c.batch,
            requests.c.fingerprint,
            requests.c.outcome,
            requests.c.outcome_at,
            requests.c.in_doubt,
            requests.c.claimed_by,
            requests.c.claimed_at,
        )
        query = select(*columns).where(*self._of_profile(profile_id), requests.c.outcome.in_(OPEN))
        state = select(plans.c.state).where(plans.c.plan_id == self._reference.plan_id)
        with database.begin() as connection:
            database.lock(connection, f"{self._ledger.account_id} {profile_id}")
            # By the database's clock, which is the same for all: a worker's may be ahead for ever.
            now = datetime.fromtimestamp(database.seconds(connection), UTC)
            rows = [_Row(*row) for row in connection.execute(query)]
            self._check_not_superseded(rows)
            yield connection, now, rows if connection.execute(state).scalar() == READY else []

    def _check_not_superseded(self, rows: Sequence[_Row]) -> None:
        for row in rows:
            is_of_batch = (row.plan_id, row.batch) == (self._reference.plan_id, self._reference.batch)
            is_of_task = row.claimed_by is not None and row.claimed_by.startswith(self._tries)
            if row.is_planned and is_of_batch and is_of_task and row.claimed_by != self._me:
                raise SupersededError(
                    f"another try of this task works on batch {self._reference.batch} of plan "
                    f"{self._reference.plan_id} by now, so this one stops; nothing is lost"
                )

    def _is_under_way(self, rows: Sequence[_Row], now: datetime) -> bool:
        """Tell whether another worker is at it. A claim in the future was made by a clock that has been put right."""
        return any(
            row.is_planned
            and row.claimed_at is not None
            and abs(now - row.claimed_at) <= LONGEST_CLAIM
            and not (row.claimed_by or "").startswith(self._tries)
            for row in rows
        )

    def _answer(self, connection: Connection, profile_id: str) -> None:
        """Record that a deletion that was requested before answers this plan's requests too."""
        of_plan = (*self._of_profile(profile_id), requests.c.plan_id == self._reference.plan_id, PLANNED)
        values = {"outcome": Outcome.REQUESTED.value, "outcome_at": _now()}
        connection.execute(requests.update().where(*of_plan).values(**values))
        self._ledger.note(connection, self._reference.plan_id, Outcome.REQUESTED.value, [(None, profile_id)])

    def _of_profile(self, profile_id: str) -> tuple[ColumnElement[bool], ...]:
        return (requests.c.account_id == self._ledger.account_id, requests.c.profile_id == profile_id)

    def _of_batch(self) -> tuple[ColumnElement[bool], ...]:
        return (
            requests.c.account_id == self._ledger.account_id,
            requests.c.plan_id == self._reference.plan_id,
            requests.c.batch == self._reference.batch,
        )


@dataclass(frozen=True, slots=True)
class _Row:
    """A request for a profile that is not final."""

    plan_id: str
    batch: int | None
    fingerprint: str
    outcome: str
    outcome_at: datetime
    in_doubt: int
    claimed_by: str | None
    claimed_at: datetime | None

    @property
    def is_planned(self) -> bool:
        """Whether its deletion is still to be requested."""
        return self.outcome == Outcome.PLANNED

    def is_accepted(self, now: datetime) -> bool:
        """Tell whether Klaviyo has accepted its deletion, and not so long ago that it is requested again."""
        is_requested = self.outcome == Outcome.REQUESTED and not self.in_doubt
        return is_requested and now - self.outcome_at < LONGEST_DELETION


def _now() -> datetime:
    return datetime.now(UTC)
