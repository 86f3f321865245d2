"""Refuse a list of which too many rows cannot be meant: a wrong column must not end as a list that names nobody."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from numbers import Number
from typing import Final, NamedTuple

__all__ = ["FEWEST_ROWS", "USUAL_MAX_INVALID", "InvalidListError", "InvalidRows"]

USUAL_MAX_INVALID: Final = 0.3
# In a list shorter than this, a few mistakes are a large share.
FEWEST_ROWS: Final = 10
NAMED_ROWS: Final = 5
NAMED_REASONS: Final = 3
# Of reasons and types, there are few; a list of millions of rows must not change that.
MOST_REASONS: Final = 100

LOOKED_AT: Final = 1_000
TEMPLATE: Final = re.compile(r"\{\{|\{%")
SEVERAL: Final = re.compile(r"\S\s*[,;|\r\n\t]\s*\S")


class InvalidListError(ValueError):
    """Too many rows of a list cannot be meant. Nothing was done; the message says what they look like."""


class _Look(NamedTuple):
    """What a value looks like, and what to write instead.

    :param may_be_chance: whether one such value, alone in a list, may be a slip rather than a wrong column.
    """

    words: str
    advice: str = ""
    may_be_chance: bool = False


@dataclass(slots=True)
class InvalidRows:
    """Counts the rows of a list that cannot be meant, and what they look like: their types, never their values.

    :param max_invalid: the largest share of rows that may be invalid, from 0 to 1, which accepts every list. None for
        30 % of a list of 10 rows or more; of a shorter list any number but all; and the only row of a list, if it is a
        text of one value, or NULL.
    :param consequence: what was not done, for the error: ``Nothing was deleted``.
    """

    max_invalid: float | None = 1.0
    consequence: str = "Nothing was deleted"
    number: int = 0
    _reasons: Counter[tuple[_Look, str]] = field(default_factory=Counter)
    _rows: list[int] = field(default_factory=list)

    def add(self, row: int, value: object, reason: object) -> None:
        """Count a row.

        :param value: the identifier as the source has it, or a mapping of its kind to it.
        :param reason: why it is invalid, in words that show no value.
        """
        self.number += 1
        if len(self._rows) < NAMED_ROWS:
            self._rows.append(row)
        look = (_look(value), str(reason))
        if look in self._reasons or len(self._reasons) < MOST_REASONS:
            self._reasons[look] += 1

    def check(self, listed: int) -> None:
        """Refuse the list if too many of its rows were invalid; to be called when the last one is read.

        :param listed: how many rows it has.
        :raises InvalidListError: with how many are invalid, what they look like, and what to write instead.
        """
        if not self.number or not self._are_too_many(listed):
            return
        raise InvalidListError(
            f"{self.number:,} of {listed:,} rows are invalid, more than max_invalid allows. {self.consequence}. "
            f"{self._examples()}. Correct the list, or raise max_invalid on the task (1 for any number) to go on "
            "without these rows"
        )

    def _are_too_many(self, listed: int) -> bool:
        if self.max_invalid is not None:
            return self.number > self.max_invalid * listed
        if listed >= FEWEST_ROWS:
            return self.number > USUAL_MAX_INVALID * listed
        return self.number == listed and (listed > 1 or not all(look.may_be_chance for look, _ in self._reasons))

    def _examples(self) -> str:
        common = self._reasons.most_common(NAMED_REASONS)
        looks = "; ".join(f"{look.words} in {number:,} ({reason})" for (look, reason), number in common)
        more = "; …" if len(self._reasons) > NAMED_REASONS else ""
        rows = ", ".join(map(str, self._rows))
        advice = dict.fromkeys(look.advice for (look, _), _ in common if look.advice)
        plural = "s" * (len(self._rows) > 1)
        return ". ".join([f"They hold {looks}{more}. The first: row{plural} {rows}", *advice])


def _look(value: object) -> _Look:
    if isinstance(value, Mapping) and len(value) == 1:
        (value,) = value.values()
    kind = type(value).__name__
    if value is None:
        return _Look("no value (NULL)", may_be_chance=True)
    if isinstance(value, str):
        return _look_of_text(value[:LOOKED_AT])
    if isinstance(value, bytes | bytearray | memoryview):
        return _Look(f"bytes ({kind})", "Decode bytes to text")
    if isinstance(value, Number):
        return _Look(f"numbers ({kind})", 'Cast ids to text in the source, and write {"external_id": …} for your own')
    if isinstance(value, Mapping | Sequence | Set):
        return _Look(f"lists or mappings ({kind})", 'Write one item for each person, such as {"email": …}')
    return _Look(f"values of type {kind}", "Convert them to text")


def _look_of_text(text: str) -> _Look:
    if not text.strip():
        return _Look("empty text", may_be_chance=True)
    if TEMPLATE.search(text):
        advice = "What another task returned is not rendered: render it where it is made"
        return _Look("text with a template", advice, may_be_chance=True)
    if SEVERAL.search(text):
        return _Look("text with several values", "Write one item for each person")
    if "@" in text:
        return _Look("text with an @", may_be_chance=True)
    advice = 'Write {"external_id": …} or {"phone_number": …} for what is no e-mail address'
    return _Look("text without an @", advice, may_be_chance=True)
