"""People to fill an emulator with: made up, or read from a file."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

COLUMNS = ("email", "phone_number", "external_id", "profile_id", "first_name", "last_name")

# As many numbers as there are behind +1500555, the range that belongs to nobody.
_PHONES = 10_000


def fake_people(number: int) -> Iterator[dict[str, str | None]]:
    """Yield people under example.com: person-1@example.com, customer-1, and so on.

    The first 10,000 have a phone number as well.
    """
    for count in range(1, number + 1):
        yield {
            "email": f"person-{count}@example.com",
            "phone_number": f"+1500555{count - 1:04}" if count <= _PHONES else None,
            "external_id": f"customer-{count}",
        }


def people_from_file(path: Path) -> Iterator[dict[str, str | None]]:
    """Yield the people in a file: CSV with a header line if it ends in .csv, else JSON lines.

    The columns, all optional, are those of `COLUMNS`; an unknown one is an error that names its place.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file) if path.suffix == ".csv" else (json.loads(line) for line in file)
        for number, row in enumerate(rows, 1):
            if not isinstance(row, dict) or not set(row) <= set(COLUMNS):
                raise ValueError(f"{path}, record {number}: the fields are {', '.join(COLUMNS)}.")
            yield {name: value or None for name, value in row.items()}
