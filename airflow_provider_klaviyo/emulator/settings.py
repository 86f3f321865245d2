"""How an emulator behaves, chosen once when it starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from airflow_provider_klaviyo.emulator.limits import HeaderForm, Limit

Seconds = float | tuple[float, float]
"""A duration, or the shortest and the longest to choose from at random."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be chosen; `Emulator` says what each is for."""

    latency_seconds: Seconds = 0.0
    deletion_seconds: Seconds = 0.2
    suppression_seconds: Seconds = 0.2
    limit_factor: float = 1.0
    limits: Mapping[str, Limit] = field(default_factory=dict)
    header_form: HeaderForm = "windows"
    max_target_bytes: int = 64 * 1024
    max_values_per_filter: int = 100
    pending_deletion_status: Literal[202, 404] = 202

    def limit(self, endpoint: str, documented: Limit) -> Limit:
        """Return the limit of an endpoint: the one chosen for it, else the documented one, scaled."""
        return self.limits.get(endpoint) or documented.scaled(self.limit_factor)


def draw_seconds(seconds: Seconds, rng: Random) -> float:
    """Return a duration from a range, or the number itself."""
    return rng.uniform(*seconds) if isinstance(seconds, tuple) else float(seconds)
