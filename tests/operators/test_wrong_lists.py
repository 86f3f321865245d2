"""A list that is wrong for one reason fails every task that reads it, before anything is done about anybody."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_klaviyo.concealed import Concealed
from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.operators.access import ProfileAccessOperator
from airflow_provider_klaviyo.operators.klaviyo import (
    DeletionPlanOperator,
    DeletionRecheckOperator,
    ProfileDeletionOperator,
    ProfileSuppressionOperator,
    ProfileUpdateOperator,
)
from airflow_provider_klaviyo.operators.source import SourceOperator
from airflow_provider_klaviyo.sources.errors import SourceError

JANE, JOE = "jane@example.com", "joe@example.com"
OPERATORS = (
    DeletionPlanOperator,
    DeletionRecheckOperator,
    ProfileAccessOperator,
    ProfileDeletionOperator,
    ProfileSuppressionOperator,
    ProfileUpdateOperator,
)
READING = {"get_account", "get_profiles"}


class Row(NamedTuple):
    """A row of a query, as a database library has it."""

    email: str
    handled_by: str


# Lists that somebody has meant as people, and what must be said of them.
WRONG: dict[str, tuple[Any, str]] = {
    "bytes": ([JANE.encode(), JOE.encode()], "bytes"),
    "numbers": ([1, 2, 3], "numbers"),
    "fractions": ([1.0, 2.0], "numbers"),
    "nothing but NULL": ([None, None], "no value"),
    "another column": (["Jane", "Joe"], "text without an @"),
    "a text with commas": (f"{JANE},{JOE}", "one text with commas"),
    "a text with lines": (f"{JANE}\n{JOE}\n", "one text with commas, semicolons or line breaks"),
    "the text of a list": (f"['{JANE}', '{JOE}']", "the text of a list"),
    "items with commas": ([f"{JANE},{JOE}"], "text with several values"),
    "a template that was not rendered": (["{{ params.who }}"] * 2, "template"),
    "a column in a mapping": ({"email": [JANE, JOE]}, "lists or mappings"),
    "a table": (pa.table({"email": [JANE, JOE]}), "is a table"),
    "rows": ([(JANE, JOE)], "rows of 2 values"),
    "rows as lists": ([[JANE, JOE], [JANE, JOE]], "rows of 2 values"),
    "named rows": ([Row(JANE, JOE)], "rows of 2 values"),
    "a row": ((JANE, JOE), "rows of 2 values"),
    "a wrong mapping": ([{"email": JANE, "handled_by": JOE}], "no other keys"),
    "a number": (7, "must be a list"),
    "half a list": ([JANE, JOE, *["nobody"] * 10], "1[02] of 12 rows are invalid"),
}


@pytest.fixture(autouse=True)
def people(
    emulator: Emulator, account: Callable[[Emulator], str], ledger: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """A Klaviyo in which everybody is called what a wrong list may be taken for; nothing happens to any of them."""
    monkeypatch.setenv("AIRFLOW_CONN_KLAVIYO_DEFAULT", account(emulator))
    monkeypatch.setenv("AIRFLOW_CONN_KLAVIYO_LEDGER", ledger.connection)
    emulator.add_profiles({"email": email} for email in (JANE, JOE))
    emulator.add_profiles({"external_id": value} for value in ("1", "2", "email", "nobody", "None"))
    yield
    assert emulator.deletion_requests == []
    assert emulator.calls() == sum(map(emulator.calls, READING))


@pytest.fixture(params=OPERATORS, ids=lambda operator: operator.__name__)
def operator(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., SourceOperator]:
    """Make a task of each kind that reads a list."""

    def make(**arguments: Any) -> SourceOperator:
        if request.param is ProfileAccessOperator:
            arguments["output_path"] = str(tmp_path / "documents")
        made: SourceOperator = request.param(task_id="task", **arguments)
        return made

    return make


def context() -> Any:
    of = {"dag_id": "erase", "run_id": "run", "task_id": "task", "map_index": -1, "max_tries": 0}
    return {"ti": SimpleNamespace(**of, xcom_push=lambda **_: None)}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_list_fails_and_says_what_it_looks_like(
    operator: Callable[..., SourceOperator], name: str, ledger: Any, tmp_path: Path
) -> None:
    profiles, words = WRONG[name]
    task = operator(profiles=[])
    task.profiles = Concealed(profiles)  # As Airflow hands over what another task returned.
    with pytest.raises(AirflowFailException, match=words) as caught:
        task.execute(context())
    assert "@example" not in str(caught.value)
    assert not list(tmp_path.glob("documents/*"))
    if isinstance(task, DeletionPlanOperator):
        assert ledger.rows("SELECT count(*) FROM klaviyo_requests") == [(0,)]


@pytest.mark.parametrize("name", ["rows", "rows as lists", "named rows", "a wrong mapping"])
def test_what_the_author_has_written_wrong_fails_when_the_dag_is_read(
    operator: Callable[..., SourceOperator], name: str
) -> None:
    with pytest.raises(SourceError, match=WRONG[name][1]):
        operator(profiles=WRONG[name][0])


def test_a_wrong_column_of_a_query_fails(
    operator: Callable[..., SourceOperator], warehouse: Callable[..., Path]
) -> None:
    warehouse(*["Jane"] * 20)
    with pytest.raises(AirflowFailException, match=r"20 of 20 rows are invalid.*text without an @"):
        operator(sql="SELECT email FROM suppression_list", sql_conn_id="warehouse").execute(context())


def test_a_wrong_column_of_a_file_fails(operator: Callable[..., SourceOperator], tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("email,name\n" + "Jane,jane@example.com\n" * 20)
    with pytest.raises(AirflowFailException, match="20 of 20 rows are invalid"):
        operator(path=str(path)).execute(context())


def test_an_empty_list_is_nobody_and_no_error(operator: Callable[..., SourceOperator]) -> None:
    empties: list[Any] = [[], (), iter(()), pa.array([])]
    for empty in empties:
        task = operator(profiles=[])
        task.profiles = Concealed(empty)
        result = task.execute(context())
        assert result == [] or result["listed"] == 0


@pytest.mark.parametrize("share", [-0.1, 1.1, 50, float("nan")])
def test_a_share_is_between_0_and_1(operator: Callable[..., SourceOperator], share: float) -> None:
    with pytest.raises(ValueError, match="max_invalid must be a share of the rows, from 0 to 1"):
        operator(profiles=[], max_invalid=share)


class TestMaxInvalid:
    """Of a list in which nobody is in Klaviyo, so that nothing happens either way."""

    listed = (*[f"absent.{number}@example.com" for number in range(8)], "nobody", "nobody else")

    def run(self, operator: Callable[..., SourceOperator], **arguments: Any) -> Any:
        task = operator(profiles=self.changes(operator), **arguments)
        result = task.execute(context())
        assert json.loads(json.dumps(result)) == result
        return result

    def changes(self, operator: Callable[..., SourceOperator]) -> list[Any]:
        if isinstance(operator(profiles=[]), ProfileUpdateOperator):
            kinds = ("email" if "@" in one else "phone_number" for one in self.listed)
            return [{kind: one, "new_external_id": one} for kind, one in zip(kinds, self.listed, strict=True)]
        return list(self.listed)

    @pytest.mark.parametrize("share", [None, 0.2, 0.5, 1])
    def test_as_many_as_it_allows_are_left_out(
        self, operator: Callable[..., SourceOperator], share: float | None
    ) -> None:
        self.run(operator, max_invalid=share)

    @pytest.mark.parametrize("share", [0, 0.19])
    def test_more_fail_the_task(self, operator: Callable[..., SourceOperator], share: float) -> None:
        with pytest.raises(AirflowFailException, match=r"2 of 10 rows are invalid.*raise max_invalid") as caught:
            self.run(operator, max_invalid=share)
        assert "nobody" not in str(caught.value)
