"""The extra field of a ledger's connection: each entry is honoured as its hook's own connections do, or refused.

The hooks' SQLAlchemy engines leave it out: PostgreSQL's would go on without TLS and in another schema, SQLite's in
another mode.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any, Final
from urllib.parse import quote

from airflow_provider_klaviyo.ledger.errors import LedgerSetupError, LedgerUnavailableError

__all__ = ["check_extra", "connect_arguments", "extra_of", "sqlite_file"]

Arguments = Callable[[list[Any], dict[str, Any]], None]

SQLITE_BUSY_SECONDS: Final = 60
SQLITE_EXTRA: Final = {"mode", "timeout"}
# A ledger is written, and is no longer there when a database in memory is.
SQLITE_MODES: Final = {"rw", "rwc"}


def extra_of(connection: Any) -> dict[str, Any]:
    """Return what the extra field holds.

    :param connection: of Airflow.
    :raises LedgerSetupError: when it is not what Airflow reads, and would be left out.
    """
    try:
        is_object = not connection.extra or isinstance(json.loads(connection.extra), Mapping)
    except ValueError:
        is_object = False
    if not is_object:
        raise LedgerSetupError("the connection's extra field must be a JSON object, and is not: none of it would count")
    extra: dict[str, Any] = connection.extra_dejson
    return extra


def check_extra(hook: Any, extra: Mapping[str, Any], engine: Any) -> None:
    """Refuse what nothing would come of.

    :param engine: of SQLAlchemy, as the hook makes it.
    :raises LedgerSetupError: naming the entries.
    """
    if (ignored := _ignored(hook)) is None:
        return
    scheme = extra.get("sqlalchemy_scheme")
    if scheme and engine.url.drivername != scheme:
        raise LedgerSetupError(
            f"the connection's extra names sqlalchemy_scheme {scheme!r}, and its hook uses "
            f"{engine.url.drivername!r}: remove it, or upgrade apache-airflow-providers-postgres"
        )
    taken = (extra.keys() - ignored) | set(engine.url.query)
    _refuse(name for name in taken if not _is_option(engine.dialect.dbapi, name))


def connect_arguments(hook: Any, connection: Any, extra: Mapping[str, Any]) -> Arguments | None:
    """Return what completes the arguments of each new connection; None where the hook's engine has all of them.

    :param connection: of Airflow, as it was given: hooks may write into theirs.
    """
    ignored = _ignored(hook)
    return None if ignored is None else _postgresql_arguments(hook, connection, extra, ignored)


def sqlite_file(uri: str, extra: Mapping[str, Any]) -> tuple[str, float]:
    """Return the URL of a file as SQLAlchemy takes it, and for how many seconds to wait for others who write.

    :param uri: of the file, as its hook has it: with all of the extra field, of which SQLAlchemy takes another part
        than the hook's own connections.
    :raises LedgerSetupError: for an entry that nothing would come of.
    """
    _refuse(extra.keys() - SQLITE_EXTRA)
    mode = extra.get("mode", "rwc")
    if mode not in SQLITE_MODES:
        raise LedgerSetupError(
            f"the connection's extra says mode {mode!r}, and a ledger is written to a file: it may be one of "
            f"{', '.join(sorted(SQLITE_MODES))}"
        )
    try:
        timeout = float(extra.get("timeout", SQLITE_BUSY_SECONDS))
    except (TypeError, ValueError):
        raise LedgerSetupError("the connection's extra has a timeout that is no number of seconds") from None
    scheme, slashes, path = uri.partition("?")[0].partition(":///")
    if mode == "rw":
        return f"{scheme}{slashes}file:{quote(path)}?mode=rw&uri=true", timeout
    return f"{scheme}{slashes}{path}", timeout


def _ignored(hook: Any) -> frozenset[str] | None:
    """Return what a PostgreSQL hook keeps from its driver, and None for any other hook."""
    ignored = getattr(hook, "ignored_extra_options", None)
    return None if ignored is None else frozenset(ignored)


def _postgresql_arguments(hook: Any, connection: Any, extra: Mapping[str, Any], ignored: frozenset[str]) -> Arguments:
    def complete(_: list[Any], options: dict[str, Any]) -> None:
        if extra.get("iam"):
            # For each connection anew: such a password is good for minutes, and a task works for hours.
            options["user"], options["password"], options["port"] = _token(hook, connection)
        options.update((name, value) for name, value in extra.items() if name not in ignored)
        if "dbname" in extra:
            # SQLAlchemy 1.4's word for it, next to which psycopg2 refuses its own.
            options.pop("database", None)

    return complete


def _token(hook: Any, connection: Any) -> tuple[str, str, int]:
    try:
        token: tuple[str, str, int] = hook.get_iam_token(deepcopy(connection))
    except Exception as error:  # noqa: BLE001 - each cloud has errors of its own
        reason = type(error).__name__
    else:
        return token
    raise LedgerUnavailableError(f"no token for the database, which the connection's extra asks for (iam): {reason}")


def _is_option(driver: Any, name: str) -> bool:
    """Tell whether PostgreSQL's library knows an option by this name, which it says itself."""
    make = driver.conninfo.make_conninfo if hasattr(driver, "conninfo") else driver.extensions.make_dsn
    try:
        make(**{name: ""})
    except driver.ProgrammingError:
        return False
    return True


def _refuse(names: Any) -> None:
    if refused := sorted(names):
        raise LedgerSetupError(
            f"the connection's extra has {', '.join(refused)}, which a ledger's database does not take: remove it"
        )
