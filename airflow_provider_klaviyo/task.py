"""Who is at work: a task instance, as a ledger records it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["actor_of", "origin_of"]


def actor_of(context: Context) -> str:
    """Return the name of a task instance, the same for all its tries."""
    ti = context["ti"]
    map_index = getattr(ti, "map_index", -1)
    mapped = f"[{map_index}]" if map_index is not None and map_index >= 0 else ""
    return f"{ti.dag_id} {ti.run_id} {ti.task_id}{mapped}"


def origin_of(context: Context) -> str:
    """Return a digest of the deployment and of the task instance's name, to find again what it has made."""
    from hashlib import blake2b

    from airflow_provider_klaviyo.deployment import deployment_id

    return blake2b(f"{deployment_id()} {actor_of(context)}".encode(), digest_size=16).hexdigest()
