"""A task names one source, and each source gives entries, or their identifiers alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_klaviyo.deletion.entries import Entry
from airflow_provider_klaviyo.deletion.identifiers import Kind
from airflow_provider_klaviyo.sources.errors import SourceError, SourceUnavailableError
from airflow_provider_klaviyo.sources.source import Source

A, B = "a@example.com", "b@example.com"


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        (Source(), r"say who is meant: profiles=\[…\], or sql=… with sql_conn_id=…, or path=…"),
        (Source([A], "SELECT 1", "db"), r"give either profiles=\[…\] or sql=…, not both"),
        (Source(sql="SELECT 1", sql_conn_id="db", path="a.csv"), "give either sql=… or path=…, not both"),
        (Source([A], "SELECT 1", "db", path="a.csv"), "not all"),
        (Source(sql="SELECT 1"), "needs sql_conn_id"),
        (Source(sql="SELECT 1", sql_conn_id=""), "needs sql_conn_id"),
        (Source([A], parameters={"day": 1}), "belong to sql"),
        (Source(path="a.csv", parameters={"day": 1}), "belong to sql"),
        (
            Source(path="s3://bucket/a.xlsx"),
            r"a\.xlsx\? Its name must end in one of \.csv, \.jsonl, \.ndjson, \.parquet",
        ),
        (Source(path="s3://bucket/list.csv.zip"), "Its name must end in"),
        (Source(path="s3://bucket/list.jsonl", delimiter=";"), "delimiter belongs to a CSV file, and .* is JSON lines"),
        (Source(path="list.csv", delimiter="; "), "delimiter must be one character"),
        (Source(path="list.csv", delimiter='"'), "delimiter must be one character"),
        (Source(path="list.csv", delimiter=""), "delimiter must be one character"),
        (Source(sql="SELECT 1", sql_conn_id="db", delimiter=";"), "delimiter belongs to path"),
        (Source([A], columns={"E-Mail": "email"}), "columns belongs to sql=… or path=…: in profiles, write our names"),
        (Source(path="list.csv", columns={}), "columns must be a mapping of a column's name to ours, such as"),
        (Source(path="list.csv", columns=["email"]), "columns must be a mapping"),  # type: ignore[arg-type]
        (
            Source(path="list.csv", columns={"E-Mail": "mail"}),
            "has 'mail', and each must be one of email, phone_number",
        ),
        (Source(path="list.csv", columns={"A": "email", "B": "id"}), "has an identifier more than once"),
        (Source(path="list.csv", columns={"A": "request_id", "B": "request_id"}), "has request_id more than once"),
        (Source(sql=["SELECT 1"], sql_conn_id="db"), "sql must be one query, as text, and not a list of them"),  # type: ignore[arg-type]
        (Source(sql=" ", sql_conn_id="db"), "sql is empty"),
        (Source([{"mail": A}]), "one of email, phone_number, id, external_id"),
        (Source({"email": A, "id": "x"}), "exactly one identifier"),
        (Source([[{"e_mail": A}]]), "exactly one identifier"),
    ],
)
def test_a_task_that_cannot_be_meant_is_refused_when_the_dag_is_read(source: Source, complaint: str) -> None:
    with pytest.raises(SourceError, match=complaint):
        source.check()


class Output:
    """Stands for another task's output, as far as it is looked at."""

    def iter_references(self) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize(
    "source",
    [
        Source([]),
        Source([A]),
        Source([{"email": "{{ params.email }}", "request_id": 7}]),
        Source("{{ params.profiles }}"),
        Source(object()),
        Source(sql="SELECT email FROM people", sql_conn_id="nowhere", parameters=[1]),
        Source(profiles=[A], sql_conn_id="a_default"),
        Source(path="s3://aws@bucket/{{ ds }}/list.PARQUET"),
        Source(path="{{ params.path }}"),
        Source(path=Path("list.csv")),
        Source(path="s3://bucket/folder"),
        Source(path="s3://bucket/day=1.5/"),
        Source(path="s3://bucket/part-*", delimiter=";"),
        Source(path="list.csv.gz", delimiter="\t", columns={"E-Mail": "email", "Ticket": "request_id"}),
        Source(sql=Output(), sql_conn_id="db"),  # type: ignore[arg-type]
        Source(path=Output()),
    ],
)
def test_what_is_only_known_later_is_not_judged_when_the_dag_is_read(source: Source) -> None:
    source.check()


def test_a_list_is_a_source() -> None:
    source = Source([A, {"email": B, "request_id": 7}])
    assert list(source.entries()) == [Entry(None, A), Entry(Kind.EMAIL, B, 7)]
    assert list(source.rows()) == [A, {"email": B}]


def test_a_query_is_a_source(database: str) -> None:
    source = Source(sql="SELECT day AS request_id, email FROM people", sql_conn_id=database)
    source.check()
    assert list(source.entries()) == [Entry(Kind.EMAIL, A, 1), Entry(Kind.EMAIL, B, 2)]
    assert list(source.rows()) == [{"email": A}, {"email": B}]


def test_a_file_is_a_source(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text(f"email,regulation\n{A},GDPR\n")
    source = Source(path=f"file://{path}")
    source.check()
    assert list(source.entries()) == [Entry(Kind.EMAIL, A, regulation="GDPR")]
    assert list(source.rows()) == [{"email": A}]


def test_no_source_is_no_empty_list() -> None:
    with pytest.raises(SourceError):
        list(Source().rows())


def test_rows_that_are_left_half_way_let_go_of_their_source(database: str, opened: list[Any]) -> None:
    rows = Source(sql="SELECT email FROM people", sql_conn_id=database).rows()
    assert next(rows) == {"email": A}
    rows.close()
    with pytest.raises(Exception, match="closed"):
        opened[0].execute("SELECT 1")


def test_a_source_does_not_show_its_people() -> None:
    assert "example" not in repr(Source([A], parameters=[B]))


def test_an_error_that_stays_is_none_that_passes() -> None:
    assert not issubclass(SourceUnavailableError, SourceError)


def test_checking_a_source_imports_no_reader() -> None:
    program = (
        "import sys; from airflow_provider_klaviyo.sources.source import Source; "
        "Source(sql='SELECT 1', sql_conn_id='db').check(); Source(path='a.parquet').check(); "
        "print([name for name in sys.modules if name.split('.')[0] in ('airflow', 'pyarrow', 'csv', 'httpx') "
        "or name.startswith('airflow_provider_klaviyo.deletion')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
