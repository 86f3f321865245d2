"""Jobs that suppress: written, read, waited for with growing pauses, and never for ever."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_klaviyo.api import suppression
from airflow_provider_klaviyo.api.conversation import Conversation
from airflow_provider_klaviyo.api.endpoints import GET_SUPPRESSION_JOB
from airflow_provider_klaviyo.api.errors import (
    KlaviyoAnswerError,
    KlaviyoInvalidRequestError,
    KlaviyoNotFoundError,
    KlaviyoPermissionError,
    KlaviyoUnavailableError,
)
from airflow_provider_klaviyo.api.suppression import (
    SuppressionJob,
    get_suppression_job,
    job_request,
    suppress_profiles,
    suppression_request,
    until_complete,
)
from airflow_provider_klaviyo.api.wire import Answer, Request
from airflow_provider_klaviyo.emulator import Emulator

Run = Callable[..., Any]


def suppress(emails: list[str]) -> Conversation[SuppressionJob]:
    """Begin a job, and wait for it."""
    made = yield from suppress_profiles(emails)
    return (yield from until_complete(made))


def job(status: object, job_id: object = "01JOB", **counts: object) -> Answer:
    attributes = {"status": status, "created_at": "2026-11-22T00:00:00+00:00", "total_count": 2, **counts}
    data = {"type": "profile-suppression-bulk-create-job", "id": job_id, "attributes": attributes}
    return Answer(200, {}, json.dumps({"data": data}).encode())


def test_a_job_has_the_addresses_in_its_body_and_nowhere_else() -> None:
    request = suppression_request(["jane@example.com", "joe@example.com"])
    assert (request.endpoint.method, request.path) == ("POST", "/api/profile-suppression-bulk-create-jobs")
    data = json.loads(request.body or b"")["data"]
    assert data["type"] == "profile-suppression-bulk-create-job"
    assert data["attributes"]["profiles"]["data"] == [
        {"type": "profile", "attributes": {"email": "jane@example.com"}},
        {"type": "profile", "attributes": {"email": "joe@example.com"}},
    ]
    assert "example" not in f"{request!r} {request.path} {request.query}"


@pytest.mark.parametrize("emails", [[], ["x@example.com"] * 101, "jane@example.com", ["jane@example.com", ""]])
def test_a_job_of_nobody_or_of_too_many_is_refused(emails: Any) -> None:
    with pytest.raises(ValueError, match="1 to 100") as caught:
        suppression_request(emails)
    assert "jane" not in str(caught.value)


@pytest.mark.parametrize("job_id", ["jane@example.com", "", "a/b", "x" * 65])
def test_only_an_id_gets_into_a_path(job_id: str) -> None:
    with pytest.raises(ValueError, match="not the id of a job"):
        job_request(job_id)


def test_whoever_is_there_is_suppressed(run: Run, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suppression, "FIRST_PAUSE_SECONDS", 0.01)
    jane, _ = emulator.add_profile("jane@example.com"), emulator.add_profile("bystander@example.com")
    made = run(suppress_profiles(["jane@example.com"]))
    assert (made.status, made.total_count) == ("queued", 1)
    assert run(get_suppression_job(made.id)).id == made.id
    done = run(suppress(["jane@example.com"]))
    assert (done.status, done.total_count) == ("complete", 1)
    assert emulator.suppressed == {jane}


def test_pauses_grow_from_a_second_to_thirty(stage: Any) -> None:
    answers = [job("queued"), *[job("processing", completed_count=1)] * 7, job("complete", completed_count=2)]
    done = stage.play(suppress(["jane@example.com", "joe@example.com"]), answers)
    assert (done.status, done.completed_count, done.skipped_count) == ("complete", 2, 0)
    pauses = [second - first for first, second in zip(stage.sent_at, stage.sent_at[1:], strict=False)]
    assert [round(pause) for pause in pauses[1:]] == [2, 4, 8, 16, 30, 30, 30]
    assert [request.endpoint for request in stage.sent[1:]] == [GET_SUPPRESSION_JOB] * 8


def test_one_that_is_complete_at_once_is_not_waited_for(stage: Any) -> None:
    assert stage.play(suppress(["jane@example.com"]), [job("complete", completed_count=None)]).completed_count == 0
    assert len(stage.sent) == 1


def test_a_cancelled_job_is_named_and_a_retry_asks_again(stage: Any) -> None:
    with pytest.raises(KlaviyoUnavailableError, match=r"cancelled the suppression job 01JOB.* a retry asks for it"):
        stage.play(suppress(["jane@example.com"]), [job("queued"), job("cancelled")])


def test_a_job_that_never_ends_is_named_and_not_waited_for_for_ever(stage: Any) -> None:
    def never(request: Request) -> Answer:
        return job("processing")

    with pytest.raises(KlaviyoUnavailableError, match=r"01JOB is still processing.* a retry asks for it once more"):
        stage.play(suppress(["jane@example.com"]), never)
    assert stage.now < suppression.JOB_PATIENCE_SECONDS + 60
    assert len(stage.sent) < 100


@pytest.mark.parametrize(
    "answer",
    [
        job("complete", job_id="jane@example.com"),
        job("complete", job_id=7),
        job("complete", job_id=None),
        job("canary"),
        job(["complete"]),
        job(None),
        Answer(202, {}, b"{}"),
        Answer(202, {}, b'{"data": []}'),
        Answer(202, {}, b""),
        Answer(202, {}, job("complete").body.replace(b"profile-suppression-bulk-create-job", b"profile")),
    ],
)
def test_an_answer_that_is_no_job_is_not_believed(stage: Any, answer: Answer) -> None:
    with pytest.raises(KlaviyoAnswerError) as caught:
        stage.play(suppress(["jane@example.com"]), lambda _: answer)
    assert "canary" not in str(caught.value)
    assert "jane" not in str(caught.value)


def test_another_job_is_not_taken_for_this_one(stage: Any) -> None:
    with pytest.raises(KlaviyoAnswerError, match="with another one"):
        stage.play(get_suppression_job("01JOB"), lambda _: job("complete", job_id="01OTHER"))


def test_counts_that_are_none_do_no_harm(stage: Any) -> None:
    counts = {"total_count": "2", "completed_count": True, "skipped_count": -1.5}
    done = stage.play(suppress(["jane@example.com"]), [job("complete", **counts)])
    assert (done.total_count, done.completed_count, done.skipped_count) == (0, 0, 0)


@pytest.mark.parametrize("scope", ["profiles:write", "subscriptions:write", "subscriptions:read"])
def test_a_missing_scope_is_named(run: Run, emulator: Emulator, scope: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suppression, "FIRST_PAUSE_SECONDS", 0.01)
    emulator.add_profile("jane@example.com")
    emulator.fault("scope_missing", scope=scope)
    with pytest.raises(KlaviyoPermissionError, match=scope):
        run(suppress(["jane@example.com"]))


def test_a_job_that_there_is_not(run: Run) -> None:
    with pytest.raises(KlaviyoNotFoundError):
        run(get_suppression_job("01NOTHING"))


def test_an_address_that_is_none_is_refused_by_klaviyo(run: Run) -> None:
    with pytest.raises(KlaviyoInvalidRequestError):
        run(suppress_profiles(["no address"]))
