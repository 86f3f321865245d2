"""Keep httpcore from logging the headers of responses: a redirect repeats the query, which holds addresses."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

__all__ = ["unlogged_headers"]

LOGGERS: Final = ("httpcore.http11", "httpcore.http2", "httpcore.proxy")

_is_ours: ContextVar[bool] = ContextVar("klaviyo_request", default=False)


@contextmanager
def unlogged_headers() -> Iterator[None]:
    """Drop what httpcore logs at DEBUG of a response's head, of requests that are sent within the block only."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_is_harmless)
    token = _is_ours.set(True)
    try:
        yield
    finally:
        _is_ours.reset(token)


def _is_harmless(record: logging.LogRecord) -> bool:
    return not _is_ours.get() or "headers.complete return_value=" not in record.getMessage()
