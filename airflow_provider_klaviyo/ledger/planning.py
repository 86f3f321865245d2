"""A list becomes a plan in the ledger: looked up, guarded, divided into batches; registered whole or not at all."""

from __future__ import annotations

import gc
import logging
import math
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import and_, bindparam, func, or_, select
from sqlalchemy.engine import Connection

from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.deletion.entries import Entry
from airflow_provider_klaviyo.deletion.invalid_rows import InvalidRows
from airflow_provider_klaviyo.deletion.outcomes import Outcome
from airflow_provider_klaviyo.deletion.resolve import resolve
from airflow_provider_klaviyo.deletion.wrong_dates import WrongDates
from airflow_provider_klaviyo.ledger.contents import contents_of
from airflow_provider_klaviyo.ledger.database import any_of
from airflow_provider_klaviyo.ledger.errors import LedgerError, LedgerSetupError
from airflow_provider_klaviyo.ledger.ledger import HELD, READY, REGISTERING, WITHDRAWN, Ledger
from airflow_provider_klaviyo.ledger.registration import Registration, given_up
from airflow_provider_klaviyo.ledger.tables import plans, requests

__all__ = ["Rules", "Withdrawal", "register_plan", "withdraw_plan"]

IDS_AT_ONCE: Final = 1_000
PROFILES_AT_ONCE: Final = 50_000
ABANDONED: Final = timedelta(days=1)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Rules:
    """What a plan may be like.

    :param regulation: of rows that name none: ``gdpr``, ``ccpa`` or a number of days.
    :param max_profiles: a plan that matches more is held; None for no limit.
    :param max_profiles_per_identifier: an identifier that matches more is held back; None for no limit.
    :param max_invalid: the share of rows that may be invalid, as for `InvalidRows`, and of dates that may be wrong.
    :param batch_size: profiles a batch.
    :param most_batches: rather than more of them, batches become larger.
    :param leftovers: people of other plans that are planned and not done: ``listed`` plans those that this list names
        too, ``none`` leaves all to their plans, ``all`` does too and counts them against `max_profiles`, because
        their batches are handed out with this plan's.
    :param absent_looks: looks that must agree before somebody is ``absent``: 1 or 2.
    """

    regulation: str = "gdpr"
    max_profiles: int | None = 1_000
    max_profiles_per_identifier: int | None = 5
    max_invalid: float | None = 1.0
    batch_size: int = 500
    most_batches: int = 1_024
    leftovers: str = "listed"
    absent_looks: int = 2


def register_plan(
    read: Callable[[], Generator[Entry]],
    client: KlaviyoClient,
    ledger: Ledger,
    rules: Rules,
    *,
    origin: str,
    recipe: str,
) -> dict[str, Any]:
    """Look everyone up who is listed and register what was asked for; return the plan's row.

    A plan of the same origin that is ready is returned as it is, if it was made by the same recipe and the list still
    holds the same. Otherwise it is withdrawn and replaced, and so is one that is held.

    :param read: opens the list anew.
    :param origin: a digest of the DAG run and the task.
    :param recipe: a digest of all that the task was told.
    :raises InvalidListError, LedgerError, KlaviyoError, SourceError: then nothing of this plan stays in the ledger.
    """
    earlier = _made_before(ledger, origin, recipe)
    if earlier is not None:
        with closing(read()) as entries, _undisturbed():
            if contents_of(entries, ledger.keys) == earlier["contents"]:
                return earlier
    _clear_the_way(ledger, origin)
    with closing(read()) as entries, _undisturbed():
        return _register(entries, client, ledger, rules, {"origin": origin, "recipe": recipe})


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep Python from looking through all of Airflow for garbage again and again, while millions of rows go by."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _register(
    entries: Iterable[Entry], client: KlaviyoClient, ledger: Ledger, rules: Rules, made_by: Mapping[str, str]
) -> dict[str, Any]:
    plan_id, now = uuid.uuid4().hex, datetime.now(UTC)
    with ledger.database.begin() as connection:
        row = {"plan_id": plan_id, "account_id": ledger.account_id, "actor": ledger.actor, "state": REGISTERING}
        connection.execute(plans.insert(), row | dict(made_by) | {"began_at": now, "touched_at": now})
    try:
        registration = Registration(
            ledger,
            plan_id,
            rules.regulation,
            now,
            plans_leftovers=rules.leftovers == "listed",
            invalid=InvalidRows(rules.max_invalid, "Nothing was registered"),
            dates=WrongDates(rules.max_invalid, "Nothing was registered"),
        )
        looked_up = resolve(
            registration.identifiers(entries),
            client,
            max_profiles_per_identifier=rules.max_profiles_per_identifier,
            absent_looks=rules.absent_looks,
            is_absence_known=registration.is_absence_known,
        )
        for resolved in looked_up:
            registration.settle(resolved)
        registration.flush()
        _finish(ledger, registration, rules)
    except BaseException:
        try:
            _discard(ledger, plan_id)
        except LedgerError as error:
            log.warning(
                "What plan %s has registered counts for nothing, and is removed by a later plan: %s", plan_id, error
            )
        raise
    return ledger.plan(plan_id)


def _made_before(ledger: Ledger, origin: str, recipe: str) -> dict[str, Any] | None:
    """Return the plan that just this task has made before, if it may be worked off."""
    same = (
        plans.c.account_id == ledger.account_id,
        plans.c.origin == origin,
        plans.c.recipe == recipe,
        plans.c.state == READY,
    )
    with ledger.database.begin() as connection:
        found = connection.execute(plans.select().where(*same)).mappings().first()
    return dict(found) if found is not None else None


def _clear_the_way(ledger: Ledger, origin: str) -> None:
    """Put away what this task has made before that does not hold any more, and what killed ones have left."""
    is_left = and_(plans.c.state == REGISTERING, plans.c.touched_at < datetime.now(UTC) - ABANDONED)
    is_ours = (plans.c.account_id == ledger.account_id, or_(plans.c.origin == origin, is_left))
    query = plans.select().where(*is_ours, plans.c.state != WITHDRAWN)
    with ledger.database.begin() as connection:
        found = connection.execute(query).mappings().all()
    for plan in found:
        if plan["state"] == REGISTERING:
            _discard(ledger, plan["plan_id"])
        else:
            withdraw_plan(ledger, plan["plan_id"])


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """What a withdrawal has stopped.

    :param actor: the DAG, run and task that made the plan.
    :param unsent: identifiers whose deletion had not been requested, and is not any more.
    :param in_doubt: identifiers whose deletion was being requested; nobody knows yet whether Klaviyo accepted it, so
        that they are watched.
    """

    plan_id: str
    actor: str
    unsent: int
    in_doubt: int


def withdraw_plan(ledger: Ledger, plan_id: str) -> Withdrawal:
    """Stop a plan: nobody is deleted any more who only this plan lists; a call that waits for its turn is not sent.

    A deletion whose request is under way is watched until it is known what became of it. To withdraw a plan once more
    changes nothing.

    :raises LedgerSetupError: when this account has no such plan, or it is still being made.
    """
    plan = ledger.plan(plan_id)
    if plan["state"] == REGISTERING:
        raise LedgerSetupError(f"plan {plan_id} is still being made: stop its task first")
    now = datetime.now(UTC)
    planned = (requests.c.plan_id == plan_id, requests.c.outcome == Outcome.PLANNED.value)
    held = {"outcome": Outcome.HELD.value, "outcome_at": now, "identifier": None}
    watched = {"outcome": Outcome.REQUESTED.value, "outcome_at": now, "in_doubt": 1}
    with ledger.database.begin() as connection:
        state = plans.update().where(plans.c.plan_id == plan_id, plans.c.state != WITHDRAWN)
        is_first = connection.execute(state.values(state=WITHDRAWN, touched_at=now)).rowcount == 1
        unsent = requests.update().where(*planned, requests.c.claimed_at.is_(None))
        number = connection.execute(unsent.values(**held)).rowcount
        # A worker may be at these: it stops before its next send, and says what became of the last.
        in_doubt = connection.execute(requests.update().where(*planned).values(**watched)).rowcount
        if is_first:
            ledger.note(connection, plan_id, "withdrawn")
    log.warning(
        "Plan %s of %s is withdrawn%s: %s requests had not been sent, and are not any more; %s were being sent, and "
        "are watched",
        plan_id,
        plan["actor"],
        "" if is_first else " already",
        f"{number:,}",
        f"{in_doubt:,}",
    )
    return Withdrawal(plan_id, plan["actor"], number, in_doubt)


def _discard(ledger: Ledger, plan_id: str) -> None:
    """Remove what a plan has registered that did not come to its end. Nobody was deleted by it.

    One that did come to its end stays, whatever went wrong after that, such as the answer to its commit.
    """
    with ledger.database.begin() as connection:
        unfinished = plans.delete().where(plans.c.plan_id == plan_id, plans.c.state == REGISTERING)
        if connection.execute(unfinished).rowcount:
            connection.execute(requests.delete().where(requests.c.plan_id == plan_id))


def _finish(ledger: Ledger, registration: Registration, rules: Rules) -> None:
    """Divide the plan into batches and let it count."""
    plan_id = registration.plan_id
    planned = (requests.c.plan_id == plan_id, requests.c.outcome == Outcome.PLANNED.value)
    with ledger.database.begin() as connection:
        number = select(func.count(requests.c.profile_id.distinct())).where(*planned)
        profiles: int = connection.execute(number).scalar_one()
    size = max(rules.batch_size, math.ceil(profiles / max(1, rules.most_batches)))
    if size > rules.batch_size:
        log.warning(
            "Batches hold %s profiles, not %s: a task maps to %s at most", size, rules.batch_size, rules.most_batches
        )
    _divide(ledger, plan_id, size)
    left_over = ledger.left_over(but=plan_id).profiles if rules.leftovers == "all" else 0
    is_held = rules.max_profiles is not None and profiles + left_over > rules.max_profiles
    if is_held and left_over:
        log.error("With the %s profiles that other plans have left, there are more than max_profiles", left_over)
    values = {
        "state": HELD if is_held else READY,
        "touched_at": datetime.now(UTC),
        "contents": str(registration.contents),
        "listed": registration.listed,
        "duplicates": registration.duplicates,
        "known": registration.known,
        "profiles": profiles,
        "batch_size": size,
        "batches": math.ceil(profiles / size),
        "max_profiles": rules.max_profiles,
        "max_profiles_per_identifier": rules.max_profiles_per_identifier,
        **{f"{outcome}_again": number for outcome, number in registration.again.items()},
    }
    with ledger.database.begin() as connection:
        mine = plans.update().where(plans.c.plan_id == plan_id, plans.c.state == REGISTERING)
        if connection.execute(mine.values(**values)).rowcount != 1:
            given_up(plan_id)
        ledger.note(connection, plan_id, "held" if is_held else "registered")
    if 0 < registration.listed == registration.invalid.number:
        log.error("None of the %s rows can be an identifier: is it the right column?", f"{registration.listed:,}")


def _divide(ledger: Ledger, plan_id: str, size: int) -> None:
    """Give each batch its number, the earliest due first; all requests for a profile are in the same one."""
    unnumbered = (requests.c.plan_id == plan_id, requests.c.profile_id.is_not(None), requests.c.batch.is_(None))
    pages = (
        select(requests.c.profile_id)
        .where(*unnumbered)
        .group_by(requests.c.profile_id)
        .order_by(func.min(requests.c.due_at), func.min(requests.c.number))
        .limit(size * max(1, PROFILES_AT_ONCE // size))
    )
    batch = 0
    while True:
        with ledger.database.begin() as connection:
            page = connection.execute(pages).scalars().all()
            for start in range(0, len(page), size):
                _number(ledger, connection, plan_id, page[start : start + size], batch)
                batch += 1
        if not page:
            return


def _number(ledger: Ledger, connection: Connection, plan_id: str, profile_ids: Sequence[str], batch: int) -> None:
    for start in range(0, len(profile_ids), IDS_AT_ONCE):
        is_any, parameters = any_of(ledger.database, requests.c.profile_id, profile_ids[start : start + IDS_AT_ONCE])
        statement = requests.update().where(requests.c.plan_id == plan_id, is_any).values(batch=bindparam("number_"))
        connection.execute(statement, parameters | {"number_": batch})
