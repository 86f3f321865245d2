"""The text of a query: one statement that reads, and is handed over without its semicolon."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_klaviyo.sources.errors import SourceError
from airflow_provider_klaviyo.sources.statements import check_statement, one_statement

CTE = "WITH people AS (SELECT 1 AS email) SELECT email FROM people"


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT email FROM people", "SELECT email FROM people"),
        ("SELECT email FROM people;", "SELECT email FROM people"),
        ("SELECT email FROM people ; \n; -- all of them; really\n/* ; */", "SELECT email FROM people "),
        ("-- who; what\nSELECT 1 AS email;", "-- who; what\nSELECT 1 AS email"),
        ("/* a; b */ SELECT ';' AS email, \"a;b\" FROM t;", "/* a; b */ SELECT ';' AS email, \"a;b\" FROM t"),
        ("SELECT 'it''s; mine' AS email, $$ ; $$, $a$;$a$;", "SELECT 'it''s; mine' AS email, $$ ; $$, $a$;$a$"),
        (";" + CTE, CTE),
        (CTE, CTE),
        (
            "(SELECT email FROM a) UNION ALL (SELECT email FROM b);",
            "(SELECT email FROM a) UNION ALL (SELECT email FROM b)",
        ),
    ],
)
def test_a_query_is_handed_over_without_what_ends_it(sql: str, expected: str) -> None:
    assert one_statement(sql) == expected


@pytest.mark.parametrize(
    "sql",
    [
        "FROM people SELECT email",
        "VALUES ('a@example.com')",
        "TABLE people",
        "LOCKING ROW FOR ACCESS SELECT email FROM people",
        "SELECT replace(email, ' ', '') AS email, insert(a, 1, 1, 'x') FROM people",
        "SELECT email FROM people WHERE action IN ('update', 'DELETE FROM') FOR UPDATE",
        "SELECT copy, p.update, (replace), count(copy), x AS delete FROM people",
        "SELECT email FROM updates WHERE note = 'a; DELETE FROM people'",
    ],
)
def test_a_query_that_only_sounds_as_if_it_wrote_is_taken(sql: str) -> None:
    assert one_statement(sql) == sql


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        (["SELECT 1", "SELECT 2"], r"one query, as text, and not a list of them: write one SELECT \(with UNION ALL"),
        (("SELECT 1",), "not a tuple of them"),
        (b"SELECT 1", "as text, not bytes"),
        (7, "as text, not int"),
        ("", "sql is empty: write a query, such as SELECT email FROM"),
        (" \n", "sql is empty"),
        (" ; ;", "sql is empty"),
        ("-- nothing", "sql is empty"),
        ("SELECT 1; SELECT 2", "sql is several statements: write one query"),
        ("SELECT 1; /* x */ DELETE FROM people;", "sql is several statements"),
        ("SET search_path TO x; SELECT 1", "sql is several statements"),
        (
            "UPDATE people SET taken = now() RETURNING email",
            "sql has UPDATE, and a source is only read: what it changed",
        ),
        ("-- take them\ndelete from people returning email;", "sql has DELETE"),
        ("INSERT INTO a SELECT email FROM b RETURNING email", "sql has INSERT"),
        ("MERGE INTO a USING b ON a.x = b.x WHEN MATCHED THEN DELETE", "sql has MERGE"),
        ("CREATE TABLE a AS SELECT email FROM b", "sql has CREATE"),
        ("TRUNCATE people", "sql has TRUNCATE"),
        ("WITH taken AS (UPDATE people SET x = 1 RETURNING email) SELECT email FROM taken", "sql has UPDATE"),
        ("WITH a AS (SELECT 1), b AS ( /* ! */ DELETE FROM p RETURNING email) SELECT email FROM b", "sql has DELETE"),
        ("WITH c AS (SELECT email FROM p) UPDATE c SET x = 1 OUTPUT inserted.email", "sql has UPDATE"),
        ("SELECT email FROM FINAL TABLE (UPDATE people SET x = 1)", "sql has UPDATE"),
        ("CALL take_people()", "sql begins with CALL, and .* Write a SELECT, from a view or a table function"),
        ("EXEC dbo.take_people", "sql begins with EXEC,"),
        ("{call take_people}", "sql begins with CALL,"),
        ("DO $$ BEGIN; END $$", "sql begins with DO,"),
    ],
)
def test_what_is_no_single_query_is_refused(sql: Any, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        one_statement(sql)


@pytest.mark.parametrize("sql", ["list.sql", "{{ params.sql }}", "UPDATE people"])
def test_only_the_kind_of_a_query_is_known_when_the_dag_is_read(sql: str) -> None:
    check_statement(sql)
