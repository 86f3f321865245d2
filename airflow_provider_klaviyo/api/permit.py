"""A check of our own, before a request is sent, that can keep it from being sent."""

from __future__ import annotations

__all__ = ["NotPermittedError"]


class NotPermittedError(Exception):
    """Our own check before a send has refused it, so nothing was sent this time. It does not leave the package.

    :param in_doubt: an earlier send of the same request may have been carried out.
    """

    in_doubt = False
