"""Who is at work: a task instance, as a ledger records it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["actor_of", "origin_of", "task_of"]


def actor_of(context: Context) -> str:
    """Return the name of a task instance, the same for all its tries."""
    ti = context["ti"]
    map_index = getattr(ti, "map_index", -1)
    mapped = f"[{map_index}]" if map_index is not None and map_index >= 0 else ""
    return f"{ti.dag_id} {ti.run_id} {ti.task_id}{mapped}"


def origin_of(context: Context) -> str:
    """Return a digest of the task instance's name, to find again what it has made."""
    return _digest(actor_of(context))


def task_of(context: Context) -> str:
    """Return a digest of the task's name, the same in all runs of its DAG."""
    ti = context["ti"]
    return _digest(f"{ti.dag_id} {ti.task_id} {getattr(ti, 'map_index', -1)}")


def _digest(text: str) -> str:
    from hashlib import blake2b

    return blake2b(text.encode(), digest_size=16).hexdigest()
