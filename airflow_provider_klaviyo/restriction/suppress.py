"""Suppress profiles, and no others: Klaviyo suppresses addresses, and makes a profile of one that no profile has.

One place decides which addresses a job gets, directly before each send and each repeated send: `looks.look`. Whether a
profile was still there when its job was done is looked up once more: Klaviyo has nothing by which a job could be bound
to a profile.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from airflow_provider_klaviyo.api.calls import find_profiles
from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.api.conversation import Conversation
from airflow_provider_klaviyo.api.errors import (
    KlaviyoError,
    KlaviyoInvalidRequestError,
    KlaviyoUnavailableError,
)
from airflow_provider_klaviyo.api.permit import NotPermittedError
from airflow_provider_klaviyo.api.resources import Profile
from airflow_provider_klaviyo.api.suppression import (
    EMAILS_A_JOB,
    SuppressionJob,
    suppress_profiles,
    until_complete,
)
from airflow_provider_klaviyo.deletion.identifiers import Kind
from airflow_provider_klaviyo.deletion.meant import profile_now
from airflow_provider_klaviyo.deletion.progress import Progress
from airflow_provider_klaviyo.restriction.looks import Look, Reason, draft, look

__all__ = ["Suppressed", "suppress"]

# Addresses that change between any two looks are left to a retry after so many.
MOST_LOOKS: Final = 5

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Suppressed:
    """What became of profiles that were to be suppressed, by their ids.

    :param suppressed: Klaviyo's job for them is complete; also of those that were suppressed before.
    :param without_email: they have no address, so there is nothing to suppress.
    :param gone: there is no such profile, or no longer.
    :param refused: Klaviyo will not take the address that it keeps itself.
    :param changed: they hold nothing of what was listed any more, or their address is also that of a profile that is
        not listed. Nothing was sent for them.
    """

    suppressed: list[str] = field(default_factory=list)
    without_email: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Job:
    """A job, and the profiles whose addresses it has."""

    job: SuppressionJob
    profile_ids: tuple[str, ...]


def suppress(
    profile_ids: Iterable[str],
    client: KlaviyoClient,
    done: Callable[[Sequence[str]], None] | None = None,
    *,
    is_meant: Callable[[Profile], bool] | None = None,
) -> Suppressed:
    """Suppress profiles: look them up by id, give their addresses to jobs of 100, wait until all are complete.

    The look-ups are one call a profile: at 97 % of Klaviyo's limit 6,000 profiles take eight minutes.

    :param done: is told of the profiles that are suppressed, as jobs become complete.
    :param is_meant: tells of a profile, just looked up by its id, whether it itself holds what was listed; the others
        are ``changed``. It may be asked about any profile, and several times about one. None where the ids are what was
        listed: a profile always holds its own.
    :raises KlaviyoError: at the first trouble that waiting did not mend, also a job that is cancelled or does not end.
        Suppressing once more does no harm.
    """
    ids = list(dict.fromkeys(profile_ids))
    listed = frozenset(ids)
    begun = _Begun(client, is_meant or (lambda profile: profile.id in listed))
    progress = Progress("profiles suppressed", total=len(ids))
    outcome = begun.outcome
    try:
        begun.begin_all(ids)
        progress.advance(len(ids) - sum(len(job.profile_ids) for job in begun.jobs))
        for job, there in client.run_each(map(_finish, begun.jobs)):
            suppressed = [profile_id for profile_id in job.profile_ids if profile_id in there]
            outcome.suppressed.extend(suppressed)
            outcome.gone.extend(_vanished(job, there))
            if done is not None:
                done(suppressed)
            progress.advance(len(job.profile_ids))
    except KlaviyoError as error:
        error.args = (f"{error}. Stopped after {progress.describe()}; a retry goes on with the others",)
        raise
    return outcome


class _OtherAddressesError(NotPermittedError):
    """A look has seen other addresses than those of the request, so that it is not sent."""


@dataclass(slots=True)
class _Permit:
    """Decides about a job for some profiles, directly before each of its sends.

    :param expected: what a look is expected to see, and the request has; what the last one saw after each.
    """

    client: KlaviyoClient
    is_meant: Callable[[Profile], bool]
    profile_ids: Sequence[str]
    expected: Look

    def look(self) -> bool:
        """Look at the profiles; tell whether their addresses are as expected."""
        seen = look(self.profile_ids, self.client, self.is_meant)
        is_as_expected = seen.emails == self.expected.emails
        self.expected = seen
        return is_as_expected

    def require(self) -> Conversation[None]:
        """Look at the profiles, and require that their addresses are those of the request.

        The look-ups are conversations of their own, because eight at a time take as long as Klaviyo's limit has them
        take, and the first is seconds old when the last has come.
        """
        if not self.look():
            raise _OtherAddressesError
        yield from ()


@dataclass(slots=True)
class _Begun:
    """The jobs that were begun, and what has become of the profiles that are in none."""

    client: KlaviyoClient
    is_meant: Callable[[Profile], bool]
    jobs: list[_Job] = field(default_factory=list)
    outcome: Suppressed = field(default_factory=Suppressed)

    def begin_all(self, profile_ids: Sequence[str]) -> None:
        """Begin jobs for all of these profiles, a hundred after the other, so that each look is as short as can be."""
        progress = Progress("profiles looked at", total=len(profile_ids))
        for start in range(0, len(profile_ids), EMAILS_A_JOB):
            hundred = profile_ids[start : start + EMAILS_A_JOB]
            jobs, refused = len(self.jobs), len(self.outcome.refused)
            refusal = self._begin(hundred, self.client.run(draft(hundred, self.is_meant)))
            if refusal is not None and len(self.jobs) == jobs and len(self.outcome.refused) > refused + 1:
                raise refusal
            progress.advance(len(hundred))

    def _begin(self, profile_ids: Sequence[str], expected: Look) -> KlaviyoInvalidRequestError | None:
        """Begin a job for these profiles, or several by halves where Klaviyo refuses the whole; return the refusal."""
        permit = _Permit(self.client, self.is_meant, profile_ids, expected)
        for _ in range(MOST_LOOKS):
            if not permit.expected.emails:
                if permit.look():
                    self._note(permit.expected)
                    return None
                continue
            try:
                job = self.client.run(suppress_profiles(permit.expected.addresses, before_send=permit.require))
            except _OtherAddressesError:
                continue
            except KlaviyoInvalidRequestError as error:
                if error.status != 400:
                    raise
                return self._begin_halves(permit.expected, error)
            self._note(permit.expected)
            self.jobs.append(_Job(job, tuple(permit.expected.emails)))
            return None
        raise KlaviyoUnavailableError(
            f"the addresses of profiles change as often as they are looked at, {MOST_LOOKS} times by now, so that "
            "nothing was sent for them"
        )

    def _begin_halves(self, refused: Look, refusal: KlaviyoInvalidRequestError) -> KlaviyoInvalidRequestError:
        """Begin jobs for each half of the addresses: one bad address must not stop the others."""
        self._note(refused)
        if len(refused.emails) == 1:
            (profile_id,) = refused.emails
            log.warning("Profile %s is not suppressed: %s", profile_id, refusal)
            self.outcome.refused.append(profile_id)
        else:
            for half in refused.halves():
                self._begin(list(half.emails), half)
        return refusal

    def _note(self, seen: Look) -> None:
        """Record what has become of the profiles that are not suppressed."""
        for profile_id, reason in seen.others.items():
            match reason:
                case Reason.GONE:
                    self.outcome.gone.append(profile_id)
                case Reason.WITHOUT_EMAIL:
                    self.outcome.without_email.append(profile_id)
                case Reason.CHANGED:
                    log.warning("Profile %s is not suppressed: it does not hold what was listed any more", profile_id)
                    self.outcome.changed.append(profile_id)
                case Reason.SHARED:
                    log.warning(
                        "Profile %s is not suppressed: a profile that is not listed has the same address", profile_id
                    )
                    self.outcome.changed.append(profile_id)


def _finish(job: _Job) -> Conversation[tuple[_Job, set[str]]]:
    """Wait for a job, and look which of its profiles are there still."""
    yield from until_complete(job.job)
    found = yield from find_profiles(Kind.ID, job.profile_ids)
    there = {profile.id for profile in found.profiles}.union(found.refused, found.crowded)
    for profile_id in job.profile_ids:
        # A search may be late, and the job has just changed the profile.
        if profile_id not in there and (yield from profile_now(profile_id)) is not None:
            there.add(profile_id)
    return job, there


def _vanished(job: _Job, there: set[str]) -> list[str]:
    vanished = [profile_id for profile_id in job.profile_ids if profile_id not in there]
    for profile_id in vanished:
        log.warning(
            "Profile %s vanished while its address was being suppressed by job %s: Klaviyo may have made a new profile "
            "of the address, without consent and suppressed",
            profile_id,
            job.job.id,
        )
    return vanished
