"""The rows of a list as they stream into a plan: told apart, compared with the record, and written when looked up."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final, NamedTuple, NoReturn

from sqlalchemy import select
from sqlalchemy.engine import Connection

from airflow_provider_klaviyo.deletion.dates import is_missing
from airflow_provider_klaviyo.deletion.entries import Entry
from airflow_provider_klaviyo.deletion.identifiers import Identifier, InvalidIdentifierError
from airflow_provider_klaviyo.deletion.invalid_rows import InvalidRows
from airflow_provider_klaviyo.deletion.outcomes import Outcome
from airflow_provider_klaviyo.deletion.request_ids import RequestIdError, read_request_id
from airflow_provider_klaviyo.deletion.resolve import Resolved
from airflow_provider_klaviyo.deletion.row_warnings import RowWarnings
from airflow_provider_klaviyo.deletion.terms import Terms, TermsError, read_terms
from airflow_provider_klaviyo.deletion.wrong_dates import WrongDates
from airflow_provider_klaviyo.ledger.contents import Contents, read_entry
from airflow_provider_klaviyo.ledger.database import any_of
from airflow_provider_klaviyo.ledger.errors import LedgerSetupError
from airflow_provider_klaviyo.ledger.ledger import AGAIN, HELD, LONGEST_DELETION, REGISTERING, Ledger
from airflow_provider_klaviyo.ledger.tables import plans, requests

__all__ = ["Registration", "given_up"]

ROWS_AT_ONCE: Final = 1_000
GONE: Final = (Outcome.ABSENT, Outcome.CONFIRMED)
SETTLED: Final = (Outcome.CONFIRMED, Outcome.REAPPEARED, Outcome.ABSENT, Outcome.REQUESTED)

log = logging.getLogger(__name__)


class _Row(NamedTuple):
    """A row of the source that is waiting for what the look-up says."""

    number: int
    fingerprint: str
    request_id: str | None
    terms: Terms
    settled_as: frozenset[Outcome] = frozenset()


class _Record(NamedTuple):
    """What the ledger knows of a fingerprint already."""

    plan_id: str
    request_id: str | None
    outcome: Outcome
    outcome_at: datetime
    received_at: datetime
    in_doubt: int


@dataclass(slots=True)
class Registration:
    """Takes rows in, and puts them into the ledger when it is known what they come to.

    :param plans_leftovers: whether people whom another plan has planned, and not done, are planned here too.
    :param invalid: the rows that cannot be an identifier.
    :param dates: when rows were received, as far as they say so.
    :param again: how many identifiers are invalid, refused or held as in an earlier plan, which has their rows.
    :param waiting: rows of each identifier that is being looked up.
    :param unsaved: fingerprints of rows that are not in the ledger yet, with the source's own request ids.
    :param rows: to be written next.
    """

    ledger: Ledger
    plan_id: str
    regulation: str
    now: datetime
    plans_leftovers: bool = True
    invalid: InvalidRows = field(default_factory=InvalidRows, repr=False)
    dates: WrongDates = field(default_factory=WrongDates, repr=False)
    listed: int = 0
    duplicates: int = 0
    known: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    again: Counter[Outcome] = field(default_factory=Counter)
    waiting: dict[Identifier, list[_Row]] = field(default_factory=dict, repr=False)
    unsaved: dict[str, list[str | None]] = field(default_factory=dict, repr=False)
    rows: list[dict[str, Any]] = field(default_factory=list, repr=False)
    contents: Contents = field(default_factory=Contents)
    usual_terms: Terms = field(init=False)
    states: dict[str, str | None] = field(init=False)
    _invalid_rows: RowWarnings = field(default_factory=lambda: RowWarnings(log), repr=False)
    _doubtful_rows: RowWarnings = field(default_factory=lambda: RowWarnings(log), repr=False)

    def __post_init__(self) -> None:
        self.states = {self.plan_id: REGISTERING}
        self.usual_terms = read_terms(None, None, self.now, self.regulation)

    def identifiers(self, entries: Iterable[Entry]) -> Iterator[Identifier]:
        """Read rows and yield whom to look up; what is known already, or names nobody, is settled here.

        :raises InvalidListError: at the end, if too many rows name nobody, or have dates that are not understood.
        """
        remaining = iter(entries)
        while chunk := list(islice(remaining, ROWS_AT_ONCE)):
            self.flush()  # Only here: a row that is written while a chunk is compared would be in neither place.
            readings = [read_entry(entry, self.ledger.keys) for entry in chunk]
            records = self._records([one for _, fingerprints in readings for one in fingerprints])
            for entry, (reading, fingerprints) in zip(chunk, readings, strict=True):
                self.listed += 1
                self.contents.add(fingerprints[0])
                if isinstance(reading, InvalidIdentifierError):
                    self.invalid.add(self.listed, entry.value, reading)
                found = [record for one in fingerprints for record in records.get(one, ())]
                row = self._new(entry, fingerprints[0], found)
                if row is None:
                    continue
                if isinstance(reading, InvalidIdentifierError):
                    self._settle_invalid(row, reading)
                elif self._is_first(row, reading):
                    yield reading
        self.invalid.check(self.listed)
        self.dates.check()

    def settle(self, resolved: Resolved) -> None:
        """Register what an identifier comes to."""
        for row in self.waiting.pop(resolved.identifier):
            self._settle(row, resolved.outcome, resolved.identifier, [one.id for one in resolved.profiles])

    def is_absence_known(self, identifier: Identifier) -> bool:
        """Tell whether an earlier plan has found the same person absent, or gone, so that one more look agrees."""
        return all(not row.settled_as.isdisjoint(GONE) for row in self.waiting.get(identifier, ()))

    def flush(self) -> None:
        """Write the rows that have come together.

        :raises LedgerSetupError: when another try has put this plan away meanwhile.
        """
        if not self.rows:
            return
        with self.ledger.database.begin() as connection:
            alive = plans.update().where(plans.c.plan_id == self.plan_id, plans.c.state == REGISTERING)
            if connection.execute(alive.values(touched_at=datetime.now(UTC))).rowcount != 1:
                given_up(self.plan_id)
            # Those of one outcome have most columns in common.
            for outcome in {row["outcome"]: None for row in self.rows}:
                alike = [row for row in self.rows if row["outcome"] == outcome]
                self.ledger.database.insert(connection, requests, alike)
        for row in self.rows:
            if row["part"] == 0:
                self._saved(row["fingerprint"], row["request_id"])
        self.rows.clear()

    def _records(self, fingerprints: list[str]) -> dict[str, list[_Record]]:
        """Return what the ledger has of these fingerprints, in plans that count and in this one.

        Asked by the fingerprint alone: a condition more, and a database may well choose the wrong index.
        """
        is_any, parameters = any_of(self.ledger.database, requests.c.fingerprint, fingerprints)
        columns = (
            requests.c.plan_id,
            requests.c.request_id,
            requests.c.outcome,
            requests.c.outcome_at,
            requests.c.received_at,
            requests.c.in_doubt,
        )
        query = select(requests.c.fingerprint, *columns).where(is_any)
        with self.ledger.database.begin() as connection:
            found = connection.execute(query, parameters).all()
            self._learn_of_plans({row.plan_id for row in found} - set(self.states), connection)
        records: dict[str, list[_Record]] = {}
        for fingerprint, plan_id, request_id, outcome, at, received_at, in_doubt in found:
            if self.states[plan_id] is not None:
                record = _Record(plan_id, request_id, Outcome(outcome), at, received_at, in_doubt)
                records.setdefault(fingerprint, []).append(record)
        return records

    def _learn_of_plans(self, plan_ids: set[str], connection: Connection) -> None:
        """Note the states of these plans; None for those of another account, and for those that are being made."""
        if plan_ids:
            of_account = (plans.c.account_id == self.ledger.account_id, plans.c.state != REGISTERING)
            query = select(plans.c.plan_id, plans.c.state).where(plans.c.plan_id.in_(plan_ids), *of_account)
            self.states |= dict.fromkeys(plan_ids)
            self.states |= {row.plan_id: row.state for row in connection.execute(query)}

    def _new(self, entry: Entry, fingerprint: str, records: list[_Record]) -> _Row | None:
        """Return a row that is to be worked on; None for one that is listed twice, or is in work already."""
        request_id, terms = self._terms(entry)
        if not records and fingerprint not in self.unsaved:
            self.unsaved[fingerprint] = [request_id]
            return _Row(self.listed, fingerprint, request_id, terms)
        listed = [*self.unsaved.get(fingerprint, ())]
        listed += [record.request_id for record in records if record.plan_id == self.plan_id]
        if listed and (request_id is None or request_id in listed):
            self.duplicates += 1
            return None
        same = [
            record
            for record in records
            if record.plan_id != self.plan_id and (request_id is None or record.request_id == request_id)
        ]
        counting = [record for record in same if self.states[record.plan_id] != HELD]
        if any(map(self._is_in_work, counting)):
            self.known += 1
            return None
        self.unsaved.setdefault(fingerprint, []).append(request_id)
        if entry.received_at is None:
            terms = self._inherited(terms, entry, same)
        return _Row(self.listed, fingerprint, request_id, terms, frozenset(record.outcome for record in counting))

    def _is_in_work(self, record: _Record) -> bool:
        if record.outcome is Outcome.PLANNED:
            return not self.plans_leftovers
        is_recent = self.now - record.outcome_at < LONGEST_DELETION
        return record.outcome is Outcome.REQUESTED and is_recent and not record.in_doubt

    def _inherited(self, terms: Terms, entry: Entry, records: Iterable[_Record]) -> Terms:
        """Return terms that count from when an open request was first planned, where the source names no date."""
        received = [record.received_at for record in records if record.outcome is Outcome.PLANNED]
        if not received or min(received) >= terms.received_at:
            return terms
        return read_terms(min(received), terms.regulation, self.now, self.regulation)

    def _settle_invalid(self, row: _Row, reason: InvalidIdentifierError) -> None:
        self._invalid_rows.add(row.number, f"cannot be an identifier and is recorded as invalid: {reason}")
        self._settle(row, Outcome.INVALID, None, [])

    def _is_first(self, row: _Row, identifier: Identifier) -> bool:
        """Let a row wait for its look-up; tell whether none that names the same person is waiting already."""
        rows = self.waiting.setdefault(identifier, [])
        rows.append(row)
        return len(rows) == 1

    def _terms(self, entry: Entry) -> tuple[str | None, Terms]:
        """Return the source's own request id, and by when the row is due. What cannot be understood is left out."""
        if entry.request_id is None and entry.received_at is None and entry.regulation is None:
            return None, self.usual_terms
        request_id, received_at, regulation = map(_stated, entry[2:])
        doubts = []
        try:
            request_id = read_request_id(request_id)
        except RequestIdError as error:
            doubts.append(f"it has no request id: {error}")
            request_id = None
        try:
            read_terms(received_at, None, self.now, self.regulation)
        except TermsError as error:
            doubts.append(f"it counts as received now: {error}")
            self.dates.add(self.listed, is_wrong=True)
            received_at = None
        else:
            if not is_missing(received_at):
                self.dates.add(self.listed, is_wrong=False)
        try:
            read_terms(None, regulation, self.now, self.regulation)
        except TermsError as error:
            doubts.append(f"it falls under {self.regulation}: {error}")
            regulation = None
        if doubts:
            self._doubtful_rows.add(self.listed, f"is not understood in full; {'; '.join(doubts)}")
        return request_id, read_terms(received_at, regulation, self.now, self.regulation)

    def _settle(self, row: _Row, outcome: Outcome, identifier: Identifier | None, profile_ids: list[str]) -> None:
        was_gone = outcome is Outcome.ABSENT and not row.settled_as.isdisjoint(SETTLED)
        if was_gone or (outcome in row.settled_as and outcome is not Outcome.PLANNED):
            if outcome in AGAIN:
                self.again[outcome] += 1
            else:
                self.known += 1
            self._saved(row.fingerprint, row.request_id)
            return
        self.outcomes[outcome] += 1
        row_of_request = {
            "plan_id": self.plan_id,
            "number": row.number,
            "part": 0,
            "parts": max(1, len(profile_ids)),
            "account_id": self.ledger.account_id,
            "kind": identifier.kind.value if identifier is not None else None,
            "fingerprint": row.fingerprint,
            "key_id": self.ledger.key_id,
            "identifier": self._sealed(identifier, row.fingerprint) if outcome is Outcome.PLANNED else None,
            "request_id": row.request_id,
            "received_at": row.terms.received_at,
            "regulation": row.terms.regulation,
            "due_at": row.terms.due_at,
            "outcome": outcome.value,
            "outcome_at": self.now,
            "profile_id": profile_ids[0] if profile_ids else None,
        }
        self.rows.append(row_of_request)
        for part, profile_id in enumerate(profile_ids[1:], start=1):
            self.rows.append(row_of_request | {"part": part, "profile_id": profile_id})

    def _sealed(self, identifier: Identifier | None, fingerprint: str) -> str | None:
        return None if identifier is None else self.ledger.sealer.seal(identifier.listed, fingerprint)

    def _saved(self, fingerprint: str, request_id: str | None) -> None:
        """Forget a row that the ledger knows now."""
        self.unsaved[fingerprint].remove(request_id)
        if not self.unsaved[fingerprint]:
            del self.unsaved[fingerprint]


def given_up(plan_id: str) -> NoReturn:
    """Refuse to go on with a plan that was put away.

    :raises LedgerSetupError: always.
    """
    raise LedgerSetupError(f"plan {plan_id} was given up meanwhile, by another try of this task")


def _stated(value: object) -> object:
    """Return what a row says; None for an empty text, which is how a CSV file says nothing."""
    return None if isinstance(value, str) and not value.strip() else value
