"""Files as spreadsheets, warehouses and Klaviyo write them, as whole tasks: their people are deleted, or nobody is."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_klaviyo.deletion.entries import Entry
from airflow_provider_klaviyo.deletion.identifiers import Kind
from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.operators.klaviyo import (
    DeletionPlanOperator,
    ProfileDeletionOperator,
    ProfileUpdateOperator,
)
from airflow_provider_klaviyo.sources.errors import SourceError, SourceUnavailableError
from airflow_provider_klaviyo.sources.files import read_file

A, B, C = "a@example.com", "b@example.com", "c@example.com"
EXPORT = """\
Email,Klaviyo ID,First Name,Last Name,Organization,Title,Phone Number,City,Source,Email Marketing Consent,Created
{a},{a_id},Ada,"Lovelace, Lady",,,+15005550001,London,-59,SUBSCRIBED,2026-01-02 03:04:05
,{b_id},Bob,,,,+15005550002,,-59,NEVER_SUBSCRIBED,2026-01-02 03:04:05
"""


@pytest.fixture
def shop(emulator: Emulator, connect: Callable[..., None]) -> dict[str, str]:
    """Return the ids of three profiles by their addresses."""
    connect(emulator, account_id=emulator.account.id, fingerprint_key="a key that is long enough for a fingerprint")
    return {email: emulator.add_profile(email=email) for email in (A, B, C)}


def delete(**arguments: Any) -> dict[str, Any]:
    """Run the operator as a worker does, without a DAG around it."""
    return ProfileDeletionOperator(task_id="delete", **arguments).execute({})


def packed(*members: str) -> bytes:
    return b"".join(gzip.compress(member.encode()) for member in members)


@pytest.mark.parametrize(
    ("name", "content", "how"),
    [
        ("list.csv", f"email;name\n{A};Ada\n{B};Bob\n", {}),
        ("list.csv", f"name\temail\nAda\t{A}\nBob\t{B}\n", {}),
        ("list.csv", f"name|Email\nAda|{A}\nBob|{B}\n", {}),
        ("list.csv", f"'id':email\nx:{A}\ny:{B}\n", {"delimiter": ":"}),
        ("list.csv", f"email,a;id\n{A},1;2\n{B},1;2\n", {"delimiter": ","}),
        ("list.tsv", f"email\tname, first;id\n{A}\tx\n{B}\ty\n", {}),
        ("list.csv", f'\ufeff"name; first";"Email"\r\n"Lovelace; Ada";"{A}"\r\n"";{B}\r\n', {}),
        ("list.csv", f"email\tnäme\r\n{A}\tÄda\r\n{B}\tBöb\r\n".encode("utf-16"), {}),
        ("list.csv", f"email,name\n{A},Äda\n{B},Böb\n".encode("utf-16-le"), {}),
        ("list.csv", f"email,name\n{A},Äda\n{B},Böb\n".encode("utf-16-be"), {}),
        ("list.csv", f"email,name\n{A},Äda\n{B},Böb\n".encode("utf-32"), {}),
        ("list.jsonl", f'{{"email": "{A}"}}\r\n{{"email": "{B}"}}\r\n'.encode("utf-16"), {}),
        ("list.csv.gz", packed(f"email;name\n{A};Ada\n{B};Bob\n"), {}),
        ("list.CSV.GZ", packed(f"email\n{A}\n", f"{B}\n"), {}),
        ("list.csv", packed(f"email\n{A}\n{B}\n"), {}),
        ("list.csv.gz", f"email\n{A}\n{B}\n", {}),
        ("list.jsonl.gz", packed(f'{{"email": "{A}"}}\n{{"email": "{B}"}}\n'), {}),
        ("list.ndjson.gz", gzip.compress(f'{{"email": "{A}"}}\n{{"email": "{B}"}}'.encode("utf-16")), {}),
        ("list.csv", f"E-Mail;email;Id\n{A};x;1\n{B};y;2\n", {"columns": {"E-Mail": "email"}}),
        ("list.csv", f" customer e-mail ,n\n{A},1\n{B},2\n", {"columns": {"Customer E-Mail": "email"}}),
        ("list.csv", f"E-Mail,e-mail\nx,{A}\ny,{B}\n", {"columns": {"e-mail": "email"}}),
        ("list.csv", f"Ticket Nr|email\n1|{A}\n2|{B}\n", {"columns": {"Ticket Nr": "request_id"}}),
        ("list.jsonl", f'{{"E-Mail": "{A}", "id": 1}}\n{{"E-Mail": "{B}"}}\n', {"columns": {"E-Mail": "email"}}),
    ],
)
def test_the_people_of_a_file_are_deleted_and_no_others(
    tmp_path: Path, emulator: Emulator, shop: dict[str, str], name: str, content: str | bytes, how: dict[str, Any]
) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    delete(path=f"file://{path}", **how)
    assert emulator.deleted == {shop[A], shop[B]}


def test_parquet_has_columns_of_other_names_too(tmp_path: Path, emulator: Emulator, shop: dict[str, str]) -> None:
    import pyarrow as pa
    from pyarrow.parquet import write_table

    write_table(pa.table({"E-Mail": [A, B], "id": ["x", "y"]}), tmp_path / "list.parquet")
    delete(path=f"file://{tmp_path}/list.parquet", columns={"E-Mail": "email"})
    assert emulator.deleted == {shop[A], shop[B]}


def test_klaviyos_own_export_names_people_by_any_of_its_columns(
    tmp_path: Path, emulator: Emulator, shop: dict[str, str]
) -> None:
    path = tmp_path / "Everyone (export).csv"
    path.write_text(EXPORT.format(a=A, a_id=shop[A], b_id=shop[B]), encoding="utf-8-sig")
    delete(path=f"file://{path}", columns={"Klaviyo ID": "id"}, dry_run=True)
    delete(path=f"file://{path}", columns={"Klaviyo ID": "id"})
    assert emulator.deleted == {shop[A], shop[B]}
    assert list(read_file(path, Entry)) == [Entry(Kind.EMAIL, A), Entry(Kind.EMAIL, "")]
    by_phone = read_file(path, Entry, {"Phone Number": "phone_number", "Created": "received_at"})
    assert next(by_phone) == Entry(Kind.PHONE_NUMBER, "+15005550001", None, "2026-01-02 03:04:05")


def test_the_parts_of_a_list_are_one_plan(
    tmp_path: Path, emulator: Emulator, shop: dict[str, str], ledger: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_KLAVIYO_LEDGER", ledger.connection)
    (tmp_path / "list").mkdir()
    for number, email in enumerate((A, B)):
        (tmp_path / "list" / f"part-{number}.csv").write_text(f"E-Mail;Ticket\n{email};{number}\n")
    (tmp_path / "list" / "_SUCCESS").touch()
    pushed: dict[str, Any] = {}
    of = {"dag_id": "erase", "run_id": "a run", "task_id": "plan", "map_index": -1, "max_tries": 0}
    context: Any = {"ti": SimpleNamespace(**of, xcom_push=lambda key, value: pushed.update({key: value}))}
    columns = {"E-Mail": "email", "Ticket": "request_id"}
    for path in ("list", "list/part-*.csv"):
        plan = DeletionPlanOperator(task_id="plan", path=f"file://{tmp_path}/{path}", columns=columns)
        batches = plan.execute(context)
    assert pushed["plan"]["listed"] == 2
    for batch in batches:
        ProfileDeletionOperator(task_id="delete", batch=batch).execute(context)
    assert emulator.deleted == {shop[A], shop[B]}


def test_a_correction_has_columns_of_other_names_too(tmp_path: Path, emulator: Emulator, shop: dict[str, str]) -> None:
    path = tmp_path / "list.csv"
    path.write_text(f"Old Address;Name;New Address\n{A};Ada;ada@example.com\n")
    columns = {"Old Address": "email", "New Address": "new_email"}
    ProfileUpdateOperator(task_id="rectify", path=f"file://{path}", columns=columns).execute({})
    assert {profile.id: profile.email for profile in emulator.profiles()}[shop[A]] == "ada@example.com"
    assert emulator.deleted == set()


@pytest.mark.parametrize(
    ("name", "content", "how", "said"),
    [
        (
            "a.csv",
            f"email;name\n{A};Ada\n",
            {"columns": {"E-Mail": "email"}},
            "columns names 'E-Mail', and .*/a.csv has no",
        ),
        ("a.csv", f"email\n{A}\n", {"columns": {"A": "email", "B": "request_id"}}, "columns names 'A', 'B', and "),
        ("a.csv", f"E-Mail,e-mail\n{A},{B}\n", {"columns": {"E-MAIL": "email"}}, "has 2 columns named 'E-MAIL'"),
        ("a.csv", f"E-Mail,Phone\n{A},1\n", {}, r"and has none .in SQL, .* or give columns=.'E-Mail': 'email'"),
        ("a.csv", f"id;email\nx;{A}\n", {}, r"has 2 .id, email.: .*say which one counts, as in columns="),
        ("a.csv", f"email;name\n{A};Ada\n", {"delimiter": "|"}, "must have exactly one identifier"),
        ("a.csv.gz", packed("email\n") + b"canary", {}, r"a\.csv\.gz cannot be unpacked after line 0: BadGzipFile"),
        ("a.csv.gz", packed("email\n")[:-8] + b"canary78", {}, r"a\.csv\.gz cannot be unpacked after line 0: "),
        (
            "a.jsonl",
            f'{{"E-Mail": "{A}"}}\n{{"email": "{B}"}}',
            {"columns": {"E-Mail": "email"}},
            "line 2 of .* names 'E-Ma",
        ),
        ("a.parquet", f"email\n{A}\n", {}, "a.parquet cannot be read as Parquet"),
        ("a.xlsx", "PK", {}, "Its name must end in"),
    ],
)
def test_a_file_that_cannot_be_right_deletes_nobody_and_is_not_tried_again(
    tmp_path: Path,
    emulator: Emulator,
    shop: dict[str, str],
    name: str,
    content: str | bytes,
    how: dict[str, Any],
    said: str,
) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises((AirflowFailException, SourceError), match=said) as caught:
        delete(path=f"file://{path}", **how)
    assert emulator.deleted == set()
    assert A not in str(caught.value)


@pytest.mark.parametrize("path", ["s3://nope@bucket/list.csv", "s3://bucket/folder/", "gs://bucket/part-*.csv"])
@pytest.mark.usefixtures("shop")
def test_a_storage_that_cannot_be_is_not_tried_again(emulator: Emulator, path: str) -> None:
    with pytest.raises(
        AirflowFailException, match=r"(there is no connection 'nope'|install apache-airflow-providers-)"
    ):
        delete(path=path)
    assert emulator.calls("get_profiles") == 0


@pytest.mark.parametrize("path", ["list.csv", "list.parquet", "folder", "folder/part-*.csv"])
@pytest.mark.usefixtures("shop")
def test_a_file_that_is_not_there_yet_is_tried_again(tmp_path: Path, emulator: Emulator, path: str) -> None:
    with pytest.raises(SourceUnavailableError, match=r"there is no file .*, or not yet"):
        delete(path=f"file://{tmp_path}/{path}")
    assert emulator.calls("get_profiles") == 0


def test_a_packed_file_that_is_cut_off_is_tried_again(tmp_path: Path, emulator: Emulator, shop: dict[str, str]) -> None:
    path = tmp_path / "list.csv.gz"
    path.write_bytes(packed("email\n", *(f"{email}\n" for email in shop))[:-4])
    with pytest.raises(
        SourceUnavailableError, match=r"list\.csv\.gz is cut off after line \d: is it still being written"
    ):
        delete(path=f"file://{path}")
    assert emulator.deleted == set()
