"""Suppress profiles, and nobody else: Klaviyo suppresses addresses, and makes a profile of one that nobody has.

So an address is sent only if a look-up by id, made for just this and a moment ago, has found it in a profile that was
asked for. Whether that profile was still there when the job was done is looked up once more: Klaviyo has nothing by
which a job could be bound to it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from airflow_provider_klaviyo.api.calls import find_profiles
from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.api.conversation import Conversation
from airflow_provider_klaviyo.api.errors import KlaviyoError, KlaviyoInvalidRequestError
from airflow_provider_klaviyo.api.suppression import (
    EMAILS_A_JOB,
    SuppressionJob,
    suppress_profiles,
    until_complete,
)
from airflow_provider_klaviyo.deletion.identifiers import Kind
from airflow_provider_klaviyo.deletion.progress import Progress

__all__ = ["Suppressed", "suppress"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Suppressed:
    """What became of profiles that were to be suppressed, by their ids.

    :param suppressed: Klaviyo's job for them is complete; also of those that were suppressed before.
    :param without_email: they have no address, so there is nothing to suppress.
    :param gone: there is no such profile, or no longer.
    :param refused: Klaviyo will not take the id, or the address that it keeps itself.
    """

    suppressed: list[str] = field(default_factory=list)
    without_email: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Job:
    """A job, and the profiles whose addresses it has."""

    job: SuppressionJob
    profile_ids: tuple[str, ...]


@dataclass(slots=True)
class _Begun:
    """What was begun for some profiles, and what has become of the others already."""

    jobs: list[_Job] = field(default_factory=list)
    others: Suppressed = field(default_factory=Suppressed)


def suppress(
    profile_ids: Iterable[str],
    client: KlaviyoClient,
    done: Callable[[Sequence[str]], None] | None = None,
    *,
    is_meant: object = None,
) -> Suppressed:
    """Suppress profiles: look them up, 100 a call; give their addresses to jobs of 100; wait until all are complete.

    :param done: is told of the profiles that are suppressed, as jobs become complete.
    :raises KlaviyoError: at the first trouble that waiting did not mend, also a job that is cancelled or does not end.
        Suppressing once more does no harm.
    """
    ids = list(dict.fromkeys(profile_ids))
    hundreds = (ids[start : start + EMAILS_A_JOB] for start in range(0, len(ids), EMAILS_A_JOB))
    outcome = Suppressed()
    progress = Progress("profiles suppressed", total=len(ids))
    try:
        begun = list(client.run_each(map(_begin, hundreds)))
        for one in begun:
            outcome.without_email.extend(one.others.without_email)
            outcome.gone.extend(one.others.gone)
            outcome.refused.extend(one.others.refused)
        jobs = [job for one in begun for job in one.jobs]
        progress.advance(len(ids) - sum(len(job.profile_ids) for job in jobs))
        for job, there in client.run_each(map(_finish, jobs)):
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


def _begin(profile_ids: Sequence[str]) -> Conversation[_Begun]:
    """Look profiles up, and begin jobs for the addresses that they have now."""
    found = yield from find_profiles(Kind.ID, profile_ids)
    there = {profile.id: profile for profile in found.profiles}
    begun = _Begun()
    emails: dict[str, str] = {}
    for profile_id in profile_ids:
        profile = there.get(profile_id)
        if profile is None:
            (begun.others.refused if profile_id in found.refused else begun.others.gone).append(profile_id)
        elif profile.email is None:
            begun.others.without_email.append(profile_id)
        else:
            emails[profile_id] = profile.email
    if emails:
        refusal = yield from _begin_jobs(list(emails), emails, begun)
        if refusal is not None and not begun.jobs and len(emails) > 1:
            raise refusal
    return begun


def _begin_jobs(
    profile_ids: Sequence[str], emails: Mapping[str, str], begun: _Begun
) -> Conversation[KlaviyoInvalidRequestError | None]:
    """Begin a job, or several by halves where Klaviyo refuses the whole: one bad address must not stop the others."""
    try:
        job = yield from suppress_profiles(list(dict.fromkeys(emails[profile_id] for profile_id in profile_ids)))
    except KlaviyoInvalidRequestError as error:
        if error.status != 400:
            raise
        refusal = error
    else:
        begun.jobs.append(_Job(job, tuple(profile_ids)))
        return None
    if len(profile_ids) == 1:
        log.warning("Profile %s is not suppressed: %s", profile_ids[0], refusal)
        begun.others.refused.append(profile_ids[0])
    else:
        middle = len(profile_ids) // 2
        yield from _begin_jobs(profile_ids[:middle], emails, begun)
        yield from _begin_jobs(profile_ids[middle:], emails, begun)
    return refusal


def _finish(job: _Job) -> Conversation[tuple[_Job, set[str]]]:
    """Wait for a job, and look which of its profiles are there still."""
    yield from until_complete(job.job)
    found = yield from find_profiles(Kind.ID, job.profile_ids)
    return job, {profile.id for profile in found.profiles}.union(found.refused)


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
