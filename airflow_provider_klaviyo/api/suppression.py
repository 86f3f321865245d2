"""Suppress people: they are sent no marketing e-mail any more, whatever they have agreed to. It is not erasing.

A job suppresses up to 100 e-mail addresses in its own time, and makes a profile of an address that nobody has. So only
addresses of profiles that are there should be given to it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from airflow_provider_klaviyo.api.conversation import PATIENCE_SECONDS, Conversation, Sleep
from airflow_provider_klaviyo.api.diagnosis import ask
from airflow_provider_klaviyo.api.endpoints import GET_SUPPRESSION_JOB, SUPPRESS_PROFILES, Endpoint
from airflow_provider_klaviyo.api.errors import KlaviyoAnswerError, KlaviyoUnavailableError
from airflow_provider_klaviyo.api.wire import PLAIN_ID, Answer, Request, at, check_type, query_string, read_document

__all__ = [
    "EMAILS_A_JOB",
    "SuppressionJob",
    "get_suppression_job",
    "job_request",
    "suppress_profiles",
    "suppression_request",
    "until_complete",
]

EMAILS_A_JOB: Final = 100
JOB: Final = "profile-suppression-bulk-create-job"
FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 30.0
# How long a job takes is not documented.
JOB_PATIENCE_SECONDS: Final = 1_800.0
FIELDS: Final = {f"fields[{JOB}]": "status,total_count,completed_count,skipped_count"}


@dataclass(frozen=True, slots=True)
class SuppressionJob:
    """A job that suppresses addresses, and how far it is.

    :param status: ``queued``, ``processing``, ``complete`` or ``cancelled``.
    :param total_count: addresses given.
    :param completed_count: those that were suppressed by it, so far.
    :param skipped_count: those that it had nothing to do for, so far.
    """

    id: str
    status: str
    total_count: int
    completed_count: int = 0
    skipped_count: int = 0


def suppress_profiles(
    emails: Sequence[str],
    *,
    patience_seconds: float = PATIENCE_SECONDS,
    before_send: Callable[[], Conversation[None]] | None = None,
) -> Conversation[SuppressionJob]:
    """Begin to suppress addresses. An address that no profile has becomes one.

    :param emails: 1 to 100.
    :param before_send: runs before each send and each repeated send; a `NotPermittedError` from it stops the send.

    Scopes ``profiles:write`` and ``subscriptions:write``; 75 a second and 750 a minute for the whole account.
    Source: https://developers.klaviyo.com/en/reference/bulk_suppress_profiles
    """
    read = partial(_read_job, endpoint=SUPPRESS_PROFILES)
    request = suppression_request(emails)
    return (yield from ask(request, read, patience_seconds=patience_seconds, before_send=before_send))


def get_suppression_job(job_id: str, *, patience_seconds: float = PATIENCE_SECONDS) -> Conversation[SuppressionJob]:
    """Look how far a job is.

    :raises KlaviyoNotFoundError: there is no such job.

    Scope ``subscriptions:read``; 75 a second and 750 a minute for the whole account.
    Source: https://developers.klaviyo.com/en/reference/get_bulk_suppress_profiles_job
    """
    read = partial(_read_job, endpoint=GET_SUPPRESSION_JOB, job_id=job_id)
    return (yield from ask(job_request(job_id), read, patience_seconds=patience_seconds))


def until_complete(
    job: SuppressionJob, *, patience_seconds: float = JOB_PATIENCE_SECONDS
) -> Conversation[SuppressionJob]:
    """Look at a job, with pauses that grow from 1 s to 30 s, until it is complete.

    :raises KlaviyoUnavailableError: when it is cancelled, or not complete within the patience; the message names it.
    """
    pause_seconds = FIRST_PAUSE_SECONDS
    while job.status != "complete":
        if job.status == "cancelled":
            raise KlaviyoUnavailableError(
                f"Klaviyo has cancelled the suppression job {job.id}, of {job.total_count:,} addresses. Nothing is "
                "lost: a retry asks for it again"
            )
        if patience_seconds < pause_seconds:
            raise KlaviyoUnavailableError(
                f"the suppression job {job.id} is still {job.status}, and this call may not wait any longer. Klaviyo "
                "goes on with it; a retry asks for it once more, which does no harm"
            )
        yield Sleep(pause_seconds, f"the suppression job {job.id} is {job.status}")
        patience_seconds -= pause_seconds
        pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)
        job = yield from get_suppression_job(job.id)
    return job


def suppression_request(emails: Sequence[str]) -> Request:
    """Ask for a job that suppresses these addresses.

    Source: https://developers.klaviyo.com/en/reference/bulk_suppress_profiles
    """
    if isinstance(emails, str) or not 1 <= len(emails) <= EMAILS_A_JOB or not all(emails):
        raise ValueError(f"a job suppresses a list of 1 to {EMAILS_A_JOB} e-mail addresses, none of them empty")
    profiles = [{"type": "profile", "attributes": {"email": email}} for email in emails]
    job = {"type": JOB, "attributes": {"profiles": {"data": profiles}}}
    return Request(
        SUPPRESS_PROFILES,
        SUPPRESS_PROFILES.path,
        query=query_string(FIELDS),
        body=json.dumps({"data": job}).encode(),
    )


def job_request(job_id: str) -> Request:
    """Ask for a job. Anything but an id is refused: paths are logged.

    Source: https://developers.klaviyo.com/en/reference/get_bulk_suppress_profiles_job
    """
    if not PLAIN_ID.fullmatch(job_id):
        raise ValueError("not the id of a job: up to 64 letters and digits")
    path = GET_SUPPRESSION_JOB.path.replace("{id}", job_id)
    return Request(GET_SUPPRESSION_JOB, path, query=query_string(FIELDS))


def _read_job(answer: Answer, endpoint: Endpoint, job_id: str | None = None) -> SuppressionJob:
    """Read a job.

    :param job_id: of the one that was asked for; None for any.
    """
    data = read_document(answer, endpoint).get("data")
    answered_id, status = at(data, "id"), at(data, "attributes", "status")
    check_type(data, JOB)
    if not isinstance(answered_id, str) or not PLAIN_ID.fullmatch(answered_id):
        raise KlaviyoAnswerError("Klaviyo's answer has no suppression job with a proper id in it")
    if job_id is not None and answered_id != job_id:
        raise KlaviyoAnswerError(f"Klaviyo was asked for suppression job {job_id} and answered with another one")
    if status not in ("queued", "processing", "complete", "cancelled"):
        raise KlaviyoAnswerError(f"Klaviyo does not say how far the suppression job {answered_id} is")
    counts = (at(data, "attributes", f"{name}_count") for name in ("total", "completed", "skipped"))
    # Completed and skipped may be null; nothing hangs on them.
    return SuppressionJob(answered_id, str(status), *(number if type(number) is int else 0 for number in counts))
