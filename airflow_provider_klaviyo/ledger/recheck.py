"""Look again, weeks later, for people who were erased: a shop's sync or a form may have brought them back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final, NamedTuple

from sqlalchemy import select

from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.deletion.entries import Entry
from airflow_provider_klaviyo.deletion.identifiers import Identifier, InvalidIdentifierError, Kind
from airflow_provider_klaviyo.deletion.invalid_rows import InvalidRows
from airflow_provider_klaviyo.deletion.outcomes import Outcome
from airflow_provider_klaviyo.deletion.resolve import Resolved, resolve
from airflow_provider_klaviyo.ledger.database import any_of
from airflow_provider_klaviyo.ledger.ledger import Ledger
from airflow_provider_klaviyo.ledger.tables import requests

__all__ = ["recheck"]

ROWS_AT_ONCE: Final = 1_000


def recheck(
    entries: Iterable[Entry],
    client: KlaviyoClient,
    ledger: Ledger,
    after: Sequence[timedelta],
    max_invalid: float | None = 1.0,
) -> dict[str, int]:
    """Look up who is listed and was confirmed gone at least so long ago, and record who came back.

    The ledger no longer has the identifiers, so that they must come from the source once more.

    :param after: each time span from the confirmation after which everybody is looked up once.
    :param max_invalid: the share of rows that may be invalid, as for `InvalidRows`.
    :returns: ``listed`` rows; how many erased people were looked up, ``rechecked``; and how many ``reappeared``.
    """
    invalid = InvalidRows(max_invalid, "Not everyone was looked up")
    check = _Recheck(ledger, tuple(after), datetime.now(UTC), invalid)
    for resolved in resolve(check.due(entries), client):
        check.settle(resolved)
    check.flush()
    return {"listed": check.listed, "rechecked": check.rechecked, "reappeared": check.reappeared}


class _Erased(NamedTuple):
    """A request that was confirmed, and what looking again has brought."""

    plan_id: str
    number: int
    part: int
    profile_id: str
    event: str = ""


@dataclass(slots=True)
class _Recheck:
    ledger: Ledger
    after: tuple[timedelta, ...]
    now: datetime
    invalid: InvalidRows
    listed: int = 0
    rechecked: int = 0
    reappeared: int = 0
    waiting: dict[Identifier, list[_Erased]] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)
    rows: list[_Erased] = field(default_factory=list)

    def due(self, entries: Iterable[Entry]) -> Iterator[Identifier]:
        """Read rows and yield who is to be looked up."""
        remaining = iter(entries)
        while chunk := list(islice(remaining, ROWS_AT_ONCE)):
            by_fingerprint = dict(self._fingerprints(chunk))
            for fingerprint, row in self._erased(list(by_fingerprint)):
                identifier = by_fingerprint[fingerprint]
                rows = self.waiting.setdefault(identifier, [])
                rows.append(row)
                if len(rows) == 1:
                    yield identifier
        self.invalid.check(self.listed)

    def settle(self, resolved: Resolved) -> None:
        """Record what became of someone; an answer that leaves it open is not recorded, and asked for again."""
        rows = self.waiting.pop(resolved.identifier)
        if resolved.outcome in (Outcome.HELD, Outcome.REFUSED):
            return
        is_back = resolved.outcome is Outcome.PLANNED
        self.rows.extend(row._replace(event="reappeared" if is_back else "rechecked") for row in rows)
        self.rechecked += 1
        self.reappeared += is_back
        if len(self.rows) >= ROWS_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Write what has come together."""
        if not self.rows:
            return
        rechecked = {"checked_at": self.now}
        is_back = rechecked | {"outcome": Outcome.REAPPEARED.value, "outcome_at": self.now}
        with self.ledger.database.begin() as connection:
            for event, values in (("rechecked", rechecked), ("reappeared", is_back)):
                rows = [row for row in self.rows if row.event == event]
                self.ledger.change(connection, event, rows, values, was=Outcome.CONFIRMED)
        self.rows.clear()

    def _fingerprints(self, entries: Sequence[Entry]) -> Iterator[tuple[str, Identifier]]:
        for entry in entries:
            self.listed += 1
            try:
                identifier = entry.identifier()
            except InvalidIdentifierError as error:
                self.invalid.add(self.listed, entry.value, error)
                continue  # It was recorded by the plan.
            if identifier.kind is not Kind.ID:
                for fingerprint in self.ledger.keys.all_of(identifier):
                    yield fingerprint, identifier

    def _erased(self, fingerprints: list[str]) -> Iterator[tuple[str, _Erased]]:
        is_any, parameters = any_of(self.ledger.database, requests.c.fingerprint, fingerprints)
        query = select(
            requests.c.fingerprint,
            requests.c.plan_id,
            requests.c.number,
            requests.c.part,
            requests.c.profile_id,
            requests.c.outcome_at,
            requests.c.checked_at,
        ).where(requests.c.account_id == self.ledger.account_id, is_any, requests.c.outcome == Outcome.CONFIRMED.value)
        with self.ledger.database.begin() as connection:
            found = connection.execute(query, parameters).all()
        fresh = [row for row in found if row.fingerprint not in self.done]
        self.done.update(row.fingerprint for row in fresh)
        for fingerprint, plan_id, number, part, profile_id, confirmed_at, checked_at in fresh:
            if self._is_due(confirmed_at, checked_at):
                yield fingerprint, _Erased(plan_id, number, part, profile_id)

    def _is_due(self, confirmed_at: datetime, checked_at: datetime | None) -> bool:
        times = (confirmed_at + after for after in self.after)
        return any(time <= self.now and (checked_at is None or checked_at < time) for time in times)
