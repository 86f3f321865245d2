"""Ask for page after page of a list, until there is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from airflow_provider_klaviyo.api.conversation import Conversation
from airflow_provider_klaviyo.api.diagnosis import ask
from airflow_provider_klaviyo.api.errors import KlaviyoAnswerError
from airflow_provider_klaviyo.api.wire import Answer, Page, Request

__all__ = ["LONGEST_PAGINATION", "TooManyPagesError", "all_pages"]

LONGEST_PAGINATION: Final = 1_000

T = TypeVar("T")


class TooManyPagesError(KlaviyoAnswerError):
    """A list has more pages than it may.

    :param items: what is on those that were read.
    """

    items: tuple[Any, ...] = ()


def all_pages(
    request: Callable[[str | None], Request],
    read: Callable[[Answer], Page[T]],
    *,
    patience_seconds: float,
    most_pages: int = LONGEST_PAGINATION,
) -> Conversation[tuple[T, ...]]:
    """Return what is on all pages of a list, in their order.

    :param request: makes the request for the page of a cursor, None for the first.
    :param read: reads a page.
    :param most_pages: how many there may be.
    :raises TooManyPagesError: when there are more.
    :raises KlaviyoAnswerError: when they come again.
    """
    items: list[T] = []
    cursor: str | None = None
    seen: set[str | None] = {None}
    while True:
        asked = request(cursor)
        page = yield from ask(asked, read, patience_seconds=patience_seconds)
        items.extend(page.items)
        cursor = page.next_cursor
        if cursor is None:
            return tuple(items)
        if cursor in seen:
            raise KlaviyoAnswerError(f"the pages of {asked.endpoint} do not end: they come again")
        if len(seen) >= most_pages:
            error = TooManyPagesError(f"the pages of {asked.endpoint} do not end, or are more than {most_pages:,}")
            error.items = tuple(items)
            raise error
        seen.add(cursor)
