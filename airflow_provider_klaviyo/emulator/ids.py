"""Ids and secrets as Klaviyo makes them, from dice that are handed in."""

from __future__ import annotations

import string
from random import Random

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [first + second for first in _CROCKFORD for second in _CROCKFORD]
_ULID_PAIRS = 13
_ULID_RANDOM_BITS = 80
_LETTERS = string.ascii_letters + string.digits


def ulid(at: float, rng: Random) -> str:
    """Return the id of a profile or a job: 26 characters, the first ten of which tell the time."""
    number = (int(at * 1000) << _ULID_RANDOM_BITS) | rng.getrandbits(_ULID_RANDOM_BITS)
    return "".join(_PAIRS[(number >> shift) & 1023] for shift in range(10 * (_ULID_PAIRS - 1), -1, -10))


def letters(number: int, rng: Random) -> str:
    """Return so many letters and digits: six are the id of an account or a list."""
    return "".join(rng.choices(_LETTERS, k=number))
