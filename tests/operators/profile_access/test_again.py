"""What lies in the folder already: kept by a retry, replaced by everyone else, and for its owner only."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_klaviyo.emulator import Emulator


def test_a_retry_keeps_what_is_written_and_others_read_anew(emulator: Emulator, export: Any) -> None:
    listed = export.add_three()
    first = export(*listed)
    emulator.reset_counts()
    assert export(*listed) == first
    assert emulator.calls("get_profile_lists") == 0
    for change in ({"run_id": "run 2"}, {"max_tries": 7}, {"include_events": True}):
        before = export.ids()
        emulator.reset_counts()
        assert export(*listed, **change) == first
        assert emulator.calls("get_profile_lists") == 3
        assert not before.items() & export.ids().items()


def test_a_retry_reads_whom_a_search_did_not_find_before(emulator: Emulator, export: Any) -> None:
    listed = [*export.add_three(), {"email": "nobody@example.com", "request_id": "R9"}]
    emulator.fault("late_index", seconds=3_600)
    assert export.counted(export(*listed)) == {"absent": 4}
    emulator.clear_faults()
    before = (export.folder / "R9.json").read_bytes()
    assert export.counted(export(*listed)) == {"exported": 3, "absent": 1}
    assert [len(export.read(f"R{number}.json")["profiles"]) for number in range(3)] == [1, 1, 1]
    assert (export.folder / "R9.json").read_bytes() == before
    written = export.ids()
    emulator.fault("late_index", seconds=3_600)
    assert export.counted(export(*listed)) == {"absent": 4}
    assert export.ids() == written, "what was read before is kept"


def test_who_has_one_identifier_more_is_read_anew(
    emulator: Emulator, export: Any, warehouse: Callable[..., Path]
) -> None:
    listed = [one["email"] for one in export.add_three()]
    database = warehouse(*listed)
    of_query = {"sql": "SELECT email, request_id % 10 AS request_id FROM suppression_list", "sql_conn_id": "warehouse"}
    export(profiles=None, **of_query)
    emulator.reset_counts()
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("INSERT INTO suppression_list VALUES (11, 'second.address@example.com', NULL)")
    assert export.counted(export(profiles=None, **of_query)) == {"exported": 3}
    assert emulator.calls("get_profile_lists", 200) == 1
    assert len(export.read("1.json")["identifiers"]) == 2


@pytest.mark.parametrize(
    "there", [b"", b"{}", b'{"export_id": ', b"\xff\x00", b'{\n  "export_id": "0123456789abcdef0123456789abcdef",\n']
)
def test_what_is_none_of_this_try_is_replaced(emulator: Emulator, export: Any, there: bytes) -> None:
    export.folder.mkdir(parents=True)
    (export.folder / "R0.json").write_bytes(there)
    export(*export.add_three())
    assert len(export.read("R0.json")["profiles"]) == 1


def test_what_a_killed_try_has_left_is_removed_and_nothing_else(emulator: Emulator, export: Any) -> None:
    export.folder.mkdir(parents=True)
    (export.folder / "R0.json.0123.part").write_text("half of")
    (export.folder / "9.json.0123.part").write_text("of somebody else")
    (export.folder / "notes.txt").write_text("of theirs")
    export(*export.add_three())
    assert export.files() == ["9.json.0123.part", "R0.json", "R1.json", "R2.json", "notes.txt"]


def test_documents_are_for_their_owner_only(emulator: Emulator, export: Any) -> None:
    export(*export.add_three())
    assert {stat.S_IMODE(path.stat().st_mode) for path in export.folder.iterdir()} == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (export.folder, export.folder.parent)} == {0o700}
