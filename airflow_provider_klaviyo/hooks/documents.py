"""The folder of people's documents, on any storage that Airflow's `ObjectStoragePath` knows."""

from __future__ import annotations

from typing import Any, Final

from airflow_provider_klaviyo.access.errors import OutputPathError
from airflow_provider_klaviyo.access.folder import DocumentFolder

__all__ = ["open_documents"]

# Where documents are moved, fsspec takes these for patterns.
PATTERNS: Final = "*?["


def open_documents(output_path: Any) -> DocumentFolder:
    """Return a folder, which need not be there yet.

    :param output_path: as `ObjectStoragePath` takes it, such as ``s3://aws_default@bucket/exports``.
    :raises OutputPathError: when no storage is known for it, or it has a character that makes it a pattern.
    """
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    url = str(output_path).strip() if output_path is not None else ""
    if not url or any(character in url for character in PATTERNS):
        raise OutputPathError(
            f"output_path names the folder of the documents, such as s3://aws_default@bucket/exports, without any of "
            f"{' '.join(PATTERNS)}, and is {url!r}"
        )
    try:
        path = output_path if isinstance(output_path, ObjectStoragePath) else ObjectStoragePath(url)
        return DocumentFolder(path.fs, str(path.path), url)
    except (ImportError, ValueError) as error:
        raise OutputPathError(f"no storage is known for output_path {url}: {error}") from error
