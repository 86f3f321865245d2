"""What a list of people to suppress comes to, in numbers and profile ids: nothing personal."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from airflow_provider_klaviyo.deletion.plan import Plan
from airflow_provider_klaviyo.restriction.listed import Restriction

__all__ = ["result_of"]

NAMES: Final = ("planned", "suppressed", "without_email", "absent", "invalid", "refused", "held")


def result_of(plan: Plan, restriction: Restriction | None) -> dict[str, Any]:
    """Return the identifiers of the whole list counted by outcome, and the profile ids, as plain JSON values.

    :param restriction: what became of the plan's profiles; None when nothing was to be done to them.
    """
    counts = Counter({outcome.value: number for outcome, number in plan.outcomes.items()})
    ids: dict[str, Any] = {"profile_ids": [] if restriction is None else restriction.suppressed}
    if restriction is None:
        counts["planned"] += len(plan.matches)
        ids["planned_profile_ids"] = list(plan.profile_ids)
    else:
        counts.update(map(restriction.outcome_of, plan.matches))
    return {"listed": plan.listed, "duplicates": plan.duplicates, **{name: counts[name] for name in NAMES}, **ids}
