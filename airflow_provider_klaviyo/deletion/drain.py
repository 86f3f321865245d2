"""Ask for the deletion of profiles, one after the other, at the pace that Klaviyo allows."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from airflow_provider_klaviyo.api.calls import request_profile_deletion
from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.api.errors import (
    KlaviyoError,
    KlaviyoInvalidRequestError,
    KlaviyoNotFoundError,
    KlaviyoRateLimitError,
    KlaviyoRefusedError,
)
from airflow_provider_klaviyo.deletion.identifiers import Kind
from airflow_provider_klaviyo.deletion.outcomes import Outcome
from airflow_provider_klaviyo.deletion.progress import Progress

__all__ = ["Record", "drain"]

# So many refusals before anything else say more about the requests than about the profiles.
REFUSALS_THAT_STOP: Final = 5

log = logging.getLogger(__name__)


class Record(Protocol):
    """Keeps each step of a drain, before and after it is taken."""

    def begin(self, profile_id: str) -> bool:
        """Note that a deletion is about to be requested; tell whether it is ours to request."""

    def end(self, profile_id: str, outcome: Outcome) -> None:
        """Note what became of it."""

    def give_back(self, profile_id: str) -> None:
        """Note that Klaviyo would not have it, so that anybody may try again at once."""


def drain(
    profile_ids: Sequence[str],
    client: KlaviyoClient,
    done: Mapping[str, Outcome] | None = None,
    record: Record | None = None,
    *,
    seconds: float | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Outcome]:
    """Request the deletion of these profiles and return what became of each request.

    Each one is ``requested``; ``absent`` when the profile is gone already; or ``refused`` when Klaviyo takes the
    request for a wrong one. One that is not ours to delete is left out, and so are those that time did not suffice for.

    :param done: what has become of the first of them in an earlier try; they are not asked for again.
    :param record: is told of each request before and after it is made, in order.
    :param seconds: after which no more request is begun; None for as long as it takes.
    :raises KlaviyoError: at the first trouble that waiting did not mend. The rest of the profiles is outstanding.
    """
    outcomes = dict(done or {})
    began = clock()
    progress = Progress("deletions requested", total=len(profile_ids) - len(outcomes))
    for profile_id in profile_ids[len(outcomes) :]:
        if seconds is not None and clock() - began >= seconds:
            log.info("Time is up: %s. The others are still to be deleted, by the next run", progress.describe())
            break
        if record is not None and not record.begin(profile_id):
            continue
        try:
            outcome = _request(profile_id, client, may_be_refused=_refusal_is_plausible(outcomes))
        except KlaviyoError as error:
            if record is not None and isinstance(error, KlaviyoRefusedError | KlaviyoRateLimitError):
                record.give_back(profile_id)
            log.error(  # noqa: TRY400 - the caller raises; a traceback here would be there twice
                "Stopped: %s. Nothing is lost: the others are still to be deleted, by a retry or by the next run",
                progress.describe(),
            )
            raise
        outcomes[profile_id] = outcome
        if record is not None:
            record.end(profile_id, outcome)
        progress.advance()
    if len(outcomes) > 1 and set(outcomes.values()) == {Outcome.REFUSED}:
        raise KlaviyoInvalidRequestError(
            f"Klaviyo refused every one of the {len(outcomes):,} deletions, which says more about the requests than "
            "about the profiles; the warnings above have its error ids"
        )
    return outcomes


def _request(profile_id: str, client: KlaviyoClient, *, may_be_refused: bool) -> Outcome:
    try:
        client.run(request_profile_deletion(Kind.ID, profile_id))
    except KlaviyoNotFoundError as error:
        # A 404 without a code is not Klaviyo's: some gateway's, or a wrong host's.
        if error.code is None:
            raise
        return Outcome.ABSENT
    except KlaviyoInvalidRequestError as error:
        if error.status != 400 or not may_be_refused:
            raise
        log.warning("Profile %s: %s", profile_id, error)
        return Outcome.REFUSED
    return Outcome.REQUESTED


def _refusal_is_plausible(outcomes: dict[str, Outcome]) -> bool:
    """Tell whether one more refusal can be this profile's, rather than every request's."""
    return len(outcomes) < REFUSALS_THAT_STOP - 1 or any(o is not Outcome.REFUSED for o in outcomes.values())
