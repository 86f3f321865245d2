"""Give profiles their new identifiers, as fast as Klaviyo allows.

One place decides whether a change may be sent, directly before each send and each repeated send: the profile is looked
up by its id, and itself holds every identifier that it was listed by.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.api.conversation import Conversation
from airflow_provider_klaviyo.api.errors import (
    KlaviyoDuplicateProfileError,
    KlaviyoError,
    KlaviyoInvalidRequestError,
    KlaviyoNotFoundError,
)
from airflow_provider_klaviyo.api.permit import NotPermittedError
from airflow_provider_klaviyo.api.rectification import update_profile
from airflow_provider_klaviyo.deletion.identifiers import Identifier, Kind
from airflow_provider_klaviyo.deletion.meant import holds_spelling, identifiers_of, profile_now
from airflow_provider_klaviyo.deletion.progress import Progress
from airflow_provider_klaviyo.rectification.outcomes import Outcome

__all__ = ["Correction", "Rectified", "rectify"]

# So many refusals before anything else say more about the requests than about the profiles.
REFUSALS_THAT_STOP: Final = 5

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Correction:
    """The identifiers that a profile is to have and has not. Its repr shows the profile's id only.

    :param identifiers: the new ones, by kind.
    :param listed: those that it was found by, which it must hold when it is changed.
    """

    profile_id: str
    identifiers: Mapping[str, str] = field(repr=False)
    listed: tuple[Identifier, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Rectified:
    """What became of a profile, and which other one is in its way, if one is."""

    profile_id: str
    outcome: Outcome
    duplicate_profile_id: str | None = None


def rectify(corrections: Sequence[Correction], client: KlaviyoClient) -> dict[str, Rectified]:
    """Change profiles, eight at a time, and return what became of each, by its id.

    One that does not hold every identifier that it was listed by is ``held``, and one that is right by now
    ``unchanged``.

    An identifier that one profile of the list gives up, and another takes, is free only when the first is changed. So
    whoever was refused because of a profile that has been changed since is asked for again.

    :raises KlaviyoError: at the first trouble that waiting did not mend. What was changed is unchanged by a retry.
    """
    rectified: dict[str, Rectified] = {}
    progress = Progress("profiles updated", total=len(corrections))
    waiting = list(corrections)
    try:
        while waiting:
            changed = set()
            for one in client.run_each(map(_rectify, waiting)):
                if one.profile_id not in rectified:
                    progress.advance()
                rectified[one.profile_id] = one
                if one.outcome is Outcome.UPDATED:
                    changed.add(one.profile_id)
                _check_refusals(rectified)
            waiting = [one for one in corrections if rectified[one.profile_id].duplicate_profile_id in changed]
    except KlaviyoError as error:
        error.args = (
            f"{error}. Stopped after {progress.describe()}; nothing is lost: a retry leaves those as they are, and "
            "goes on with the others",
        )
        raise
    for one in rectified.values():
        if one.outcome is Outcome.DUPLICATE_PROFILE:
            log.warning(
                "Profile %s is not changed: another one, %s, holds a new identifier of it. Merge the two in Klaviyo, "
                "or correct the list",
                one.profile_id,
                one.duplicate_profile_id or "which Klaviyo does not name",
            )
    return rectified


class _SettledError(NotPermittedError):
    """A look at the profile has settled what becomes of it, so that nothing is sent."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome)
        self.outcome = outcome


def _require(correction: Correction) -> Conversation[None]:
    """Look a profile up by its id, and require that it is to be changed, and still the one that was found."""
    profile = yield from profile_now(correction.profile_id)
    if profile is None:
        raise _SettledError(Outcome.ABSENT)
    if all(holds_spelling(profile, Kind(kind), value) for kind, value in correction.identifiers.items()):
        raise _SettledError(Outcome.UNCHANGED)
    if not set(identifiers_of(profile)).issuperset(correction.listed):
        log.warning("Profile %s is not changed: it does not hold what it was found by any more", profile.id)
        raise _SettledError(Outcome.HELD)


def _rectify(correction: Correction) -> Conversation[Rectified]:
    profile_id = correction.profile_id
    try:
        yield from update_profile(profile_id, correction.identifiers, before_send=partial(_require, correction))
    except _SettledError as settled:
        # After a send whose response was lost, that send has done it.
        was_done = settled.in_doubt and settled.outcome is Outcome.UNCHANGED
        return Rectified(profile_id, Outcome.UPDATED if was_done else settled.outcome)
    except KlaviyoDuplicateProfileError as error:
        return Rectified(profile_id, Outcome.DUPLICATE_PROFILE, error.duplicate_profile_id)
    except KlaviyoNotFoundError as error:
        # A 404 without a code is not Klaviyo's: some gateway's, or a wrong host's.
        if error.code is None:
            raise
        return Rectified(profile_id, Outcome.ABSENT)
    except KlaviyoInvalidRequestError as error:
        if error.status != 400 or error.in_doubt:
            raise
        log.warning("Profile %s: %s", profile_id, error)
        return Rectified(profile_id, Outcome.REFUSED)
    return Rectified(profile_id, Outcome.UPDATED)


def _check_refusals(rectified: Mapping[str, Rectified]) -> None:
    if len(rectified) == REFUSALS_THAT_STOP and all(one.outcome is Outcome.REFUSED for one in rectified.values()):
        raise KlaviyoInvalidRequestError(
            f"Klaviyo refused the first {REFUSALS_THAT_STOP} changes, which says more about the requests than about "
            "the profiles; the warnings above have its error ids"
        )
