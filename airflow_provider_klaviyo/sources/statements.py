"""The text of a query: one statement, which only reads, without what ends it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from airflow_provider_klaviyo.sources.errors import SourceError

__all__ = ["check_statement", "one_statement"]

WRITES: Final = {
    *("ALTER", "COPY", "CREATE", "DELETE", "DROP", "GRANT", "INSERT", "MERGE", "REPLACE", "REVOKE", "TRUNCATE"),
    *("UPDATE", "UPSERT"),
}
CALLS: Final = {"CALL", "DO", "EXEC", "EXECUTE"}


def check_statement(sql: Any) -> None:
    """Refuse what is no text of a query.

    :raises SourceError: in words that say what to write instead.
    """
    if isinstance(sql, list | tuple | set):
        raise SourceError(
            f"sql must be one query, as text, and not a {type(sql).__name__} of them: write one SELECT (with UNION ALL "
            "for several lists), and run what has to come before it in a task of its own"
        )
    if not isinstance(sql, str):
        raise SourceError(f"sql must be one query, as text, not {type(sql).__name__}")
    if not sql.strip():
        raise SourceError("sql is empty: write a query, such as SELECT email FROM …")


def one_statement(sql: Any) -> str:
    """Return a query as every database takes it: Trino and Oracle refuse a semicolon at its end.

    :raises SourceError: when it is empty, several statements, or one that writes: all it changes would be rolled back.
    """
    check_statement(sql)
    statement: list[str] = []
    words: list[_Word] = []
    is_over = False
    for kind, text in _tokens(sql):
        word = _Word.of(kind, text)
        if word is not None and text == ";":
            # Not before the query: SQL Server's people write ;WITH.
            is_over = bool(words)
        elif word is not None and is_over:
            raise SourceError("sql is several statements: write one query, and run the others in a task of their own")
        elif not is_over:
            statement.append(text)
            words += [] if word is None else [word]
    if not words:
        raise SourceError("sql is empty: write a query, such as SELECT email FROM …")
    _check_reading(words)
    return "".join(statement)


class _Word(NamedTuple):
    """What is neither space nor comment: a keyword in capitals, and anything else as it is."""

    text: str
    is_name: bool

    @classmethod
    def of(cls, kind: Any, text: str) -> _Word | None:
        from sqlparse.tokens import Comment, Keyword, Name, Whitespace

        if kind in Whitespace or kind in Comment:
            return None
        return _Word(text.upper() if kind in Keyword else text, kind in Keyword or kind in Name)


def _check_reading(words: list[_Word]) -> None:
    """Refuse a statement that writes.

    That is known by its first word; by the first one in brackets, as in PostgreSQL's ``WITH taken AS (UPDATE …)``; or
    by the one after such brackets, as in SQL Server's ``WITH … UPDATE … OUTPUT``.
    """
    first = next((word.text for word in words if word.is_name), "")
    if first in CALLS:
        raise SourceError(
            f"sql begins with {first}, and a source is only read: what a procedure changed would be rolled back. Write "
            "a SELECT, from a view or a table function if need be"
        )
    depth, is_before_select = 0, True
    for before, word, after in zip((None, *words), words, (*words[1:], None), strict=False):
        begins = before is not None and before.text == "(" and after is not None and after.is_name
        if word.text in WRITES and (begins or (depth == 0 and is_before_select)):
            raise SourceError(
                f"sql has {word.text}, and a source is only read: what it changed would be rolled back. Write a "
                "SELECT, and mark the rows in a task of its own, after this one"
            )
        depth += (word.text == "(") - (word.text == ")")
        is_before_select = is_before_select and not (depth == 0 and word.text == "SELECT")


def _tokens(sql: str) -> Iterator[tuple[Any, str]]:
    from sqlparse.lexer import tokenize

    tokens: Iterator[tuple[Any, str]] = tokenize(sql)  # type: ignore[no-untyped-call]
    return tokens
