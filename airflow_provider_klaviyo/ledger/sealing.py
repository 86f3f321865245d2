"""Encrypt identifiers in the ledger under a key from the Klaviyo connection.

A database keeps what was wiped for a while: in dead rows, write-ahead logs, replicas and backups. Encrypted under a key
that the database never sees, these copies are unreadable.
"""

from __future__ import annotations

import hmac
import os
from base64 import b64decode, b64encode
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from airflow_provider_klaviyo.deletion.fingerprints import FingerprintKeys
from airflow_provider_klaviyo.ledger.errors import LedgerSetupError

__all__ = ["Sealer"]

PURPOSE: Final = b"airflow-provider-klaviyo: identifiers in a ledger, version 1"
NONCE_BYTES: Final = 12


class Sealer:
    """Encrypts and decrypts with AES-256-GCM; a key is derived from each fingerprint key.

    A text is bound to the fingerprint of its row, so that it cannot be read in another row.

    :param keys: the newest encrypts; any of them decrypts what it has encrypted.
    """

    def __init__(self, keys: FingerprintKeys) -> None:
        derived = [AESGCM(hmac.digest(key, PURPOSE, "sha256")) for key in keys.keys]
        self._ciphers = dict(zip(keys.ids, derived, strict=True))
        self._newest = derived[0]

    def seal(self, text: str, fingerprint: str) -> str:
        """Return a text encrypted under the newest key."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._newest.encrypt(nonce, text.encode("utf-8", "surrogatepass"), fingerprint.encode())
        return b64encode(nonce + sealed).decode("ascii")

    def unseal(self, sealed: str, fingerprint: str, key_id: str) -> str:
        """Return the text of a row.

        :param key_id: of the fingerprint key with which the row was written.
        :raises LedgerSetupError: when the key is not given any more, or the row was changed.
        """
        cipher = self._ciphers.get(key_id)
        if cipher is not None:
            try:
                data = b64decode(sealed, validate=True)
                text = cipher.decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], fingerprint.encode())
                return text.decode("utf-8", "surrogatepass")
            except (InvalidTag, ValueError):
                pass
        raise LedgerSetupError(
            f"an identifier in the ledger cannot be decrypted with the fingerprint key {key_id}. If that key was "
            "replaced, give the new one, a comma, and the old one in the field 'Fingerprint key'"
        )
