"""A batch as a worker sees it: what is still to be deleted, and each step recorded before and after it is taken."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import and_, func, or_, select
from sqlalchemy.sql.elements import ColumnElement

from airflow_provider_klaviyo.deletion.outcomes import Outcome
from airflow_provider_klaviyo.ledger.errors import SupersededError
from airflow_provider_klaviyo.ledger.ledger import BatchReference, Ledger
from airflow_provider_klaviyo.ledger.tables import requests

__all__ = ["LedgerBatch"]

# Longer than a call may wait for better times: whoever claimed a profile before that is no longer at it.
LONGEST_CLAIM: Final = timedelta(minutes=15)


class LedgerBatch:
    """What is not done of a batch, in any state that a crash may have left it in; the record of a drain.

    Whoever opens a batch takes over from the earlier tries of the same task. One that is still alive, because only its
    scheduler has died, is stopped at its next profile.

    :param reference: as an XCom brought it; believed only as far as the ledger bears it out.
    :raises LedgerSetupError: when this ledger knows no such batch, or it may not be worked off.
    """

    def __init__(self, ledger: Ledger, reference: BatchReference) -> None:
        self._ledger = ledger
        self._reference = reference
        plan = ledger.open_plan(reference.plan_id)
        ledger.check_batch(plan, reference.batch)
        query = (
            select(requests.c.profile_id)
            .where(*self._of_batch(), requests.c.outcome == Outcome.PLANNED.value)
            .group_by(requests.c.profile_id)
            .order_by(func.min(requests.c.due_at), func.min(requests.c.number))
        )
        tries = f"{ledger.actor} #"
        self._me = tries + uuid4().hex[:8]
        self._is_of_my_tries = func.substr(requests.c.claimed_by, 1, len(tries)) == tries
        mine = (requests.c.outcome == Outcome.PLANNED.value, or_(requests.c.claimed_by.is_(None), self._is_of_my_tries))
        with ledger.database.begin() as connection:
            connection.execute(requests.update().where(*self._of_batch(), *mine).values(claimed_by=self._me))
            self.profile_ids: list[str] = list(connection.execute(query).scalars())
        self._in_doubt: set[str] = set()

    @property
    def counts(self) -> dict[str, int]:
        """How many identifiers of the batch have which outcome, as of now."""
        return self._ledger.counts([self._reference.plan_id], self._reference.batch)

    def begin(self, profile_id: str) -> bool:
        """Record that a profile is about to be deleted; tell whether it is ours to delete.

        It is not when another worker is at it, or was quicker.

        :raises SupersededError: when a later try of the same task has taken the batch over.
        """
        ledger = self._ledger
        earlier = select(func.max(requests.c.claimed_at)).where(*self._planned(profile_id))
        superseded = select(func.count()).where(
            *self._planned(profile_id), self._is_of_my_tries, requests.c.claimed_by != self._me
        )
        with ledger.database.begin() as connection:
            # By the database's clock, which is the same for all: a worker's may be ahead for ever.
            now = datetime.fromtimestamp(ledger.database.seconds(connection), UTC)
            is_given_up = or_(
                requests.c.claimed_at.is_(None),
                requests.c.claimed_at < now - LONGEST_CLAIM,
                requests.c.claimed_at > now + LONGEST_CLAIM,
            )
            free = or_(
                requests.c.claimed_by.is_(None),
                requests.c.claimed_by == self._me,
                and_(~self._is_of_my_tries, is_given_up),
            )
            claim = requests.update().where(*self._planned(profile_id), free)
            if connection.execute(earlier).scalar() is not None:
                self._in_doubt.add(profile_id)
            is_ours = connection.execute(claim.values(claimed_by=self._me, claimed_at=now)).rowcount > 0
            if is_ours:
                ledger.note(connection, self._reference.plan_id, "asked", [(None, profile_id)])
            elif connection.execute(superseded).scalar_one():
                raise SupersededError(
                    f"another try of this task works on batch {self._reference.batch} of plan "
                    f"{self._reference.plan_id} by now, so this one stops; nothing is lost"
                )
        return is_ours

    def end(self, profile_id: str, outcome: Outcome) -> None:
        """Record what became of the deletion, also if the plan was withdrawn while the call was under way.

        Who is not there after an earlier try was deleted by that one.
        """
        if outcome is Outcome.ABSENT and profile_id in self._in_doubt:
            outcome = Outcome.REQUESTED
        values: dict[str, Any] = {"outcome": outcome.value, "outcome_at": datetime.now(UTC)}
        if outcome is not Outcome.REQUESTED:
            values["identifier"] = None
        with self._ledger.database.begin() as connection:
            connection.execute(requests.update().where(*self._claimed(profile_id)).values(**values))
            self._ledger.note(connection, self._reference.plan_id, outcome.value, [(None, profile_id)])

    def give_back(self, profile_id: str) -> None:
        """Let go of a profile that Klaviyo would not delete; not of one that an earlier try may have had deleted."""
        if profile_id in self._in_doubt:
            return
        mine = requests.update().where(*self._planned(profile_id), requests.c.claimed_by == self._me)
        with self._ledger.database.begin() as connection:
            connection.execute(mine.values(claimed_at=None))

    def _of_batch(self) -> tuple[ColumnElement[bool], ...]:
        return (
            requests.c.account_id == self._ledger.account_id,
            requests.c.plan_id == self._reference.plan_id,
            requests.c.batch == self._reference.batch,
        )

    def _planned(self, profile_id: str) -> tuple[ColumnElement[bool], ...]:
        return (*self._for(profile_id), requests.c.outcome == Outcome.PLANNED.value)

    def _claimed(self, profile_id: str) -> tuple[ColumnElement[bool], ...]:
        may_end = requests.c.outcome.in_([Outcome.PLANNED.value, Outcome.HELD.value])
        return (*self._for(profile_id), may_end, requests.c.claimed_by == self._me)

    def _for(self, profile_id: str) -> tuple[ColumnElement[bool], ...]:
        return (requests.c.plan_id == self._reference.plan_id, requests.c.profile_id == profile_id)
