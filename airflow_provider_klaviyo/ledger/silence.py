"""Keep SQLAlchemy from logging a ledger: statements with people's addresses at INFO, rows at DEBUG."""

from __future__ import annotations

import logging
from typing import Final, cast

from sqlalchemy.engine import Engine
from sqlalchemy.log import instance_logger

__all__ = ["silence"]

NAME: Final = "klaviyo_ledger"


def silence(engine: Engine) -> None:
    """Have an engine and its pool log nothing, whatever level their loggers have or are given later.

    The option ``hide_parameters`` hides no rows, and a level is forgotten when logging is configured anew.
    """
    for logged in (engine, engine.pool):
        logged.logging_name = NAME
        instance_logger(logged, echoflag=False)
        cast("logging.Logger", logged.logger).addFilter(_drop)


def _drop(_: logging.LogRecord) -> bool:
    return False
