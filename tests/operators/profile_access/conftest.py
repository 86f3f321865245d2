"""A Klaviyo with people in it, and the task that writes their documents, as a worker runs it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_klaviyo.access.export import Export
from airflow_provider_klaviyo.deletion.fingerprints import FingerprintKeys
from airflow_provider_klaviyo.deletion.identifiers import Identifier
from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.operators.klaviyo import ProfileAccessOperator

KEY = "a key that is long enough for a fingerprint"
FATES = ("exported", "absent", "invalid", "refused", "held")


class Exporting:
    """The task, and the folder that it writes to, which is not there yet."""

    key = KEY
    keys = FingerprintKeys.parse(KEY)

    def __init__(self, emulator: Emulator, folder: Path) -> None:
        self.emulator = emulator
        self.folder = folder

    def __call__(self, *profiles: Any, run_id: str = "run 1", max_tries: int = 3, **arguments: Any) -> dict[str, Any]:
        result = self.operator(*profiles, **arguments).execute(self.context(run_id, max_tries))
        return dict(json.loads(json.dumps(result)))

    def operator(self, *profiles: Any, **arguments: Any) -> ProfileAccessOperator:
        arguments = {"output_path": str(self.folder), "profiles": list(profiles)} | arguments
        return ProfileAccessOperator(task_id="access", **arguments)

    @staticmethod
    def context(run_id: str = "run 1", max_tries: int = 3) -> Any:
        of = {"dag_id": "privacy", "run_id": run_id, "task_id": "access", "map_index": -1, "max_tries": max_tries}
        return {"ti": SimpleNamespace(**of)}

    @staticmethod
    def counted(result: Mapping[str, Any]) -> dict[str, int]:
        return {fate: result[fate] for fate in FATES if result[fate]}

    def fingerprint(self, value: object) -> str:
        return f"{self.keys.of(Identifier.parse(value))}.json"

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir()) if self.folder.is_dir() else []

    def read(self, path: Path | str) -> Any:
        return json.loads((self.folder / path).read_bytes().decode("utf-8"))

    def ids(self) -> dict[str, str]:
        return {name: self.read(name)["export_id"] for name in self.files()}

    def add_jane(self) -> str:
        """Add somebody of whom there is a lot, on two pages each."""
        emulator = self.emulator
        jane = emulator.add_profile(
            email="jane@example.com",
            phone_number="+15005550006",
            first_name="Jané",
            properties={"size": 39, "b": [None]},
        )
        for number in range(13):
            emulator.add_to_list(jane, emulator.add_list(f"List {number}"))
            emulator.add_to_segment(jane, emulator.add_segment(f"Segment {number}"))
            emulator.add_event(jane, "Placed Order", {"number": number}, at=1_000_000 + number)
        return jane

    def add_three(self) -> list[dict[str, Any]]:
        """Add three people, and return the rows that list them."""
        listed = []
        for number in range(3):
            self.emulator.add_profile(email=f"{number}@example.com")
            listed.append({"email": f"{number}@example.com", "request_id": f"R{number}"})
        return listed


@pytest.fixture
def export(emulator: Emulator, connect: Callable[..., None], tmp_path: Path) -> Exporting:
    """The task, with an emulator behind its connection in which there is a stranger whom nobody asks for."""
    connect(emulator, account_id=emulator.account.id, fingerprint_key=KEY)
    stranger = emulator.add_profile(email="stranger@example.com", properties={"secret": "of a stranger"})
    emulator.add_to_list(stranger, emulator.add_list("Strangers"))
    emulator.add_to_segment(stranger, emulator.add_segment("Strangers"))
    emulator.add_event(stranger, "Placed Order", {"secret": "of a stranger"})
    return Exporting(emulator, tmp_path / "exports" / "2026-11-22")


@pytest.fixture
def when_read(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Let something happen once, between the look-up and the reading."""

    def when_read(does: Callable[[], object]) -> None:
        read_one = Export._read
        done: list[object] = []

        def read(self: Export, one: Any) -> Any:
            if not done:
                done.append(does())
            return read_one(self, one)

        monkeypatch.setattr(Export, "_read", read)

    return when_read
