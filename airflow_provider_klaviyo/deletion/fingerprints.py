"""Recognise a person again without keeping who it is: a keyed digest of each identifier.

A plain hash of an address can be guessed; a MAC cannot, as long as its key is kept elsewhere.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Final, Self

from airflow_provider_klaviyo.deletion.identifiers import Identifier

__all__ = ["HOW_TO_MAKE_A_KEY", "FingerprintKeyError", "FingerprintKeys"]

HOW_TO_MAKE_A_KEY: Final = 'python -c "import secrets; print(secrets.token_urlsafe(32))"'
SHORTEST_KEY: Final = 32
LONGEST_UNREADABLE: Final = 1_000
LARGEST_UNREADABLE: Final = 10**LONGEST_UNREADABLE


class FingerprintKeyError(ValueError):
    """The fingerprint key is missing, too short, or not the one that was used so far; the message says what to do."""


@dataclass(frozen=True, slots=True)
class FingerprintKeys:
    """The key that new fingerprints are made with, and earlier ones that old fingerprints were made with.

    :param keys: the newest first.
    """

    keys: tuple[bytes, ...] = field(repr=False)

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """Read a key, or several divided by commas: the one to use first, those it has replaced after it.

        :raises FingerprintKeyError: when there is none, or one of less than 32 characters.
        """
        keys = [key.strip() for key in (text or "").split(",") if key.strip()]
        if not keys:
            raise FingerprintKeyError(
                f"the field 'Fingerprint key' (fingerprint_key) is empty. Make one with {HOW_TO_MAKE_A_KEY} and keep a "
                "copy: without it nobody can tell from the ledger whether a person was erased"
            )
        if min(map(len, keys)) < SHORTEST_KEY:
            raise FingerprintKeyError(
                f"fingerprint_key is shorter than {SHORTEST_KEY} characters, and could be guessed. Make one with "
                f"{HOW_TO_MAKE_A_KEY}"
            )
        return cls(tuple(key.encode() for key in keys))

    @property
    def ids(self) -> tuple[str, ...]:
        """Names for the keys that give nothing of them away."""
        return tuple(hashlib.sha256(b"key id " + key).hexdigest()[:8] for key in self.keys)

    def of(self, identifier: Identifier) -> str:
        """Return the fingerprint: HMAC-SHA256 under the newest key, in 64 hexadecimal digits."""
        return _fingerprint(self.keys[0], identifier)

    def all_of(self, identifier: Identifier) -> tuple[str, ...]:
        """Return the fingerprints under every key, the newest first."""
        return tuple([_fingerprint(key, identifier) for key in self.keys])

    def of_request(self, request_id: str) -> tuple[str, ...]:
        """Return the fingerprints of the customer's own id of a request under every key, the newest first."""
        return tuple([_mac(key, f"request:{request_id}") for key in self.keys])

    def of_unreadable(self, value: object, reason: str) -> str:
        """Return the fingerprint of a value that cannot be an identifier, to know it again tomorrow.

        :param reason: why it cannot; stands in for a value that is neither a text nor a number.
        """
        if isinstance(value, int) and not -LARGEST_UNREADABLE < value < LARGEST_UNREADABLE:
            value = None  # Python does not write it out.
        text = str(value)[:LONGEST_UNREADABLE] if isinstance(value, str | int | float | Decimal) else reason
        return _mac(self.keys[0], f"invalid:{text}")


def _fingerprint(key: bytes, identifier: Identifier) -> str:
    return _mac(key, identifier.kind + ":" + identifier.value)


def _mac(key: bytes, text: str) -> str:
    mac = _keyed(key).copy()
    mac.update(text.encode("utf-8", "surrogatepass"))
    return mac.hexdigest()


@lru_cache(maxsize=8)
def _keyed(key: bytes) -> hmac.HMAC:
    """Return a MAC that has taken its key in, which costs as much as a short text."""
    return hmac.new(key, digestmod="sha256")
