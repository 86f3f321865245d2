"""A ledger opened for one Klaviyo account: plans, batch references, and the steps of each request."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol, Self

from sqlalchemy import bindparam, case, func, select
from sqlalchemy.engine import Connection
from sqlalchemy.sql.elements import ColumnElement

from airflow_provider_klaviyo.deletion.fingerprints import FingerprintKeys
from airflow_provider_klaviyo.deletion.outcomes import Outcome, overall
from airflow_provider_klaviyo.ledger.database import Database
from airflow_provider_klaviyo.ledger.errors import HeldPlanError, LedgerSetupError
from airflow_provider_klaviyo.ledger.paces import LedgerPaces
from airflow_provider_klaviyo.ledger.sealing import Sealer
from airflow_provider_klaviyo.ledger.tables import accounts, events, plans, requests

__all__ = [
    "AGAIN",
    "HELD",
    "LONGEST_DELETION",
    "READY",
    "REGISTERING",
    "WITHDRAWN",
    "BatchReference",
    "Ledger",
    "LeftOver",
    "RequestRow",
    "plan_ids_of",
]

REGISTERING: Final = "registering"
HELD: Final = "held"
READY: Final = "ready"
WITHDRAWN: Final = "withdrawn"
# A deletion that Klaviyo has accepted so long ago and not carried out is requested again.
LONGEST_DELETION: Final = timedelta(days=14)
AGAIN: Final = (Outcome.INVALID, Outcome.REFUSED, Outcome.HELD)
log = logging.getLogger(__name__)

FORM_OF_PLAN_ID: Final = re.compile("[0-9a-f]{32}")


class RequestRow(Protocol):
    """A row of requests, as far as it takes to find it again: one profile of one request."""

    @property
    def plan_id(self) -> str: ...  # noqa: D102
    @property
    def number(self) -> int: ...  # noqa: D102
    @property
    def part(self) -> int: ...  # noqa: D102
    @property
    def profile_id(self) -> str: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class BatchReference:
    """Names a batch of a plan. Nothing personal, so that it may go through an XCom.

    :param batch: counted from 0.
    :param size: profiles to delete.
    """

    plan_id: str
    batch: int
    size: int

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"plan_id": self.plan_id, "batch": self.batch, "size": self.size}

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Read what `to_json` gave.

        :raises LedgerSetupError: for anything else.
        """
        match value:
            case {"plan_id": str(plan_id), "batch": int(batch), "size": int(size)} if (
                len(value) == 3 and bool not in (type(batch), type(size)) and min(batch, size) >= 0
            ):
                return cls(plan_id, batch, size)
        if isinstance(value, list):
            raise LedgerSetupError(
                "a batch must be one of the references that a DeletionPlanOperator returns, not a list of them: write "
                "….expand(batch=plan.output), and do not map the plan's task"
            )
        raise LedgerSetupError(
            "a batch must be one of the references that a DeletionPlanOperator returns: write "
            "ProfileDeletionOperator.partial(…).expand(batch=plan.output)"
        )


@dataclass(frozen=True, slots=True)
class LeftOver:
    """What plans have left to be deleted.

    :param profiles: that are still to be deleted.
    :param people: identifiers that they are listed by.
    :param listed: of these, so many are listed in the plan that is compared with them.
    """

    profiles: int
    people: int
    listed: int


def plan_ids_of(plan: Any) -> list[str]:
    """Return the plans that a task is to work on.

    :param plan: a ``plan_id``; or what a `DeletionPlanOperator` has returned, or has pushed as the XCom ``plan``.
    :raises LedgerSetupError: for anything else.
    """
    match plan:
        case str(plan_id) | {"plan_id": str(plan_id)}:
            return [plan_id]
    if isinstance(plan, Mapping) or not isinstance(plan, Iterable):
        raise LedgerSetupError("plan must be what a DeletionPlanOperator has returned (plan.output), or a plan_id")
    return list(dict.fromkeys(BatchReference.from_json(reference).plan_id for reference in plan))


class Ledger:
    """The record of one Klaviyo account.

    :param database: that keeps it.
    :param account_id: of the account. A plan of another account is not known here.
    :param keys: to make fingerprints with.
    :param actor: who does what is recorded: the task.
    :raises LedgerSetupError: when the records of this account were made with a key that is not among these.
    """

    def __init__(self, database: Database, account_id: str, keys: FingerprintKeys, actor: str) -> None:
        self.database = database
        self.account_id = account_id
        self.keys = keys
        self.key_id = keys.ids[0]
        self.sealer = Sealer(keys)
        self.actor = actor[:1_000]
        self.paces = LedgerPaces(database)
        self._check_key()

    def close(self) -> None:
        """Close all connections."""
        self.database.close()

    def plan(self, plan_id: str) -> dict[str, Any]:
        """Return the row of a plan.

        :raises LedgerSetupError: when there is none, or it belongs to another account.
        """
        if not FORM_OF_PLAN_ID.fullmatch(plan_id):
            raise LedgerSetupError("that is no plan_id: hand it over as the XCom of a DeletionPlanOperator gives it")
        with self.database.begin() as connection:
            found = connection.execute(plans.select().where(plans.c.plan_id == plan_id)).mappings().first()
        if found is None:
            raise LedgerSetupError(
                f"there is no plan {plan_id} in this ledger: was it made with another ledger_conn_id?"
            )
        if found["account_id"] != self.account_id:
            raise LedgerSetupError(
                f"plan {plan_id} was made for account {found['account_id']}, but the connection is of account "
                f"{self.account_id}. Give all tasks of a plan the same klaviyo_conn_id"
            )
        return dict(found)

    def open_plan(self, plan_id: str) -> dict[str, Any]:
        """Return the row of a plan that may be worked off; of one that was withdrawn there is nothing left to do.

        :raises HeldPlanError: when it is held.
        :raises LedgerSetupError: when there is none, or it is not done yet.
        """
        plan = self.plan(plan_id)
        if plan["state"] == HELD:
            raise HeldPlanError(
                f"plan {plan_id} is held: it matches {plan['profiles']:,} profiles, more than max_profiles allows. "
                "Nothing was deleted. If the list is right, raise max_profiles on the plan's task and clear that task, "
                "or let a DeletionPlanReleaseOperator release the plan"
            )
        if plan["state"] == REGISTERING:
            raise LedgerSetupError(f"plan {plan_id} is still being made: let its task come to its end first")
        if plan["state"] == WITHDRAWN:
            log.warning("Plan %s was withdrawn, or replaced by a newer one: nothing more of it is deleted", plan_id)
        return plan

    def check_batch(self, plan: Mapping[str, Any], batch: int) -> None:
        """Refuse a reference to a batch that its plan has not.

        :raises LedgerSetupError: naming both.
        """
        if batch >= plan["batches"]:
            raise LedgerSetupError(
                f"plan {plan['plan_id']} has no batch {batch}: hand references over as their plan gives them"
            )

    def release(self, plan_id: str) -> None:
        """Let a held plan be worked off; one that is ready already stays so.

        :raises LedgerSetupError: when there is none, or it was withdrawn.
        """
        state = self.plan(plan_id)["state"]
        if state == WITHDRAWN:
            raise LedgerSetupError(
                f"plan {plan_id} was replaced by a newer one, or withdrawn: clear the plan's task together with those "
                "after it"
            )
        if state == HELD:
            held = (plans.c.plan_id == plan_id, plans.c.state == HELD)
            # Those it matches were approved, and no more: a moved identifier may replace a profile, not add some.
            values = {"state": READY, "touched_at": _now(), "max_profiles": plans.c.profiles}
            with self.database.begin() as connection:
                if connection.execute(plans.update().where(*held).values(**values)).rowcount:
                    self.note(connection, plan_id, "released")

    def batches_of(self, plan_id: str) -> list[BatchReference]:
        """Return all batches of a plan, the earliest due first, also those that are done."""
        size = func.count(requests.c.profile_id.distinct())
        query = (
            select(requests.c.batch, size)
            .where(requests.c.plan_id == plan_id, requests.c.batch.is_not(None))
            .group_by(requests.c.batch)
            .order_by(requests.c.batch)
        )
        with self.database.begin() as connection:
            return [BatchReference(plan_id, batch, number) for batch, number in connection.execute(query)]

    def outstanding_batches(self, *, but: str, most: int) -> list[BatchReference]:
        """Return the batches of all other plans in which something is still to be deleted, the earliest due first."""
        size = func.count(requests.c.profile_id.distinct())
        query = (
            select(requests.c.plan_id, requests.c.batch, size)
            .join(plans, plans.c.plan_id == requests.c.plan_id)
            .where(*self._is_left_over(but))
            .group_by(requests.c.plan_id, requests.c.batch)
            .order_by(func.min(requests.c.due_at), requests.c.plan_id, requests.c.batch)
            .limit(most)
        )
        with self.database.begin() as connection:
            return [BatchReference(plan_id, batch, number) for plan_id, batch, number in connection.execute(query)]

    def left_over(self, *, but: str) -> LeftOver:
        """Return what other plans that may be worked off have left to be deleted, compared with one plan."""
        of_plan = select(requests.c.fingerprint).where(requests.c.plan_id == but)
        is_listed = case((requests.c.fingerprint.in_(of_plan), requests.c.fingerprint))
        query = (
            select(
                func.count(requests.c.profile_id.distinct()),
                func.count(requests.c.fingerprint.distinct()),
                func.count(is_listed.distinct()),
            )
            .join(plans, plans.c.plan_id == requests.c.plan_id)
            .where(*self._is_left_over(but))
        )
        with self.database.begin() as connection:
            return LeftOver(*connection.execute(query).one())

    def _is_left_over(self, but: str) -> tuple[ColumnElement[bool], ...]:
        return (
            requests.c.account_id == self.account_id,
            requests.c.outcome == Outcome.PLANNED.value,
            plans.c.state == READY,
            plans.c.plan_id != but,
        )

    def counts(self, plan_ids: Iterable[str], batch: int | None = None) -> dict[str, int]:
        """Return how many identifiers of some plans have which outcome; zeros included.

        An identifier that an earlier plan found invalid, refused or held, and this one again, counts here too.

        :param batch: of only this batch.
        """
        ids = list(plan_ids)
        condition: list[ColumnElement[bool]] = [requests.c.plan_id.in_(ids)]
        if batch is not None:
            condition.append(requests.c.batch == batch)
        single = (
            select(requests.c.outcome, func.count())
            .where(*condition, requests.c.parts == 1)
            .group_by(requests.c.outcome)
        )
        # Of several profiles, perhaps in several batches: counted once, where its first one is.
        first = select(requests.c.number).where(*condition, requests.c.parts > 1, requests.c.part == 0)
        several = select(requests.c.plan_id, requests.c.number, requests.c.outcome).where(
            requests.c.plan_id.in_(ids), requests.c.parts > 1
        )
        if batch is not None:
            several = several.where(requests.c.number.in_(first))
        again = select(*(func.sum(plans.c[f"{outcome}_again"]) for outcome in AGAIN)).where(plans.c.plan_id.in_(ids))
        counts = dict.fromkeys(Outcome, 0)
        parts: dict[tuple[str, int], list[Outcome]] = {}
        with self.database.begin() as connection:
            for name, number in connection.execute(single):
                counts[Outcome(name)] += number
            for plan_id, number, name in connection.execute(several):
                parts.setdefault((plan_id, number), []).append(Outcome(name))
            for outcome, number in zip(AGAIN, connection.execute(again).one(), strict=True):
                counts[outcome] += (number or 0) if batch is None else 0
        for outcomes in parts.values():
            counts[overall(outcomes)] += 1
        return {outcome.value: number for outcome, number in counts.items()}

    def change(
        self,
        connection: Connection,
        event: str,
        rows: Sequence[RequestRow],
        values: Mapping[str, Any],
        *,
        was: Outcome,
    ) -> None:
        """Change some rows of requests and add a step for each to the record, within a transaction.

        :param was: what has become of them so far; a row of which something else has is left as it is.
        """
        if not rows:
            return
        this = (
            requests.c.plan_id == bindparam("of_plan"),
            requests.c.number == bindparam("of_number"),
            requests.c.part == bindparam("of_part"),
        )
        statement = requests.update().where(*this, requests.c.outcome == was.value).values(**values)
        keys = [{"of_plan": row.plan_id, "of_number": row.number, "of_part": row.part} for row in rows]
        connection.execute(statement, keys)
        for plan_id in dict.fromkeys(row.plan_id for row in rows):
            of = [(row.number, row.profile_id) for row in rows if row.plan_id == plan_id]
            self.note(connection, plan_id, event, of)

    def note(
        self,
        connection: Connection,
        plan_id: str,
        event: str,
        of: Sequence[tuple[int | None, str | None]] = ((None, None),),
    ) -> None:
        """Add a step to the record, within a transaction.

        :param of: the numbers of requests and the ids of profiles that it concerns; by default the plan as a whole. A
            step that concerns all requests for a profile has no number.
        """
        row = {"plan_id": plan_id, "event": event, "at": _now(), "actor": self.actor}
        rows = [row | {"number": number, "profile_id": profile_id} for number, profile_id in of]
        self.database.insert(connection, events, rows)

    def _check_key(self) -> None:
        query = (
            select(accounts.c.key_id)
            .where(accounts.c.account_id == self.account_id)
            .order_by(accounts.c.first_used_at.desc(), accounts.c.key_id)
        )
        with self.database.begin() as connection:
            known = connection.execute(query).scalars().all()
            missing = [key_id for key_id in known if key_id not in self.keys.ids]
            if missing:
                raise LedgerSetupError(
                    f"fingerprint_key is another one than the ledger was written with (its id is {missing[0]}; those "
                    f"given are {', '.join(self.keys.ids)}). If the key was changed on purpose, give the new one, a "
                    "comma, and the old one. If the old one is lost, delete its row from klaviyo_accounts: then nobody "
                    "erased under it is recognised any more"
                )
            if self.keys.ids[0] not in known:
                row = {"account_id": self.account_id, "key_id": self.keys.ids[0], "first_used_at": _now()}
                self.database.insert_once(connection, accounts, row)


def _now() -> datetime:
    return datetime.now(UTC)
