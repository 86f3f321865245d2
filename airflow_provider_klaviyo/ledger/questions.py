"""What people ask of a ledger: what became of this person, what is outstanding and how late, how many of what."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import and_, case, func, or_, select

from airflow_provider_klaviyo.deletion.identifiers import Identifier
from airflow_provider_klaviyo.deletion.outcomes import Outcome
from airflow_provider_klaviyo.ledger.ledger import HELD, READY, WITHDRAWN, Ledger
from airflow_provider_klaviyo.ledger.tables import events, plans, requests

__all__ = ["Outstanding", "Step", "counts_by_day", "outstanding", "what_became_of"]


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happened to a request of a person.

    :param event: ``registered``, ``asked`` (the call was about to be made), or an outcome.
    """

    at: datetime
    event: str
    plan_id: str
    request_id: str | None
    profile_id: str | None
    actor: str


@dataclass(frozen=True, slots=True)
class Outstanding:
    """What is not final yet.

    :param planned: identifiers whose deletion is still to be requested, also those of plans that are held.
    :param requested: identifiers whose deletion Klaviyo has accepted, and that are not confirmed gone.
    :param overdue: of both, those whose due date has passed.
    :param due_at: the earliest due date of them; None when nothing is outstanding.
    """

    planned: int
    requested: int
    overdue: int
    due_at: datetime | None


def what_became_of(ledger: Ledger, identifier: Identifier) -> list[Step]:
    """Return every step of every request for a person, the oldest first; empty for one who was never listed.

    The identifier is only compared by its fingerprint, under each of the keys given.
    """
    mine = and_(requests.c.account_id == ledger.account_id, requests.c.fingerprint.in_(ledger.keys.all_of(identifier)))
    of_mine = and_(
        events.c.profile_id == requests.c.profile_id,
        or_(events.c.number == requests.c.number, events.c.number.is_(None)),
    )
    registered = (
        select(plans.c.began_at, plans.c.actor, *requests.c)
        .join(plans, plans.c.plan_id == requests.c.plan_id)
        .where(mine, plans.c.state != "registering")
    )
    happened = select(
        events.c.at, events.c.event, events.c.plan_id, requests.c.request_id, requests.c.profile_id, events.c.actor
    ).join(requests, and_(requests.c.plan_id == events.c.plan_id, of_mine))
    steps: list[Step] = []
    with ledger.database.begin() as connection:
        for row in connection.execute(registered).mappings():
            common = (row["plan_id"], row["request_id"], row["profile_id"], row["actor"])
            steps.append(Step(row["began_at"], "registered", *common))
            if row["claimed_at"] is None and row["outcome"] != Outcome.PLANNED:
                steps.append(Step(row["outcome_at"], row["outcome"], *common))
        steps.extend(Step(*row) for row in connection.execute(happened.where(mine)))
    order = {"registered": 0, "asked": 1}
    return sorted(dict.fromkeys(steps), key=lambda step: (step.at, order.get(step.event, 2)))


def outstanding(ledger: Ledger, now: datetime | None = None) -> Outstanding:
    """Return what is not final of all plans of the account, and how late it is."""
    now = now or datetime.now(UTC)
    # One open request a person, however many plans list it.
    request = (requests.c.outcome, requests.c.fingerprint, requests.c.request_id)
    each = (
        select(*request, func.min(requests.c.due_at).label("due_at"))
        .join(plans, plans.c.plan_id == requests.c.plan_id)
        .where(
            requests.c.account_id == ledger.account_id,
            requests.c.outcome.in_([Outcome.PLANNED.value, Outcome.REQUESTED.value]),
            plans.c.state.in_([READY, HELD, WITHDRAWN]),
        )
        .group_by(*request)
        .subquery()
    )
    overdue = func.sum(case((each.c.due_at < now, 1), else_=0))
    open_ones = select(each.c.outcome, func.count(), overdue, func.min(each.c.due_at)).group_by(each.c.outcome)
    with ledger.database.begin() as connection:
        found = {row[0]: row for row in connection.execute(open_ones)}
    return Outstanding(
        planned=found[Outcome.PLANNED][1] if Outcome.PLANNED in found else 0,
        requested=found[Outcome.REQUESTED][1] if Outcome.REQUESTED in found else 0,
        overdue=sum(row[2] or 0 for row in found.values()),
        due_at=min((row[3] for row in found.values()), default=None),
    )


def counts_by_day(ledger: Ledger) -> list[dict[str, Any]]:
    """Return how many requests have which outcome since which day (UTC), by plan: the day, the plan, the outcome."""
    day = func.date(requests.c.outcome_at)
    query = (
        select(requests.c.plan_id, day.label("day"), requests.c.outcome, func.count().label("requests"))
        .where(requests.c.account_id == ledger.account_id)
        .group_by(requests.c.plan_id, day, requests.c.outcome)
        .order_by(day, requests.c.plan_id, requests.c.outcome)
    )
    with ledger.database.begin() as connection:
        return [dict(row) | {"day": str(row["day"])} for row in connection.execute(query).mappings()]
