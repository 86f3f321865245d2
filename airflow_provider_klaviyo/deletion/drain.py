"""Request the deletion of profiles, one after the other, at the pace that Klaviyo allows.

One place decides whether a deletion may be sent, directly before each send and each repeated send: the profile is
looked up by its id, it holds a listed identifier of its request itself, and the record permits the call. Anything but
a clear yes sends nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol, TypedDict

from airflow_provider_klaviyo.api.calls import get_profile, request_profile_deletion
from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.api.conversation import Conversation
from airflow_provider_klaviyo.api.errors import (
    KlaviyoError,
    KlaviyoInvalidRequestError,
    KlaviyoNotFoundError,
    KlaviyoRateLimitError,
    KlaviyoRefusedError,
)
from airflow_provider_klaviyo.api.permit import NotPermittedError
from airflow_provider_klaviyo.api.resources import Profile
from airflow_provider_klaviyo.deletion.identifiers import Kind
from airflow_provider_klaviyo.deletion.outcomes import Outcome
from airflow_provider_klaviyo.deletion.progress import Progress

__all__ = ["Record", "drain"]

# So many refusals before anything else say more about the requests than about the profiles.
REFUSALS_THAT_STOP: Final = 5
# People who move on while they are looked for are left to the next run after so many rounds.
MOST_ROUNDS: Final = 3

log = logging.getLogger(__name__)


class Record(Protocol):
    """Decides about each deletion of a drain, and keeps each step before and after it is taken."""

    def is_meant(self, profile: Profile) -> bool:
        """Tell whether a profile, just looked up by its id, itself holds a listed identifier of its request."""

    def begin(self, profile: Profile) -> bool:
        """Note that a deletion is about to be sent; tell whether it may be, and is ours to send.

        Called directly before each send and each repeated send.
        """

    def end(self, profile_id: str, outcome: Outcome, *, in_doubt: bool = False) -> None:
        """Note what became of it; ``in_doubt`` when Klaviyo may have accepted it, or not."""

    def give_back(self, profile_id: str) -> None:
        """Note that Klaviyo would not have it, so that anybody may try again at once; nothing was deleted."""

    def miss(self, profile_id: str, *, is_there: bool) -> Outcome | None:
        """Note that a profile is gone, or is there and holds nothing that was listed; return its outcome if known."""

    def find_again(self, client: KlaviyoClient) -> Sequence[str]:
        """Look for the people whose profiles were missed by their identifiers, and settle them.

        :returns: ids of other profiles that hold the identifiers now, to be deleted under the same guards.
        """


def drain(
    profile_ids: Sequence[str],
    client: KlaviyoClient,
    done: Mapping[str, Outcome] | None = None,
    *,
    record: Record,
    seconds: float | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Outcome]:
    """Request the deletion of these profiles and return what became of each request.

    Each one is ``requested``, or ``refused`` when Klaviyo takes the request for a wrong one. One that is not ours to
    delete is left out, and so are those that time did not suffice for. A profile that is gone, or that holds nothing of
    what was listed any more, is not deleted: the record looks for the person under the listed identifiers, and the
    profiles that hold them now join. A deletion that Klaviyo may have accepted is ``requested``, even when its response
    was lost and the next one was 404.

    :param done: what has become of the first of them in an earlier try; they are not requested again.
    :param record: decides about each request, and is told of each before and after it is sent, in order. Of refusals
        before anything else it is told when something else has come; if nothing does, they are given back.
    :param seconds: after which no more request is begun; None for as long as it takes.
    :raises KlaviyoError: at the first trouble that waiting did not mend. The rest of the profiles is outstanding.
    """
    outcomes = _Outcomes(done or {}, record)
    began, passed_over = clock(), 0
    waiting = list(profile_ids[len(outcomes.known) :])
    progress = Progress("deletions requested", total=len(waiting))
    total, is_time_up = len(profile_ids), False
    for _ in range(MOST_ROUNDS):
        for profile_id in waiting:
            if seconds is not None and clock() - began >= seconds:
                log.info("Time is up: %s. The others are still to be deleted, by the next run", progress.describe())
                is_time_up = True
                break
            try:
                ended = _delete(profile_id, client, record, may_be_refused=outcomes.may_be_refused)
            except KlaviyoError as error:
                outcomes.withdraw()
                outstanding = total - len(outcomes.known) - passed_over
                error.args = (
                    f"{error}. Stopped after {progress.describe()}; nothing is lost, and {outstanding:,} profiles are "
                    "outstanding: a retry, or the next run, goes on with them",
                )
                raise
            if ended is None:
                passed_over += 1
                continue
            outcomes.add(profile_id, **ended)
            progress.advance()
        waiting = [] if is_time_up else list(record.find_again(client))
        if not waiting:
            break
        total += len(waiting)
        progress.extend(len(waiting))
    if outcomes.refusals:
        _settle_refusals(outcomes, is_only_profile=total == 1)
    return outcomes.known


class _Ended(TypedDict):
    """How a deletion ended, as `_Outcomes.add` takes it."""

    outcome: Outcome
    in_doubt: bool
    is_answer: bool


class _MissedError(NotPermittedError):
    """The profile is gone, or holds nothing that was listed."""

    def __init__(self, *, is_there: bool) -> None:
        super().__init__()
        self.is_there = is_there


class _NotOursError(NotPermittedError):
    """The record does not permit the call: the plan was withdrawn, or another worker is at it."""


class _LookError(NotPermittedError):
    """The profile could not be looked up, so that nothing was sent."""

    def __init__(self, error: KlaviyoError) -> None:
        super().__init__(str(error))
        self.error = error


class _Permit:
    """Decides about one deletion, directly before each of its sends.

    :param is_begun: whether the record has been told that it is sent.
    """

    def __init__(self, profile_id: str, record: Record) -> None:
        self._profile_id = profile_id
        self._record = record
        self._profile: Profile | None = None
        self.is_begun = False

    def look(self) -> Conversation[None]:
        """Look the profile up by its id, and require that it holds what was listed."""
        self._profile = None
        try:
            profile = yield from get_profile(self._profile_id)
        except KlaviyoError as error:
            raise (_MissedError(is_there=False) if _is_gone(error) else _LookError(error)) from None
        if profile.id != self._profile_id or not self._record.is_meant(profile):
            raise _MissedError(is_there=True)
        self._profile = profile

    def confirm(self) -> None:
        """Require that the record permits the call, and has noted it."""
        if self._profile is None or not self._record.begin(self._profile):
            raise _NotOursError
        self.is_begun = True


def _delete(profile_id: str, client: KlaviyoClient, record: Record, *, may_be_refused: bool) -> _Ended | None:
    """Request one deletion; return how it ended, None if it was passed over."""
    permit = _Permit(profile_id, record)
    try:
        return _request(profile_id, client, permit, may_be_refused=may_be_refused)
    except NotPermittedError as stop:
        error = stop.error if isinstance(stop, _LookError) else None
        if stop.in_doubt and error is None:
            # An earlier send of the same request may have been accepted.
            return _Ended(outcome=Outcome.REQUESTED, in_doubt=True, is_answer=False)
        if permit.is_begun and not stop.in_doubt:
            record.give_back(profile_id)
        if error is not None:
            error.in_doubt = stop.in_doubt
            raise error from None
        outcome = record.miss(profile_id, is_there=stop.is_there) if isinstance(stop, _MissedError) else None
        return None if outcome is None else _Ended(outcome=outcome, in_doubt=False, is_answer=False)
    except KlaviyoError as error:
        if permit.is_begun and _is_not_accepted(error):
            record.give_back(profile_id)
        raise


class _Outcomes:
    """What has become of the profiles, told to the record as soon as it is beyond doubt.

    Refusals before anything else may be every request's fault, and are kept back until another request has got another
    answer. For what is recorded is final, while each try counts its refusals anew: retries would have everybody
    refused, a few at a time, and end in success.

    :param known: the outcomes so far, those of earlier tries first.
    """

    def __init__(self, done: Mapping[str, Outcome], record: Record) -> None:
        self.known = dict(done)
        self._record = record
        self._untold: list[str] = []
        self._doubtful: set[str] = set()
        self._has_other = any(outcome is not Outcome.REFUSED for outcome in done.values())

    @property
    def refusals(self) -> int:
        """How many refusals there are, and no other answer to a request; 0 once there is one."""
        return 0 if self._has_other else sum(outcome is Outcome.REFUSED for outcome in self.known.values())

    @property
    def may_be_refused(self) -> bool:
        """Whether one more refusal can be the next profile's fault, rather than every request's."""
        return self.refusals < REFUSALS_THAT_STOP - 1

    def add(self, profile_id: str, outcome: Outcome, *, in_doubt: bool, is_answer: bool) -> None:
        """Tell the record, in order; a refusal only if it is not the first thing to come.

        :param is_answer: whether it is what Klaviyo has answered to a request for a deletion.
        """
        self.known[profile_id] = outcome
        if in_doubt:
            self._doubtful.add(profile_id)
        self._untold.append(profile_id)
        self._has_other = self._has_other or (is_answer and outcome is not Outcome.REFUSED)
        if not self.refusals:
            self.tell()

    def tell(self) -> None:
        """Tell the record what was kept back."""
        for profile_id in self._untold:
            self._record.end(profile_id, self.known[profile_id], in_doubt=profile_id in self._doubtful)
        self._untold.clear()

    def withdraw(self) -> None:
        """Give back what was kept back, as if it had not been asked for."""
        for profile_id in self._untold:
            del self.known[profile_id]
            self._record.give_back(profile_id)
        self._untold.clear()


def _settle_refusals(outcomes: _Outcomes, *, is_only_profile: bool) -> None:
    """Believe a refusal of the only profile there is. Of more, none is: they are to be asked for again."""
    if is_only_profile:
        outcomes.tell()
        return
    number = outcomes.refusals
    outcomes.withdraw()
    if number > 1:
        raise KlaviyoInvalidRequestError(
            f"Klaviyo refused every one of the {number:,} deletions, which says more about the requests than "
            "about the profiles; the warnings above have its error ids"
        )


def _is_not_accepted(error: KlaviyoError) -> bool:
    """Tell whether Klaviyo has certainly not accepted the deletion: it said no, and no earlier send is in doubt."""
    return isinstance(error, KlaviyoRefusedError | KlaviyoRateLimitError) and not error.in_doubt


def _request(profile_id: str, client: KlaviyoClient, permit: _Permit, *, may_be_refused: bool) -> _Ended:
    try:
        client.run(request_profile_deletion(Kind.ID, profile_id, before_send=permit.look, on_send=permit.confirm))
    except KlaviyoNotFoundError as error:
        if not _is_gone(error):
            raise
        in_doubt = error.in_doubt
    except KlaviyoInvalidRequestError as error:
        # After a send that may have been accepted, a refusal must not be final: nobody would confirm the deletion.
        if error.status != 400 or not may_be_refused or error.in_doubt:
            raise
        log.warning("Profile %s: %s", profile_id, error)
        return _Ended(outcome=Outcome.REFUSED, in_doubt=False, is_answer=True)
    else:
        return _Ended(outcome=Outcome.REQUESTED, in_doubt=False, is_answer=True)
    if in_doubt or _is_there(profile_id, client):
        return _Ended(outcome=Outcome.REQUESTED, in_doubt=in_doubt, is_answer=True)
    raise _MissedError(is_there=False)


def _is_gone(error: KlaviyoError) -> bool:
    """Tell whether Klaviyo says that there is no such profile; a 404 without a code is not Klaviyo's."""
    return isinstance(error, KlaviyoNotFoundError) and error.code is not None


def _is_there(profile_id: str, client: KlaviyoClient) -> bool:
    """Tell whether a look-up finds a profile that its deletion did not.

    Then it is on its way out by an earlier call, which nobody may have recorded, or Klaviyo is wrong about it. Either
    way it is not gone yet. As a requested one it is watched until it is; as an absent one nobody would look again.
    """
    try:
        client.run(get_profile(profile_id))
    except KlaviyoNotFoundError as error:
        if not _is_gone(error):
            raise
        return False
    log.warning("Profile %s: the deletion finds no such profile, but a look-up does; it is to be confirmed", profile_id)
    return True
