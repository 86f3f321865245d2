"""Airflow's storage: which files a path stands for, and its trouble in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

from airflow_provider_klaviyo.sources.errors import SourceError, SourceUnavailableError

__all__ = ["files_of", "opened"]

PROVIDERS: Final = {
    "s3": "apache-airflow-providers-amazon[s3fs]",
    "s3a": "apache-airflow-providers-amazon[s3fs]",
    "gs": "apache-airflow-providers-google",
    "gcs": "apache-airflow-providers-google",
    "abfs": "apache-airflow-providers-microsoft-azure",
    "abfss": "apache-airflow-providers-microsoft-azure",
    "sftp": "apache-airflow-providers-sftp",
}
# Where Spark and Hadoop keep what they have not finished.
UNFINISHED: Final = "_temporary"

T = TypeVar("T")


def files_of(path: Any, *, is_pattern: bool, may_be_folder: bool) -> list[tuple[Any, str]]:
    """Return the files of a path as Airflow opens them, each with its name for messages, in the order of their names.

    What is called ``_…`` or ``.…`` in a folder is not part of it, such as Spark's ``_SUCCESS``.

    :param is_pattern: the path is a pattern of names.
    :param may_be_folder: the name says nothing of a file.
    :raises SourceError: when the path's storage or its connection is not known here, or a folder has folders in it.
    :raises SourceUnavailableError: when there is nothing, perhaps not yet, or the storage does not say.
    """
    storage = _storage(path)
    system = _translated(path, lambda: storage.fs)
    place = str(storage.path).rstrip("/")
    # Another process may have written since this one looked.
    _translated(path, system.invalidate_cache)
    if is_pattern:
        found = _translated(path, lambda: _matches(system, place))
        if not found:
            raise SourceUnavailableError(f"there is no file {path}, or not yet")
        names = [name for entry in found for name in _files_in(system, entry, path)]
    else:
        entry = _translated(path, lambda: system.info(place))
        if entry["type"] != "directory" and not may_be_folder:
            return [(storage, str(path))]
        names = list(_files_in(system, entry, path))
    if not names:
        raise SourceUnavailableError(f"there is no file in {path}, or not yet")
    urls = sorted(_root(storage) + name.lstrip("/") for name in names)
    return [(type(storage)(url, conn_id=_conn_id(storage)), url) for url in urls]


def opened(storage: Any, name: str) -> Any:
    """Open a file for reading bytes.

    :raises SourceUnavailableError: when it cannot be opened, other than with an `OSError`.
    """
    return _translated(name, lambda: storage.open("rb"))


def _matches(system: Any, pattern: str) -> list[dict[str, Any]]:
    # fsspec's own search passes over folders that it cannot look into; those of clouds list the whole bucket.
    options = {} if system.async_impl else {"on_error": "raise"}
    return list(system.glob(pattern, detail=True, **options).values())


def _files_in(system: Any, entry: dict[str, Any], path: Any) -> Iterator[str]:
    """Yield the names of the files that something found stands for: itself, or all there is in it."""
    if entry["type"] != "directory":
        if not _is_hidden(entry["name"]):
            yield entry["name"]
        return
    folder = entry["name"].rstrip("/")
    for inner in _translated(path, lambda: system.ls(folder, detail=True)):
        name = inner["name"].rstrip("/")
        if name.rpartition("/")[2] == UNFINISHED:
            raise SourceUnavailableError(f"{path} is still being written: it has a folder {UNFINISHED}")
        # S3 lists an empty object for the folder itself.
        if name == folder or _is_hidden(name):
            continue
        if inner["type"] == "directory":
            raise SourceError(
                f"{path} has folders in it, such as {name.rpartition('/')[2]}: name the files with a pattern, such as "
                "…/*/*.parquet"
            )
        yield name


def _root(storage: Any) -> str:
    return "file:///" if storage.protocol in {"", "file", "local"} else f"{storage.protocol}://"


def _is_hidden(name: str) -> bool:
    return name.rpartition("/")[2].startswith(("_", "."))


def _storage(path: Any) -> Any:
    from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook, ObjectStoragePath

    storage = path if isinstance(path, ObjectStoragePath) else _translated(path, lambda: ObjectStoragePath(path))
    if conn_id := _conn_id(storage):
        try:
            # Amazon's would go on as somebody else, or as nobody.
            BaseHook.get_connection(conn_id)
        except AirflowNotFoundException as error:
            raise SourceError(
                f"there is no connection {conn_id!r}, which {path} names: create it, or name one that exists"
            ) from error
    return storage


def _conn_id(storage: Any) -> str | None:
    """Return the connection that a path names: Airflow 2 keeps it elsewhere than 3."""
    if hasattr(storage, "conn_id"):
        named: str | None = storage.conn_id
    else:
        named = storage.storage_options.get("conn_id")
    return named


def _translated(path: Any, do: Callable[[], T]) -> T:
    """Do something with a storage before anything was read, with its trouble in words."""
    try:
        return do()
    except FileNotFoundError:
        raise SourceUnavailableError(f"there is no file {path}, or not yet") from None
    except (ImportError, ValueError) as error:
        provider = PROVIDERS.get(str(path).partition("://")[0])
        hint = f" (install {provider} where the worker runs)" if provider else ""
        raise SourceError(f"no storage is known for {path}: {error}{hint}") from error
    except Exception as error:  # noqa: BLE001 - each cloud's library has errors of its own
        raise SourceUnavailableError(f"{path} cannot be read: {type(error).__name__}: {_text(error, path)}") from None


def _text(error: Exception, path: Any) -> str:
    """Return the text of an error, unless it shows a secret of the connection that a path names."""
    from airflow.providers.common.compat.sdk import BaseHook

    from airflow_provider_klaviyo.sources.failures import without_secrets

    conn_id = str(path).partition("://")[2].partition("/")[0].rpartition("@")[0]
    return without_secrets(error, BaseHook.get_connection(conn_id)) if conn_id else str(error)
