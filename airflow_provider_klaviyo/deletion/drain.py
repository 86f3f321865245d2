"""Ask for the deletion of profiles, one after the other, at the pace that Klaviyo allows."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from airflow_provider_klaviyo.api.calls import get_profile, request_profile_deletion
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
        """Note that Klaviyo would not have it, so that anybody may try again at once; nothing was deleted."""


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
    A deletion that Klaviyo may have accepted is ``requested``, even when its answer was lost and the next one was 404.

    :param done: what has become of the first of them in an earlier try; they are not asked for again.
    :param record: is told of each request before and after it is made, in order. Of refusals before anything else it
        is told when something else has come; if nothing does, they are given back.
    :param seconds: after which no more request is begun; None for as long as it takes.
    :raises KlaviyoError: at the first trouble that waiting did not mend. The rest of the profiles is outstanding.
    """
    outcomes = _Outcomes(done or {}, record)
    began, not_ours = clock(), 0
    progress = Progress("deletions requested", total=len(profile_ids) - len(outcomes.known))
    for profile_id in profile_ids[len(outcomes.known) :]:
        if seconds is not None and clock() - began >= seconds:
            log.info("Time is up: %s. The others are still to be deleted, by the next run", progress.describe())
            break
        if record is not None and not record.begin(profile_id):
            not_ours += 1
            continue
        try:
            outcome = _request(profile_id, client, may_be_refused=outcomes.may_be_refused)
        except KlaviyoError as error:
            outcomes.withdraw()
            if record is not None and _is_not_accepted(error):
                record.give_back(profile_id)
            outstanding = len(profile_ids) - len(outcomes.known) - not_ours
            error.args = (
                f"{error}. Stopped after {progress.describe()}; nothing is lost, and {outstanding:,} profiles are "
                "outstanding: a retry, or the next run, goes on with them",
            )
            raise
        outcomes.add(profile_id, outcome)
        progress.advance()
    if outcomes.are_refusals:
        _settle_refusals(outcomes, is_only_profile=len(profile_ids) == 1)
    return outcomes.known


class _Outcomes:
    """What has become of the profiles, told to the record as soon as it is beyond doubt.

    Refusals before anything else may be every request's fault, and are kept back until something else has come. For
    what is recorded is final, while each try counts its refusals anew: retries would have everybody refused, a few at
    a time, and end in success.

    :param known: the outcomes so far, those of earlier tries first.
    """

    def __init__(self, done: Mapping[str, Outcome], record: Record | None) -> None:
        self.known = dict(done)
        self._record = record
        self._untold: list[str] = []
        self._has_other = any(outcome is not Outcome.REFUSED for outcome in done.values())

    @property
    def are_refusals(self) -> bool:
        """Whether there are refusals, and nothing else."""
        return bool(self.known) and not self._has_other

    @property
    def may_be_refused(self) -> bool:
        """Whether one more refusal can be the next profile's fault, rather than every request's."""
        return self._has_other or len(self.known) < REFUSALS_THAT_STOP - 1

    def add(self, profile_id: str, outcome: Outcome) -> None:
        """Tell the record, in order; a refusal only if it is not the first thing to come."""
        self.known[profile_id] = outcome
        self._untold.append(profile_id)
        self._has_other = self._has_other or outcome is not Outcome.REFUSED
        if self._has_other:
            self.tell()

    def tell(self) -> None:
        """Tell the record what was kept back."""
        for profile_id in self._untold:
            if self._record is not None:
                self._record.end(profile_id, self.known[profile_id])
        self._untold.clear()

    def withdraw(self) -> None:
        """Give back what was kept back, as if it had not been asked for."""
        for profile_id in self._untold:
            del self.known[profile_id]
            if self._record is not None:
                self._record.give_back(profile_id)
        self._untold.clear()


def _settle_refusals(outcomes: _Outcomes, *, is_only_profile: bool) -> None:
    """Believe a refusal of the only profile there is. Of more, none is: they are to be asked for again."""
    if is_only_profile:
        outcomes.tell()
        return
    number = len(outcomes.known)
    outcomes.withdraw()
    if number > 1:
        raise KlaviyoInvalidRequestError(
            f"Klaviyo refused every one of the {number:,} deletions, which says more about the requests than "
            "about the profiles; the warnings above have its error ids"
        )


def _is_not_accepted(error: KlaviyoError) -> bool:
    """Tell whether Klaviyo has certainly not accepted the deletion: it said no, and no earlier send is in doubt."""
    return isinstance(error, KlaviyoRefusedError | KlaviyoRateLimitError) and not error.in_doubt


def _request(profile_id: str, client: KlaviyoClient, *, may_be_refused: bool) -> Outcome:
    try:
        client.run(request_profile_deletion(Kind.ID, profile_id))
    except KlaviyoNotFoundError as error:
        # A 404 without a code is not Klaviyo's: some gateway's, or a wrong host's.
        if error.code is None:
            raise
        is_under_way = error.in_doubt
    except KlaviyoInvalidRequestError as error:
        # After a send that may have been accepted, a refusal must not be final: nobody would confirm the deletion.
        if error.status != 400 or not may_be_refused or error.in_doubt:
            raise
        log.warning("Profile %s: %s", profile_id, error)
        return Outcome.REFUSED
    else:
        return Outcome.REQUESTED
    return Outcome.REQUESTED if is_under_way or _is_there(profile_id, client) else Outcome.ABSENT


def _is_there(profile_id: str, client: KlaviyoClient) -> bool:
    """Tell whether a look-up finds a profile that its deletion did not.

    Then it is on its way out by an earlier call, which nobody may have recorded, or Klaviyo is wrong about it. Either
    way it is not gone yet. As a requested one it is watched until it is; as an absent one nobody would look again.
    """
    try:
        client.run(get_profile(profile_id))
    except KlaviyoNotFoundError as error:
        if error.code is None:
            raise
        return False
    log.warning("Profile %s: the deletion finds no such profile, but a look-up does; it is to be confirmed", profile_id)
    return True
