"""The law of the pace: whatever happens, no window of Klaviyo's gets more calls than it takes."""

from __future__ import annotations

import heapq
import threading
from bisect import bisect_left
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_klaviyo.api.endpoints import GET_PROFILES, PROFILE_DELETION, Endpoint
from airflow_provider_klaviyo.api.pace import Limit, Pace, Paces, Slot, hold, reserve
from airflow_provider_klaviyo.api.settings import DEFAULT_UTILISATION

# What differs by less is a rounding error.
EPSILON = 1e-6

endpoints = st.sampled_from([PROFILE_DELETION, GET_PROFILES])
shares = st.floats(min_value=0.3, max_value=0.999)
moments = st.floats(min_value=0, max_value=90)


def most_in_a_window(calls: list[float], seconds: float) -> int:
    """Return how many calls fit into a window of this length, whenever it begins."""
    calls = sorted(calls)
    return max((bisect_left(calls, first + seconds - EPSILON) - i for i, first in enumerate(calls)), default=0)


def assert_within(limit: Limit, calls: list[float]) -> None:
    assert most_in_a_window(calls, 1) <= limit.burst
    assert most_in_a_window(calls, 60) <= limit.steady


class Office:
    """Many workers that make one call after the other for a while, in a time of their own."""

    def __init__(self, interval_seconds: float) -> None:
        self.now = 0.0
        self.calls: list[float] = []
        self.paces = Paces(lambda: self.now)
        self._interval_seconds = interval_seconds

    def work(self, arrivals: list[float], holds: list[tuple[float, float]], until: float) -> None:
        agenda: list[tuple[float, int, Iterator[float]]] = []
        for number, at in enumerate(arrivals):
            heapq.heappush(agenda, (at, number, self._worker()))
        for number, (at, seconds) in enumerate(holds, start=len(agenda)):
            heapq.heappush(agenda, (at, number, self._holder(seconds)))
        while agenda and agenda[0][0] <= until:
            self.now, number, who = heapq.heappop(agenda)
            for waits in who:
                heapq.heappush(agenda, (self.now + waits, number, who))
                break

    def _worker(self) -> Iterator[float]:
        while True:
            slot = self.paces.reserve("", "", self._interval_seconds)
            while slot.wait_seconds > 0:
                yield slot.wait_seconds
                slot = self.paces.reserve("", "", self._interval_seconds, slot)
            self.calls.append(self.now)
            yield 0.0

    def _holder(self, seconds: float) -> Iterator[float]:
        self.paces.hold("", "", seconds)
        yield from ()


@given(endpoints, shares, st.lists(moments, min_size=1, max_size=12), st.lists(st.tuples(moments, moments), max_size=5))
def test_no_window_overflows_however_many_share_the_pace_and_whatever_holds_them_up(
    endpoint: Endpoint, share: float, arrivals: list[float], holds: list[tuple[float, float]]
) -> None:
    office = Office(endpoint.limit.interval_seconds(share))
    office.work(arrivals, holds, until=130)
    assert_within(endpoint.limit, office.calls)


@given(endpoints, shares, st.lists(st.integers(min_value=1, max_value=40), min_size=2, max_size=40))
def test_no_window_overflows_when_one_process_follows_the_other(
    endpoint: Endpoint, share: float, calls_of_each: list[int]
) -> None:
    interval_seconds = endpoint.limit.interval_seconds(share)
    now = 0.0
    calls: list[float] = []
    for number in calls_of_each:
        pace = Pace.starting(now, interval_seconds)
        for _ in range(number):
            pace, slot = reserve(pace, now, interval_seconds)
            now = slot.at
            calls.append(now)
    assert_within(endpoint.limit, calls)


@given(shares, st.lists(st.floats(min_value=0, max_value=1), min_size=150, max_size=150))
def test_a_second_of_jitter_on_the_way_moves_no_deletion_into_a_full_window(share: float, late: list[float]) -> None:
    interval_seconds = PROFILE_DELETION.limit.interval_seconds(min(share, DEFAULT_UTILISATION))
    assert_within(PROFILE_DELETION.limit, [i * interval_seconds + seconds for i, seconds in enumerate(late)])


@given(
    st.lists(st.tuples(moments, moments), min_size=1),
    st.floats(min_value=0.01, max_value=5),
)
def test_nobody_has_a_turn_during_a_hold(holds: list[tuple[float, float]], interval_seconds: float) -> None:
    pace = Pace.starting(0, interval_seconds)
    pace, early = reserve(pace, 0, interval_seconds)
    end = 0.0
    for now, seconds in sorted(holds):
        end = max(end, now + seconds)
        pace = hold(pace, now + seconds)
        pace, slot = reserve(pace, now, interval_seconds)
        pace, again = reserve(pace, now, interval_seconds, early)
        assert slot.at >= end
        assert again.at >= end


def test_who_will_not_wait_so_long_keeps_nobody_from_their_turn() -> None:
    pace = hold(Pace(next_at=0), until=100)
    for now in range(40):
        unchanged, slot = reserve(pace, now, interval_seconds=1, longest_seconds=60)
        assert unchanged == pace
        assert slot == Slot(100, 100 - now)
    taken, slot = reserve(pace, now=40, interval_seconds=1, longest_seconds=60)
    assert (taken.next_at, slot) == (101, Slot(100, 60))


def test_turns_are_one_interval_apart() -> None:
    paces = Paces(lambda: 0.0)
    turns = [paces.reserve("", "", 2.0).at for _ in range(4)]
    assert [later - earlier for earlier, later in pairwise(turns)] == [2.0, 2.0, 2.0]


@pytest.mark.parametrize(("interval_seconds", "wait_seconds"), [(0.08, 0.08), (1.05, 1.0), (4.2, 1.0)])
def test_a_process_begins_with_a_wait_because_another_may_have_just_called(
    interval_seconds: float, wait_seconds: float
) -> None:
    assert Paces(lambda: 100.0).reserve("", "", interval_seconds).wait_seconds == pytest.approx(wait_seconds)


def test_a_reserved_turn_that_was_missed_by_a_second_is_void() -> None:
    pace, slot = reserve(Pace(next_at=5), now=0, interval_seconds=0.1)
    assert reserve(pace, now=5.9, interval_seconds=0.1, slot=slot) == (pace, Slot(at=5, wait_seconds=0))
    later, exchanged = reserve(pace, now=6, interval_seconds=0.1, slot=slot)
    assert (exchanged, later.next_at) == (Slot(at=6, wait_seconds=0), 6.1)


def test_turns_that_were_missed_are_not_made_up_for() -> None:
    pace, slot = reserve(Pace(next_at=0), now=100, interval_seconds=1)
    assert slot == Slot(at=100, wait_seconds=0)
    assert pace.next_at == 101


def test_a_turn_that_a_hold_made_void_is_exchanged_for_one_behind_it() -> None:
    pace, slot = reserve(Pace(next_at=5), now=0, interval_seconds=1)
    assert slot.at == 5
    pace = hold(pace, until=30)
    pace, exchanged = reserve(pace, now=5, interval_seconds=1, slot=slot)
    assert exchanged == Slot(at=30, wait_seconds=25)
    assert pace.next_at == 31


def test_a_turn_behind_a_hold_stays_as_it_is() -> None:
    pace, slot = reserve(Pace(next_at=5), now=0, interval_seconds=1)
    pace = hold(pace, until=3)
    assert reserve(pace, now=2, interval_seconds=1, slot=slot) == (pace, Slot(at=5, wait_seconds=3))


def test_a_shorter_hold_does_not_lift_a_longer_one() -> None:
    pace = hold(Pace(next_at=0), until=60)
    assert hold(pace, until=10) is pace


def test_each_account_and_each_endpoint_has_a_pace_of_its_own() -> None:
    paces = Paces(lambda: 0.0)
    paces.hold("one", "get_profiles", 60)
    assert paces.reserve("one", "get_profiles", 0.1).wait_seconds == 60
    assert paces.reserve("one", "profile_deletion", 0.1).wait_seconds < 1
    assert paces.reserve("other", "get_profiles", 0.1).wait_seconds < 1


def test_threads_never_get_the_same_turn() -> None:
    paces = Paces()
    turns: list[float] = []

    def take_turns() -> None:
        turns.extend(paces.reserve("", "", 0.5).at for _ in range(200))

    threads = [threading.Thread(target=take_turns) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(turns) == 1_600
    assert min(later - earlier for earlier, later in pairwise(sorted(turns))) > 0.499


@pytest.mark.parametrize(
    ("limit", "share", "interval_seconds"),
    [
        (Limit(burst=3, steady=60), 1, 1.0),
        (Limit(burst=3, steady=60), 0.95, 1 / 0.95),
        (Limit(burst=75, steady=750), 1, 0.08),
        (Limit(burst=1, steady=600), 1, 1.0),
        (Limit(burst=1, steady=15), 0.5, 8.0),
    ],
)
def test_the_narrower_window_sets_the_interval(limit: Limit, share: float, interval_seconds: float) -> None:
    assert limit.interval_seconds(share) == pytest.approx(interval_seconds)
