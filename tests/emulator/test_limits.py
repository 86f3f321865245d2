"""Fixed windows keep their word at any phase and any pace."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_klaviyo.emulator.limits import HeaderForm, Limit, Quota

LIMITS = st.builds(Limit, st.integers(1, 5), st.integers(1, 20))
PHASES = st.tuples(st.floats(0, 1, exclude_max=True), st.floats(0, 60, exclude_max=True))
# Times between calls: mostly a rush, now and then a pause.
GAPS = st.lists(st.one_of(st.floats(0, 0.3), st.floats(0, 20)), max_size=150)


def accepted_times(quota: Quota, gaps: list[float]) -> list[float]:
    now, accepted = 1000.0, []
    for gap in gaps:
        now += gap
        if quota.take(now) is None:
            accepted.append(now)
    return accepted


@settings(deadline=None)
@given(LIMITS, PHASES, GAPS)
def test_no_window_accepts_more_than_its_limit(limit: Limit, phases: tuple[float, float], gaps: list[float]) -> None:
    quota = Quota(limit, *phases)
    accepted = accepted_times(quota, gaps)
    for phase, seconds, most in (
        (phases[0], 1, limit.burst),
        (phases[1], 60, limit.steady),
    ):
        # In microseconds, as the windows count: a time on an edge has one answer.
        numbers = [(round(at * 1e6) - round(phase * 1e6)) // (seconds * 1_000_000) for at in accepted]
        largest = max((numbers.count(number) for number in set(numbers)), default=0)
        assert largest <= most
        assert quota.most_in_one_window[seconds] == largest


@settings(deadline=None)
@given(LIMITS, PHASES, GAPS)
def test_the_sliding_minute_is_counted_exactly(limit: Limit, phases: tuple[float, float], gaps: list[float]) -> None:
    quota = Quota(limit, *phases)
    accepted = [round(at * 1e6) for at in accepted_times(quota, gaps)]
    largest = max((sum(at - 60_000_000 < other <= at for other in accepted) for at in accepted), default=0)
    assert quota.most_in_any_minute == largest
    assert quota.accepted == len(accepted)


@settings(deadline=None)
@given(LIMITS, PHASES, GAPS)
def test_a_retry_after_exactly_the_wait_passes_and_the_wait_is_no_longer_than_needed(
    limit: Limit, phases: tuple[float, float], gaps: list[float]
) -> None:
    quota = Quota(limit, *phases)
    now = 1000.0
    for gap in gaps:
        now += gap
        wait = quota.take(now)
        if wait is not None:
            assert 1 <= wait <= 60
            if wait > 1:
                assert quota.take(now + wait - 1) is not None
            now += wait
            assert quota.take(now) is None


def test_a_refused_call_uses_nothing() -> None:
    quota = Quota(Limit(1, 2))
    assert quota.take(1000.0) is None
    for _ in range(50):
        assert quota.take(1000.5) == 1
    assert quota.take(1001.0) is None
    assert quota.take(1002.0) == 1020 - 1002, "the minute began at 960"


def test_windows_are_fixed_so_that_twice_the_limit_fits_round_an_edge() -> None:
    quota = Quota(Limit(3, 60))
    assert [quota.take(1000.99) for _ in range(3)] == [None] * 3
    assert quota.take(1000.99) == 1
    assert [quota.take(1001.0) for _ in range(3)] == [None] * 3
    assert quota.most_in_any_minute == 6
    assert quota.most_in_one_window == {1: 3, 60: 6}


@pytest.mark.parametrize(
    ("form", "limit", "remaining", "reset"),
    [("windows", "3, 3;w=1, 60;w=60", "2", "1"), ("minute", "60", "59", "20")],
)
def test_headers_describe_what_is_left(form: HeaderForm, limit: str, remaining: str, reset: str) -> None:
    quota = Quota(Limit(3, 60))
    quota.take(1000.25)
    assert quota.headers(1000.25, form) == {
        "RateLimit-Limit": limit,
        "RateLimit-Remaining": remaining,
        "RateLimit-Reset": reset,
    }


def test_headers_turn_to_the_minute_when_less_is_left_of_it() -> None:
    quota = Quota(Limit(3, 4))
    for now in (1000.0, 1001.0, 1002.0):
        quota.take(now)
    assert quota.headers(1003.0, "windows") == {
        "RateLimit-Limit": "4, 3;w=1, 4;w=60",
        "RateLimit-Remaining": "1",
        "RateLimit-Reset": str(math.ceil(1020 - 1003)),
    }


def test_calls_of_others_use_the_quota_but_are_not_ours() -> None:
    quota = Quota(Limit(3, 60))
    quota.take(1000.0, own=False)
    quota.take(1000.0)
    assert quota.headers(1000.0, "windows")["RateLimit-Remaining"] == "1"
    assert (quota.accepted, quota.eaten) == (1, 1)
    assert quota.most_in_one_window == {1: 1, 60: 1}


def test_scaling_leaves_at_least_one_call() -> None:
    assert Limit(3, 60).scaled(100) == Limit(300, 6000)
    assert Limit(3, 60).scaled(0.001) == Limit(1, 1)
