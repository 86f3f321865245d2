"""Internationalised domain names in both forms: ``müller.example`` and ``xn--mller-kva.example``.

The two are the same domain, and each form gives the other (RFC 3492). Nothing is mapped beyond case: what was mapped in
2003 may be another domain today, such as ``ss`` for ``ß``.

Sources: RFC 5891 (IDNA 2008), RFC 3492 (Punycode)
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from airflow_provider_klaviyo.deletion.characters import UnreadableError, folded

__all__ = ["ACE_PREFIX", "ascii_domain", "unicode_domain"]

ACE_PREFIX: Final = "xn--"
ASCII_LABEL: Final = re.compile("[0-9A-Za-z_-]*")
# Punctuation that a label may have (RFC 5892, CONTEXTO).
PUNCTUATION: Final = "\u00b7\u05f3\u05f4\u0f0b\u30fb"


def unicode_domain(domain: str) -> str:
    """Return a domain in lower case, with each label in Unicode where it has such a form.

    :raises UnreadableError: for what cannot be a domain.
    """
    labels = domain.split(".")
    if "" in labels:
        raise UnreadableError("not an e-mail address: a dot too many after the @")
    return ".".join(map(_unicode_label, labels))


def ascii_domain(domain: str) -> str:
    """Return a domain of `unicode_domain` with each label in ASCII."""
    return ".".join(map(_ascii_label, domain.split(".")))


def _unicode_label(label: str) -> str:
    lower = folded(label)
    if not _is_label(lower):
        raise UnreadableError("not an e-mail address: a character after the @ that no domain has")
    if lower.isascii() and lower.startswith(ACE_PREFIX):
        return _decoded(lower)
    return lower


def _ascii_label(label: str) -> str:
    return label if label.isascii() else ACE_PREFIX + label.encode("punycode").decode("ascii")


def _decoded(label: str) -> str:
    """Return the Unicode form of a label, or the label itself if no Unicode label has this form."""
    try:
        decoded = label.removeprefix(ACE_PREFIX).encode("ascii").decode("punycode")
    except (UnicodeError, OverflowError, ValueError):
        return label
    is_its_form = folded(decoded) == decoded and _is_label(decoded) and _ascii_label(decoded) == label
    return decoded if is_its_form else label


def _is_label(label: str) -> bool:
    """Tell whether a label may be one. Compatibility forms, such as full-width letters, stand for other characters."""
    if label.isascii():
        return ASCII_LABEL.fullmatch(label) is not None
    return unicodedata.normalize("NFKC", label) == label and all(map(_is_of_label, label))


def _is_of_label(character: str) -> bool:
    if character.isascii():
        return ASCII_LABEL.fullmatch(character) is not None
    is_sign = unicodedata.category(character)[0] in "PZC"
    return not is_sign or character in PUNCTUATION
