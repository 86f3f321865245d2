"""A long job says every half minute how far it is."""

from __future__ import annotations

import logging

import pytest

from airflow_provider_klaviyo.deletion.progress import Progress, duration
from airflow_provider_klaviyo.emulator import ManualClock


def test_it_says_so_every_thirty_seconds_and_not_more_often(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    progress = Progress("deletions requested", total=1_000, clock=clock)
    for _ in range(100):
        clock.advance(1)
        progress.advance()
    assert len(caplog.records) == 3
    assert caplog.messages[0] == "30 of 1,000 deletions requested in 30 s (60.0 a minute), about 16 min left"


def test_without_a_total_there_is_no_time_left_to_tell(clock: ManualClock) -> None:
    progress = Progress("identifiers looked up", clock=clock)
    clock.advance(60)
    progress.advance(75_000)
    assert progress.describe() == "75,000 identifiers looked up in 60 s (75,000.0 a minute)"


def test_a_job_that_has_just_begun_has_no_rate(clock: ManualClock) -> None:
    assert Progress("things", total=3, clock=clock).describe() == "0 of 3 things in 0 s"


def test_a_job_that_is_done_has_no_time_left(clock: ManualClock) -> None:
    progress = Progress("things", total=2, clock=clock)
    clock.advance(2)
    progress.advance(2)
    assert progress.describe() == "2 of 2 things in 2 s (60.0 a minute)"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (45, "45 s"),
        (89, "89 s"),
        (90, "2 min"),
        (1_053, "18 min"),
        (7_500, "2 h 5 min"),
        (172_799, "2 d 0 h"),
        (1_000_000, "11 d 13 h"),
    ],
)
def test_a_time_span_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words
