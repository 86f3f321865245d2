"""E-mail addresses, in every spelling that one address may have.

Two addresses are the same when they differ in capital letters, in the way in which accents are written, or in the form
of an internationalised domain. Dots and plus tags matter, and so do quotes within the part before the @.

Sources: RFC 5321, RFC 6532, https://developers.klaviyo.com/en/docs/profile_identifiers
"""

from __future__ import annotations

import re
from typing import Final

from airflow_provider_klaviyo.deletion.characters import (
    WRAPPINGS,
    UnreadableError,
    composed,
    decomposed,
    folded,
    unwrapped,
)
from airflow_provider_klaviyo.deletion.domains import ACE_PREFIX, ascii_domain, unicode_domain

__all__ = ["read_email", "read_plain_email"]

LONGEST_EMAIL: Final = 100
# Most addresses: nothing but ASCII, none of what `read_email` refuses, and nothing to be taken off.
PLAIN_EMAIL: Final = re.compile(r"[!#-'*+\--9=?A-Z\\^-~]+@[0-9A-Za-z_-]+(?:\.[0-9A-Za-z_-]+)*")
QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)+"')


def read_plain_email(text: str) -> str | None:
    """Return an address in lower case if that is all there is to do, which is quick; else None.

    :param text: without white space around it.
    """
    if len(text) <= LONGEST_EMAIL and PLAIN_EMAIL.fullmatch(text):
        lower = text.lower()
        if ACE_PREFIX not in lower:
            return lower
    return None


def read_email(value: str) -> tuple[str, tuple[str, ...]]:
    """Return an address in its canonical form, and up to five spellings to look up: the listed one last.

    :raises UnreadableError: for what cannot be an address.
    """
    listed = unwrapped(value, WRAPPINGS, "mailto:")
    local, at, domain = composed(listed).partition("@")
    if not (local and at and domain) or "@" in domain:
        raise UnreadableError("not an e-mail address: no single @ with something on both sides")
    text = f"{local}@{domain}"
    if not text.isprintable() or any(character.isspace() or character in "<>()[],;:" for character in text):
        raise UnreadableError("white space, brackets, commas or colons, which an e-mail address has not")
    if '"' in local and not QUOTED.fullmatch(local):
        raise UnreadableError("a stray quotation mark, which an e-mail address has not")
    local, domain = folded(local), unicode_domain(domain)
    canonical = f"{local}@{domain}"
    if len(canonical) > LONGEST_EMAIL:
        raise UnreadableError(f"longer than the {LONGEST_EMAIL} characters of an e-mail address in Klaviyo")
    in_ascii = ascii_domain(domain)
    forms = (canonical, f"{local}@{in_ascii}", decomposed(canonical), f"{decomposed(local)}@{in_ascii}")
    return canonical, _looked_up(forms, listed if len(listed) <= LONGEST_EMAIL else canonical)


def _looked_up(forms: tuple[str, ...], listed: str) -> tuple[str, ...]:
    others = (form for form in dict.fromkeys(forms) if form != listed and len(form) <= LONGEST_EMAIL)
    return (*others, listed)
