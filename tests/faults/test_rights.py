"""What becomes of those who see, correct or restrict their data under every fault of the emulator, at every endpoint.

A task ends in success, or in an error whose name says what to do; and the same task run again, once the fault is gone,
has done what was asked, for those who asked, and nothing to anybody else.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_klaviyo.access.errors import OutputUnavailableError, ProfileGoneError
from airflow_provider_klaviyo.api.endpoints import ENDPOINTS
from airflow_provider_klaviyo.api.errors import KlaviyoError
from airflow_provider_klaviyo.emulator.faults import ABOUT, FAULTS
from airflow_provider_klaviyo.hooks import klaviyo as hooks
from airflow_provider_klaviyo.operators.klaviyo import (
    ProfileAccessOperator,
    ProfileSuppressionOperator,
    ProfileUpdateOperator,
)

NAMED = (KlaviyoError, AirflowFailException, OutputUnavailableError, ProfileGoneError)
MET_BY: Mapping[str, tuple[str, ...]] = {
    "see": ("get_profiles", "get_profile", "get_profile_lists", "get_profile_segments", "get_events"),
    "correct": ("get_profiles", "update_profile"),
    "restrict": ("get_profiles", "suppress_profiles", "get_suppression_job"),
}
OPTIONS: Final[Mapping[str, Mapping[str, Any]]] = {"throttled": {"retry_after": 7_200}, "gzip_bomb": {"megabytes": 1}}
# What only a deletion meets: tests/faults/test_matrix.py.
OF_DELETIONS: Final = {fault for fault, endpoints in ABOUT.items() if endpoints == {"profile_deletion"}}


def each_fault() -> Iterator[tuple[str, str, str]]:
    """Yield each task, endpoint and fault that can meet."""
    for task, endpoints in MET_BY.items():
        for endpoint in endpoints:
            for fault in sorted(set(FAULTS) - OF_DELETIONS):
                if endpoint in ABOUT.get(fault, {endpoint}):
                    yield task, endpoint, fault


@dataclass
class Office:
    """Three people who ask, of whom Klaviyo knows two, and two who are much like them and do not."""

    shop: Any
    folder: Path
    asked: dict[str, str] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        emulator = self.shop.emulator
        for name in ("ada", "eve"):
            self.asked[name] = emulator.add_profile(email=f"{name}@canary.example", external_id=f"customer-{name}")
            self.others[name] = emulator.add_profile(email=f"{name}+1@canary.example", external_id=f"Customer-{name}")
        for place in (emulator.add_list("News"), emulator.add_list("Offers")):
            for one in (*self.asked.values(), *self.others.values()):
                emulator.add_to_list(one, place)
        for one in (*self.asked.values(), *self.others.values()):
            emulator.add_to_segment(one, emulator.add_segment("Engaged"))
            emulator.add_event(one, "Placed Order", {"of": one})
        self.before = {one.id: one for one in emulator.profiles()}

    def see(self) -> None:
        people = [{"email": f"{name}@canary.example", "request_id": name} for name in (*self.asked, "nobody")]
        self._run(
            ProfileAccessOperator(
                task_id="see", profiles=people, output_path=f"file://{self.folder}", include_events=True
            )
        )

    def correct(self) -> None:
        people = [{"external_id": f"customer-{name}", "new_email": f"new.{name}@canary.example"} for name in self.asked]
        nobody = {"external_id": "customer-nobody", "new_email": "new.nobody@canary.example"}
        self._run(ProfileUpdateOperator(task_id="correct", profiles=[*people, nobody]))

    def restrict(self) -> None:
        people = [f"{name}@canary.example" for name in (*self.asked, "nobody")]
        self._run(ProfileSuppressionOperator(task_id="restrict", profiles=people))

    def check_see(self) -> None:
        assert {path.name for path in self.folder.iterdir()} == {"ada.json", "eve.json", "nobody.json"}
        for name, profile_id in self.asked.items():
            document = json.loads((self.folder / f"{name}.json").read_text())
            (profile,) = document["profiles"]
            assert profile["id"] == profile_id
            assert len(profile["lists"]) == 2
            assert len(profile["segments"]) == 1
            assert [event["attributes"]["event_properties"]["of"] for event in profile["events"]] == [profile_id]
        assert json.loads((self.folder / "nobody.json").read_text())["profiles"] == []
        self.check_others(list(self.asked.values()))

    def check_correct(self) -> None:
        now = {one.id: one for one in self.shop.emulator.profiles()}
        assert {now[one].email for one in self.asked.values()} == {"new.ada@canary.example", "new.eve@canary.example"}
        assert all(now[one].external_id == f"customer-{name}" for name, one in self.asked.items())
        self.check_others()

    def check_restrict(self) -> None:
        assert self.shop.emulator.suppressed == set(self.asked.values())
        self.check_others()

    def check_others(self, also: list[str] | None = None) -> None:
        """See that whoever did not ask is as before, and that there is nobody new."""
        now = {one.id: one for one in self.shop.emulator.profiles()}
        assert set(now) == set(self.before)
        for one in (*self.others.values(), *(also or ())):
            assert now[one] == self.before[one]

    def check_no_half(self) -> None:
        """See that under a final name there is a whole document only."""
        for path in self.folder.glob("*.json"):
            json.loads(path.read_text())

    def _run(self, operator: Any) -> None:
        hooks._checked_keys.clear()
        of = {"dag_id": "rights", "run_id": "run 1", "task_id": operator.task_id, "map_index": -1, "max_tries": 9}
        result = operator.execute({"ti": SimpleNamespace(**of)})
        assert "canary" not in json.dumps(result)


@pytest.fixture
def office(
    shops: Callable[..., AbstractContextManager[Any]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> Iterator[Office]:
    with shops() as shop, caplog.at_level("INFO"):
        yield Office(shop, tmp_path / "documents")
        # Not `caplog.text`, which is empty again after the test.
        assert "canary" not in "".join(map(caplog.handler.format, caplog.get_records("call")))


@pytest.mark.parametrize(("task", "endpoint", "fault"), list(each_fault()))
def test_it_is_done_or_says_why_and_then_it_is_done(office: Office, task: str, endpoint: str, fault: str) -> None:
    emulator = office.shop.emulator
    scopes = {"scope": ENDPOINTS[endpoint].scopes[0]} if fault == "scope_missing" else {}
    emulator.fault(fault, endpoint=endpoint, **OPTIONS.get(fault, {}), **scopes)

    ending = ending_of(getattr(office, task))

    assert emulator.faults[0]["struck"]
    if ending is not None:
        assert "canary" not in "".join(traceback.format_exception(ending))
        office.check_no_half()
        office.check_others(list(office.asked.values()) if task == "see" else None)
    emulator.clear_faults()
    office.shop.wait_for_a_retry()
    getattr(office, task)()
    getattr(office, f"check_{task}")()


def ending_of(task: Callable[[], None]) -> Exception | None:
    try:
        task()
    except NAMED as error:
        return error
    return None
