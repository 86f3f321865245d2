"""What can be made to go wrong while the emulator runs.

Pure: the dice and the clock are handed in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

ELSEWHERE = "https://elsewhere.example.com"

# Every fault, with its options and their defaults.
FAULTS: Mapping[str, Mapping[str, Any]] = {
    "deletion_refused": {},
    "throttled": {"retry_after": 1},
    "throttled_without_retry_after": {},
    "throttled_with_retry_after_zero": {},
    "server_error_html": {"status": 503},
    "connection_dropped_before": {},
    "connection_dropped_after": {},
    "key_revoked": {},
    "scope_missing": {"scope": None},
    "deletions_never_finish": {},
    "profiles_return": {"after_seconds": 0.0},
    "suppression_never_finishes": {},
    "suppression_cancelled": {},
    "quota_eaten": {"per_minute": 10, "burst": 1},
    "unasked_profile": {},
    "late_index": {"seconds": 5.0},
    "truncated_json": {},
    "wrong_types": {},
    "wrong_resources": {},
    "errors_in_ok": {},
    "slow_body": {"bytes_per_second": 20_000.0},
    "gzip_bomb": {"megabytes": 64},
    "foreign_next_link": {"to": ELSEWHERE},
    "endless_pages": {},
    "redirect": {"to": ELSEWHERE},
}

_DELETION = frozenset({"profile_deletion"})
_SUPPRESSION = frozenset({"suppress_profiles"})
_LISTINGS = frozenset({"get_profiles", "get_profile_lists", "get_profile_segments", "get_events"})

# Faults that are about some endpoints only: naming another one would be a test that tests nothing.
ABOUT: Mapping[str, frozenset[str]] = {
    "deletion_refused": _DELETION,
    "deletions_never_finish": _DELETION,
    "profiles_return": _DELETION,
    "suppression_never_finishes": _SUPPRESSION,
    "suppression_cancelled": _SUPPRESSION,
    "unasked_profile": frozenset({"get_profiles"}),
    "late_index": frozenset({"get_profiles"}),
    "foreign_next_link": _LISTINGS,
    "endless_pages": _LISTINGS,
}

_MINUTE = 60.0


@dataclass(slots=True)
class Fault:
    """One thing that goes wrong: where, how many times more, how likely, and since when."""

    name: str
    since: float
    endpoint: str | None = None
    account_id: str | None = None
    times: int | None = None
    probability: float = 1.0
    options: Mapping[str, Any] = field(default_factory=dict)
    struck: int = 0
    eaten: dict[tuple[str, str], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name not in FAULTS:
            raise ValueError(f"No fault is called {self.name!r}; there are {', '.join(sorted(FAULTS))}.")
        unknown = sorted(set(self.options) - set(FAULTS[self.name]))
        if unknown:
            known = ", ".join(FAULTS[self.name]) or "none"
            raise ValueError(f"{self.name} has no option {', '.join(unknown)}; its options: {known}.")
        about = ABOUT.get(self.name)
        if about is not None and self.endpoint is not None and self.endpoint not in about:
            raise ValueError(f"{self.name} is about {', '.join(sorted(about))}, not about {self.endpoint}.")
        if not 0 <= self.probability <= 1:
            raise ValueError("probability is a number from 0 to 1.")
        if self.times is not None and self.times < 1:
            raise ValueError("times is at least 1.")
        self.options = {**FAULTS[self.name], **self.options}
        if self.name == "scope_missing" and not self.options["scope"]:
            raise ValueError("scope_missing needs the option scope.")
        for option in ("per_minute", "bytes_per_second"):
            if self.options.get(option, 1) <= 0:
                raise ValueError(f"{option} is more than 0.")

    def concerns(self, endpoint: str, account_id: str | None) -> bool:
        """Whether the fault may strike there, if it still may at all."""
        return (
            self.endpoint in {None, endpoint}
            and self.account_id in {None, account_id}
            and (self.times is None or self.struck < self.times)
        )

    def strikes(self, rng: Random) -> bool:
        """Throw the dice, and count the hit."""
        hit = self.probability >= 1 or rng.random() < self.probability
        self.struck += hit
        return hit

    def describe(self) -> dict[str, Any]:
        """Return the fault as JSON."""
        return {
            "name": self.name,
            "endpoint": self.endpoint,
            "account": self.account_id,
            "times": self.times,
            "probability": self.probability,
            "options": dict(self.options),
            "struck": self.struck,
        }


class Faults:
    """The faults that are switched on, in the order in which they were."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._faults: list[Fault] = []

    def __iter__(self) -> Iterator[Fault]:
        return iter(self._faults)

    def add(self, fault: Fault) -> None:
        """Switch a fault on."""
        self._faults.append(fault)

    def clear(self, name: str | None = None) -> None:
        """Switch the faults of one name off, or all of them."""
        self._faults = [fault for fault in self._faults if name not in {None, fault.name}]

    def draw(
        self, name: str, endpoint: str, account_id: str | None = None, **where: object
    ) -> Mapping[str, Any] | None:
        """Return the options of a fault that strikes now, or None.

        `where` are options that have to have these values for the fault to apply.
        """
        for fault in self._faults:
            applies = fault.name == name and fault.concerns(endpoint, account_id)
            meant = applies and all(fault.options[key] == value for key, value in where.items())
            if meant and fault.strikes(self._rng):
                return fault.options
        return None

    def eaten(self, endpoint: str, account_id: str, now: float) -> Iterator[float]:
        """Yield the times, up to now, of the calls that somebody else made and were not told yet."""
        for fault in self._faults:
            if fault.name != "quota_eaten":
                continue
            key = (endpoint, account_id)
            for at in _meals(fault, key, now):
                if fault.concerns(endpoint, account_id) and fault.strikes(self._rng):
                    yield at


def _meals(fault: Fault, key: tuple[str, str], now: float) -> Iterator[float]:
    """Yield when the other integration called: `burst` calls at a time, at an even distance."""
    burst = max(1, int(fault.options["burst"]))
    distance = _MINUTE * burst / float(fault.options["per_minute"])
    # What was eaten more than a few windows ago makes no difference any more.
    number = max(fault.eaten.get(key, 0), int((now - fault.since - 3 * _MINUTE) / distance) * burst)
    while (at := fault.since + (number // burst) * distance) <= now:
        number += 1
        fault.eaten[key] = number
        yield at
