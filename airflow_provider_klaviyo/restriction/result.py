"""What a list of people to suppress comes to, in numbers and profile ids: nothing personal."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from airflow_provider_klaviyo.deletion.plan import Plan
from airflow_provider_klaviyo.restriction.suppress import Suppressed

__all__ = ["result_of"]

NAMES: Final = ("planned", "suppressed", "without_email", "absent", "invalid", "refused", "held")
# Of an identifier that matches several profiles, the last of these counts.
WORST_LAST: Final = ("absent", "without_email", "suppressed", "refused")


def result_of(plan: Plan, suppressed: Suppressed | None) -> dict[str, Any]:
    """Return the identifiers of the whole list counted by outcome, and the profile ids, as plain JSON values.

    :param suppressed: what became of the plan's profiles; None when nothing was to be done to them.
    """
    counts = Counter({outcome.value: number for outcome, number in plan.outcomes.items()})
    ids: dict[str, Any] = {"profile_ids": [] if suppressed is None else suppressed.suppressed}
    if suppressed is None:
        counts["planned"] += len(plan.matches)
        ids["planned_profile_ids"] = list(plan.profile_ids)
    else:
        outcome_of = dict.fromkeys(suppressed.gone, "absent")
        outcome_of |= dict.fromkeys(suppressed.without_email, "without_email")
        outcome_of |= dict.fromkeys(suppressed.suppressed, "suppressed")
        outcome_of |= dict.fromkeys(suppressed.refused, "refused")
        for profiles in plan.matches.values():
            counts[max((outcome_of[profile.id] for profile in profiles), key=WORST_LAST.index)] += 1
    return {"listed": plan.listed, "duplicates": plan.duplicates, **{name: counts[name] for name in NAMES}, **ids}
