"""What the emulator was asked, in numbers: no identifier and no key is ever in here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from airflow_provider_klaviyo.emulator.answers import Outcome
from airflow_provider_klaviyo.emulator.limits import Quota

NO_ACCOUNT = "none"
"""Where the calls are counted that no account could be found for."""


class Counts:
    """How many calls there were, by who called, endpoint and answer: the keys of an account, or an app in it."""

    def __init__(self) -> None:
        self._calls: Counter[tuple[str, str, Outcome]] = Counter()
        self._deletions: Counter[str] = Counter()

    def call(self, owner: str | None, endpoint: str, outcome: Outcome) -> None:
        """Count one call."""
        self._calls[owner or NO_ACCOUNT, endpoint, outcome] += 1

    def deletion(self, account_id: str) -> None:
        """Count one request for deletion that took effect, answered or not."""
        self._deletions[account_id] += 1

    def calls(self, endpoint: str | None = None, outcome: Outcome | None = None) -> int:
        """Return how many calls there were to an endpoint, with an outcome, or in all."""
        return sum(
            number
            for (_, called, ended), number in self._calls.items()
            if endpoint in {None, called} and outcome in {None, ended}
        )

    def deletions(self, account_id: str) -> int:
        """Return how many requests for deletion an account had accepted."""
        return self._deletions[account_id]

    def endpoints(self, owner: str, quotas: Mapping[str, Quota]) -> dict[str, Any]:
        """Return the part of the report about the keys of one account, or about one app in it."""
        names = sorted({called for caller, called, _ in self._calls if caller == owner})
        return {name: self._endpoint(owner, name, quotas.get(name)) for name in names}

    def _endpoint(self, owner: str, endpoint: str, quota: Quota | None) -> dict[str, Any]:
        by_status = {
            str(outcome): number
            for (caller, called, outcome), number in sorted(self._calls.items(), key=str)
            if (caller, called) == (owner, endpoint)
        }
        part: dict[str, Any] = {"calls": sum(by_status.values()), "by_status": by_status}
        if quota is not None:
            part["accepted"] = quota.accepted
            part["most_in_one_window"] = {str(seconds): most for seconds, most in quota.most_in_one_window.items()}
            part["most_in_any_60_seconds"] = quota.most_in_any_minute
            part["eaten_by_others"] = quota.eaten
        return part


_COLUMNS = ("account", "endpoint", "calls", "most/1s", "most/60s", "any 60s", "answers")


def table(report: Mapping[str, Any]) -> str:
    """Return a report as a short table for people."""
    rows: list[tuple[str, ...]] = [_COLUMNS]
    for account_id, account in report["accounts"].items():
        rows += [_row(account_id, name, part) for name, part in account["endpoints"].items()]
        for client_id, app in account["installations"].items():
            rows += [_row(f"{account_id}/{client_id}", name, part) for name, part in app["endpoints"].items()]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    for account_id, account in report["accounts"].items():
        facts = ", ".join(f"{name} {number}" for name, number in account["deletions"].items())
        lines.append(f"{account_id} deletions: {facts}; profiles left: {account['profiles']}")
    return "\n".join(line.rstrip() for line in lines)


def _row(account_id: str, endpoint: str, part: Mapping[str, Any]) -> tuple[str, ...]:
    windows = part.get("most_in_one_window", {})
    answers = ", ".join(f"{number} x {status}" for status, number in part["by_status"].items())
    return (
        account_id,
        endpoint,
        str(part["calls"]),
        str(windows.get("1", "")),
        str(windows.get("60", "")),
        str(part.get("most_in_any_60_seconds", "")),
        answers,
    )
