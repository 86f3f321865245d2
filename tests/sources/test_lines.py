"""Text files: what is not CSV, not JSON or not UTF-8 is refused with the number of its line, and never shown."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_klaviyo.deletion.entries import Entry
from airflow_provider_klaviyo.deletion.identifiers import Kind
from airflow_provider_klaviyo.sources.errors import SourceError
from airflow_provider_klaviyo.sources.lines import csv_entries, json_entries
from airflow_provider_klaviyo.sources.source import Source

A, B = "a@example.com", "b@example.com"
ROW = "canary@example.com"


def csv_of(content: str | bytes) -> list[Entry]:
    return list(csv_entries(io.BytesIO(content.encode() if isinstance(content, str) else content), "list.csv", Entry))


def json_of(content: str | bytes) -> list[Entry]:
    return list(
        json_entries(io.BytesIO(content.encode() if isinstance(content, str) else content), "list.jsonl", Entry)
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (f"email\n{A}\n{B}\n", [Entry(Kind.EMAIL, A), Entry(Kind.EMAIL, B)]),
        (f"email\r\n{A}\r\n{B}", [Entry(Kind.EMAIL, A), Entry(Kind.EMAIL, B)]),
        (f"email\r{A}\r{B}\r", [Entry(Kind.EMAIL, A), Entry(Kind.EMAIL, B)]),
        (f"\ufeffemail\n{A}\n", [Entry(Kind.EMAIL, A)]),
        (f'\ufeff"Email"\n"{A}"\n', [Entry(Kind.EMAIL, A)]),
        (f"\n\nemail\n\n{A}\n\n", [Entry(Kind.EMAIL, A)]),
        ("email", []),
        ("name,phone_number\nAda,+15005550001\n", [Entry(Kind.PHONE_NUMBER, "+15005550001")]),
        (
            "regulation, request_id ,id,received_at\nGDPR,7,x,2026-01-02\n,,,\n",
            [Entry(Kind.ID, "x", "7", "2026-01-02", "GDPR"), Entry(Kind.ID, "", "", "", "")],
        ),
        ('external_id,note\n"a ""b"", c","two\nlines"\n', [Entry(Kind.EXTERNAL_ID, 'a "b", c')]),
        ("email\nßé@example.com\n", [Entry(Kind.EMAIL, "ßé@example.com")]),
    ],
)
def test_csv_is_read(content: str, expected: list[Entry]) -> None:
    assert csv_of(content) == expected


fields = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=20)


@given(st.lists(st.tuples(fields.filter(str.strip), fields)), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_what_csv_writes_is_read(rows: list[tuple[str, str]], newline: str, has_mark: bool) -> None:
    written = io.StringIO()
    csv.writer(written, lineterminator=newline).writerows([("external_id", "request_id"), *rows])
    content = written.getvalue().encode("utf-8-sig" if has_mark else "utf-8")
    assert csv_of(content) == [Entry(Kind.EXTERNAL_ID, *row) for row in rows]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "list.csv must have exactly one identifier"),
        ("\n\n", "list.csv must have exactly one identifier"),
        (f"{ROW}\n{ROW}\n", "one of email, phone_number, id, external_id, and has none"),
        (f"mail;name\n{ROW};Ada\n", "and has none"),
        ("email,id\n", r"has 2 \(email, id\)"),
        ("email,regulation,Regulation\n", "2 columns or keys named regulation"),
        (f"email,name\n{A},Ada\n\n{ROW}\n", "line 4 of list.csv has 1 fields, and the first has 2"),
        (f"email\n{A}\n{ROW},{ROW}\n", "line 3 of list.csv has 2 fields, and the first has 1"),
        (f'email,name\n{A},"two\nlines"\n{ROW}\n', "line 4 of list.csv has 1 fields"),
        (f'email\n"{ROW}" x\n', "line 2 of list.csv cannot be read as CSV: "),
        (f'email\n"{ROW}\n{ROW}\n', "line 3 of list.csv cannot be read as CSV: unexpected end of data"),
        (f"email\n{ROW}{'x' * 200_000}\n", "line 2 of list.csv cannot be read as CSV: field larger than field limit"),
        (f'email\n{A}\n"{ROW}{"x" * 999_000}"\n', "line 3 of list.csv cannot be read as CSV: field larger than"),
        (f"email\n{ROW}{'x' * 2**20}\n", "line 2 of list.csv is longer than 1,000,000 characters"),
        (b"email\na@example.com\ncanary@example.com\xe9\n", "line 3 of list.csv is not in UTF-8"),
        (b"email\ncanary@example.com\xc3", "line 2 of list.csv is not in UTF-8"),
        (b"email,canary\xff\n", "line 1 of list.csv is not in UTF-8"),
        (b"email\ncanary\xed\xb2\x80@example.com\n", "line 2 of list.csv is not in UTF-8"),
        (
            f"email\n{ROW}\n".encode("utf-16") + b"x",
            "something after line 2 of list.csv is not in UTF-16, in which the file begins",
        ),
        ("email\n".encode("utf-16") + b"\x00\xdcx\x00", "line 2 of list.csv is not in UTF-16"),
        (f"email\n{ROW}".encode("utf-32") + b"x\x00\x00\x77", "something after line 0 of list.csv is not in UTF-32"),
        (f"email,a;id\n{ROW},b;c\n", "the fields of list.csv may be separated by ',' or ';': say so with delimiter="),
    ],
)
def test_what_is_not_csv_is_refused_and_not_shown(content: str | bytes, complaint: str) -> None:
    with pytest.raises(SourceError, match=complaint) as caught:
        csv_of(content)
    assert "canary" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_rows_before_a_broken_one_are_read(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("email\n" + "a@example.com\n" * 2_500 + "a,b\n")
    read: list[Entry] = []
    with pytest.raises(SourceError, match=r"line 2502 of file:///.*list\.csv has 2 fields"):
        read.extend(Source(path=f"file://{path}").entries())


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", []),
        (f'{{"email": "{A}"}}\n{{"email": "{B}"}}\n', [Entry(Kind.EMAIL, A), Entry(Kind.EMAIL, B)]),
        (f'\ufeff{{"email": "{A}"}}\r\n\r\n  {{"email": "{B}"}} ', [Entry(Kind.EMAIL, A), Entry(Kind.EMAIL, B)]),
        (
            '{"external_id": 7, "request_id": 8, "name": {"first": "Ada"}, "tags": []}\n{"id": null}\n',
            [Entry(Kind.EXTERNAL_ID, 7, 8), Entry(Kind.ID, None)],
        ),
        (
            f'{{"RECEIVED_AT": "2026-01-02", "EMAIL": "{A}", "REGULATION": "CCPA", "Request_Id": 1.5}}',
            [Entry(Kind.EMAIL, A, 1.5, "2026-01-02", "CCPA")],
        ),
        ('{"email": "\\u00e9\\n\u2028@example.com"}', [Entry(Kind.EMAIL, "é\n\u2028@example.com")]),
    ],
)
def test_json_lines_are_read(content: str, expected: list[Entry]) -> None:
    assert json_of(content) == expected


values = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()


@given(st.lists(st.dictionaries(st.sampled_from(["request_id", "regulation", "x", ""]), values)), st.booleans())
def test_what_json_writes_is_read(mappings: list[dict[str, object]], is_ascii: bool) -> None:
    rows = [mapping | {"email": number} for number, mapping in enumerate(mappings)]
    content = "\n".join(json.dumps(row, ensure_ascii=is_ascii) for row in rows)
    try:
        found = json_of(content)
    except UnicodeEncodeError:
        return  # A lone surrogate cannot be written.
    expected = [Entry(Kind.EMAIL, row["email"], row.get("request_id"), None, row.get("regulation")) for row in rows]
    assert found == expected


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (f'"{ROW}"', "is no JSON object, and each line must be one"),
        (f'["{ROW}"]', "is no JSON object"),
        (f'[["email", "{ROW}"]]', "is no JSON object"),
        ("7", "is no JSON object"),
        ("null", "is no JSON object"),
        ("{", "is no JSON object"),
        (f'{{"email": "{ROW}"', "is no JSON object"),
        (f'{{"email": "{ROW}"}} {{"email": "{ROW}"}}', "is no JSON object"),
        (f"{{'email': '{ROW}'}}", "is no JSON object"),
        ('{"email": ' + "[" * 100_000, "is no JSON object"),
        ('{"external_id": ' + "7" * 5_000 + "}", "is no JSON object"),
        ("{}", "must have exactly one identifier"),
        (f'{{"{ROW}": 1}}', "one of email, phone_number, id, external_id, and has none"),
        (f'{{"email": "{ROW}", "phone_number": null}}', r"has 2 \(email, phone_number\)"),
        (f'{{"email": "{A}", "email": "{ROW}"}}', r"has 2 \(email, email\)"),
        (f'{{"email": "{ROW}", "request_id": 1, "REQUEST_ID": 2}}', "2 columns or keys named request_id"),
        ('{"email": "' + "x" * 2**20 + '"}', "is longer than 1,000,000 characters"),
    ],
)
def test_what_is_no_object_with_one_identifier_is_refused_and_not_shown(line: str, complaint: str) -> None:
    with pytest.raises(SourceError, match=rf"line 3 of list\.jsonl.*{complaint}") as caught:
        json_of(f'{{"email": "{A}"}}\n\n{line}\n{{"email": "{B}"}}\n')
    assert "canary" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_json_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(SourceError, match=r"line 1 of list\.jsonl is not in UTF-8"):
        json_of(f'{{"email": "é{A}"}}\n'.encode("latin-1"))
