"""What of these plans is still there? Asked again and again, and recorded, until nobody is outstanding."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import and_, bindparam, func, or_, select

from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.api.wire import PAGE_SIZE
from airflow_provider_klaviyo.deletion.confirm import created_at, look_by_id, still_there
from airflow_provider_klaviyo.deletion.identifiers import Identifier, Kind
from airflow_provider_klaviyo.deletion.outcomes import Outcome
from airflow_provider_klaviyo.deletion.resolve import resolve
from airflow_provider_klaviyo.ledger.ledger import READY, WITHDRAWN, Ledger
from airflow_provider_klaviyo.ledger.moved import join
from airflow_provider_klaviyo.ledger.rows import OpenRequest, read_open_requests
from airflow_provider_klaviyo.ledger.tables import plans, requests

__all__ = ["LedgerConfirmation", "confirm_leftovers"]

ROWS_AT_ONCE: Final = 5_000
SAMPLE: Final = 100
LEFT_OVER: Final = timedelta(days=1)

log = logging.getLogger(__name__)


def confirm_leftovers(ledger: Ledger, client: KlaviyoClient) -> None:
    """Look once at deletions that no sensor seems to watch any more, and record who is gone.

    Those are the ones requested more than a day ago: their sensor gave up, or there was none, or may not look any more
    because their plan was replaced.
    """
    query = (
        select(requests.c.plan_id)
        .join(plans, plans.c.plan_id == requests.c.plan_id)
        .where(
            requests.c.account_id == ledger.account_id,
            requests.c.outcome == Outcome.REQUESTED.value,
            requests.c.outcome_at < datetime.now(UTC) - LEFT_OVER,
            plans.c.state.in_([READY, WITHDRAWN]),
        )
        .distinct()
    )
    with ledger.database.begin() as connection:
        plan_ids = connection.execute(query).scalars().all()
    if plan_ids:
        confirmation = LedgerConfirmation(ledger, plan_ids, is_checked=True)
        confirmation.look(client)
        log.info("Deletions of more than a day ago: %s profiles are still there", f"{confirmation.outstanding:,}")


class LedgerConfirmation:
    """Watches the requested deletions of some plans, or of one batch, and records who is gone and who came back.

    :param batch: of a single plan; None for all batches.
    :param is_checked: the plans are known to be of this account, and may be replaced ones.
    :raises LedgerSetupError: when this ledger does not know one of the plans, or it may not be worked off.

    `outstanding` is how many profiles were still there at the last look, None before the first. `sample` has at most
    100 of their ids, those requested last: while one of them is there, the plan is not done.
    """

    def __init__(
        self, ledger: Ledger, plan_ids: Sequence[str], batch: int | None = None, *, is_checked: bool = False
    ) -> None:
        self._ledger = ledger
        self._plan_ids = list(dict.fromkeys(plan_ids))
        self._batch = batch
        for plan in map(ledger.open_plan, () if is_checked else self._plan_ids):
            if batch is not None:
                ledger.check_batch(plan, batch)
        self.outstanding: int | None = None
        self.sample = self._requested_last()

    @property
    def since(self) -> datetime | None:
        """When the oldest of the outstanding deletions was requested."""
        query = select(func.min(requests.c.outcome_at)).where(
            requests.c.plan_id.in_(self._plan_ids), *self._is_requested()
        )
        with self._ledger.database.begin() as connection:
            oldest: datetime | None = connection.execute(query).scalar()
        return oldest

    def look(self, client: KlaviyoClient) -> dict[str, int] | None:
        """Ask for what is outstanding; return the counts by outcome once nothing is, and None until then."""
        for page in self._pages():
            self._look_at(page, client)
        self.outstanding, self.sample = self._number(), self._requested_last()
        return self._ledger.counts(self._plan_ids, self._batch) if self.outstanding == 0 else None

    def _number(self) -> int:
        """Return how many profiles are requested and not known to be gone, each counted once."""
        query = select(func.count(requests.c.profile_id.distinct())).where(
            requests.c.plan_id.in_(self._plan_ids), *self._is_requested()
        )
        with self._ledger.database.begin() as connection:
            number: int = connection.execute(query).scalar_one()
        return number

    def _requested_last(self) -> list[str]:
        query = (
            select(requests.c.profile_id)
            .where(requests.c.plan_id.in_(self._plan_ids), *self._is_requested())
            .order_by(requests.c.outcome_at.desc(), requests.c.number.desc())
            .limit(SAMPLE)
        )
        with self._ledger.database.begin() as connection:
            return list(dict.fromkeys(connection.execute(query).scalars()))

    def _pages(self) -> Iterator[list[OpenRequest]]:
        later = or_(
            requests.c.number > bindparam("last_number"),
            and_(requests.c.number == bindparam("last_number"), requests.c.part > bindparam("last_part")),
        )
        for plan_id in self._plan_ids:
            number, part = -1, -1
            while True:
                conditions = (requests.c.plan_id == plan_id, *self._is_requested(), later)
                parameters = {"last_number": number, "last_part": part}
                with self._ledger.database.begin() as connection:
                    page = read_open_requests(self._ledger, connection, conditions, parameters, ROWS_AT_ONCE)
                if not page:
                    break
                number, part = page[-1].number, page[-1].part
                yield page

    def _look_at(self, page: list[OpenRequest], client: KlaviyoClient) -> None:
        """Record who is gone."""
        gone = _gone(page, client)
        holders = self._holders(gone, client)
        own = self._profiles_of([row for row in gone if holders.get(row.identifier)])
        settled: dict[Outcome, list[OpenRequest]] = {Outcome.CONFIRMED: [], Outcome.REAPPEARED: []}
        moved: list[tuple[OpenRequest, list[str]]] = []
        for row in gone:
            held_by = holders.get(row.identifier, {})
            if held_by is None or row.profile_id in held_by:
                continue  # Gone by its id only, which one index of several may say too early.
            others = {one: held_by[one] for one in held_by if one not in own.get((row.plan_id, row.number), ())}
            older = [one for one, created in others.items() if created < row.outcome_at]
            if older:
                moved.append((row, older))
            else:
                settled[Outcome.REAPPEARED if others else Outcome.CONFIRMED].append(row)
        with self._ledger.database.begin() as connection:
            for outcome, rows in settled.items():
                values = {"outcome": outcome.value, "outcome_at": datetime.now(UTC), "identifier": None}
                self._ledger.change(connection, outcome.value, rows, values, was=Outcome.REQUESTED)
            for row, older in moved:
                join(self._ledger, connection, row, older, was=Outcome.REQUESTED)

    def _holders(self, rows: list[OpenRequest], client: KlaviyoClient) -> dict[Identifier, dict[str, datetime] | None]:
        """Return which profiles hold these rows' identifiers now, and since when each is there.

        None where Klaviyo's answer leaves that open.
        """
        identifiers = {row.identifier: None for row in rows if row.identifier.kind is not Kind.ID}
        return {
            one.identifier: None
            if one.outcome is Outcome.HELD
            else {profile.id: created_at(profile) for profile in one.profiles}
            for one in resolve(identifiers, client)
        }

    def _profiles_of(self, rows: list[OpenRequest]) -> dict[tuple[str, int], set[str]]:
        """Return all profiles that each of these requests was for."""
        own: dict[tuple[str, int], set[str]] = {}
        for row in rows:
            query = select(requests.c.profile_id).where(
                requests.c.plan_id == row.plan_id, requests.c.number == row.number
            )
            with self._ledger.database.begin() as connection:
                own[row.plan_id, row.number] = set(connection.execute(query).scalars())
        return own

    def _is_requested(self) -> list[Any]:
        conditions = [
            requests.c.account_id == self._ledger.account_id,
            requests.c.outcome == Outcome.REQUESTED.value,
        ]
        return conditions if self._batch is None else [*conditions, requests.c.batch == self._batch]


def _gone(page: list[OpenRequest], client: KlaviyoClient) -> list[OpenRequest]:
    """Return the requests whose profile is gone: a search by id does not find it, nor does a look by id."""
    ids = list(dict.fromkeys(row.profile_id for row in page))
    hundreds = (ids[start : start + PAGE_SIZE] for start in range(0, len(ids), PAGE_SIZE))
    there = {one for found in client.run_each(map(still_there, hundreds)) for one in found}
    there |= {
        one for one, is_there in client.run_each(map(look_by_id, (one for one in ids if one not in there))) if is_there
    }
    return [row for row in page if row.profile_id not in there]
