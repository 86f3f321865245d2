"""Filters as Klaviyo writes them: `equals(email,"a@example.com")`, `any(id,["x","y"])`, and nothing else.

Strict on purpose: a client that quotes wrongly is told so here, and not by an erased stranger.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

FIELDS = ("id", "email", "phone_number", "external_id")
EVENT_FIELDS = ("metric_id", "profile_id")
OPERATORS = ("equals", "any")

_CALL = re.compile(r"(?P<operator>[a-z-]+)\((?P<field>[a-z_]+),(?P<argument>.*)\)", re.DOTALL)
_STRING = re.compile(r'"((?:[^"\\]|\\["\\])*)"')
_ESCAPE = re.compile(r'\\(["\\])')


class FilterError(ValueError):
    """The filter cannot be read; the text says why, without repeating a value."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Profiles, or events, whose `field` is one of `values`."""

    field: str
    values: tuple[str, ...]

    @classmethod
    def parse(
        cls,
        text: str,
        *,
        max_values: int,
        fields: Collection[str] = FIELDS,
        operators: Collection[str] = OPERATORS,
    ) -> Filter:
        """Read a filter, or raise `FilterError`."""
        call = _CALL.fullmatch(text)
        if call is None:
            raise FilterError('A filter looks like equals(field,"value") or any(field,["value","value"]).')
        if call["field"] not in fields:
            raise FilterError(f"The fields that can be filtered are {', '.join(fields)}.")
        if call["operator"] not in operators:
            raise FilterError(f"The operators are {', '.join(operators)}.")
        values = _values(call["operator"], call["argument"])
        if len(values) > max_values:
            raise FilterError(f"At most {max_values} values can be given, not {len(values)}.")
        return cls(call["field"], values)


def _values(operator: str, argument: str) -> tuple[str, ...]:
    if operator == "any":
        return _list(argument)
    value, end = _string(argument, 0)
    if end != len(argument):
        raise FilterError("equals takes exactly one string in double quotes.")
    return (value,)


def _list(text: str) -> tuple[str, ...]:
    if not text.startswith("["):
        raise FilterError("any takes a list in square brackets.")
    values: list[str] = []
    end = 0
    while not values or text[end : end + 1] == ",":
        value, end = _string(text, end + 1)
        values.append(value)
    if text[end:] != "]":
        raise FilterError("The list of values does not end with a square bracket.")
    return tuple(values)


def _string(text: str, start: int) -> tuple[str, int]:
    found = _STRING.match(text, start)
    if found is None:
        raise FilterError('A value is a string in double quotes, with \\" and \\\\ as the only escapes.')
    return _ESCAPE.sub(r"\1", found[1]), found.end()
