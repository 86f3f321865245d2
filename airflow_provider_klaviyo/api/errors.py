"""What can go wrong with Klaviyo, one class for each thing the reader can do about it.

```
KlaviyoError
├── KlaviyoConfigurationError       correct the connection or the argument that the message names
│   └── KlaviyoAccountError         the key belongs to another account than the connection says
├── KlaviyoRefusedError             Klaviyo says no, and would say no again
│   ├── KlaviyoAuthenticationError  401: the key is not accepted at this endpoint
│   │   └── KlaviyoKeyError         401 everywhere: the key was revoked, or is mistyped
│   │       └── KlaviyoTokenError   OAuth: the refresh token is dead, or the app is not known
│   ├── KlaviyoPermissionError      403: the key lacks a scope
│   ├── KlaviyoNotFoundError        404: there is no such thing
│   └── KlaviyoInvalidRequestError  400 and its kin: Klaviyo cannot make sense of the request
│       └── KlaviyoDuplicateProfileError 409: another profile holds the identifier already
├── KlaviyoUnavailableError         try again later; nothing is lost
│   ├── KlaviyoRateLimitError       429: not before `retry_after_seconds` have passed
│   ├── KlaviyoServerError          5xx
│   ├── KlaviyoAnswerError          an answer that Klaviyo's API does not give: of something in between, as a rule
│   └── KlaviyoConnectionError      no answer at all
└── KlaviyoStoppedError             the task is being killed; its next try goes on
```

A message names the endpoint, Klaviyo's code and its error id. It never quotes Klaviyo's own text: a 404 of
Klaviyo repeats the e-mail address that was asked for.

Source: https://developers.klaviyo.com/en/docs/rate_limits_and_error_handling
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "KlaviyoAccountError",
    "KlaviyoAnswerError",
    "KlaviyoAuthenticationError",
    "KlaviyoConfigurationError",
    "KlaviyoConnectionError",
    "KlaviyoDuplicateProfileError",
    "KlaviyoError",
    "KlaviyoInvalidRequestError",
    "KlaviyoKeyError",
    "KlaviyoNotFoundError",
    "KlaviyoPermissionError",
    "KlaviyoRateLimitError",
    "KlaviyoRefusedError",
    "KlaviyoServerError",
    "KlaviyoStoppedError",
    "KlaviyoTokenError",
    "KlaviyoUnavailableError",
    "error_class",
]


class KlaviyoError(Exception):
    """Any trouble with Klaviyo.

    :param message: what happened, to what, and what to do next; never a person's data.
    :param status: HTTP status, where there was an answer.
    :param code: Klaviyo's own code, such as ``permission_denied``.
    :param error_id: Klaviyo's id of this very error; their support asks for it.
    :param source: the part of the request that Klaviyo points at, such as ``filter``.
    :param retry_after_seconds: how long to wait at least, where that is known.
    :param in_doubt: an earlier send of the same request may have been carried out.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        error_id: str | None = None,
        source: str | None = None,
        retry_after_seconds: float | None = None,
        in_doubt: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.error_id = error_id
        self.source = source
        self.retry_after_seconds = retry_after_seconds
        self.in_doubt = in_doubt


class KlaviyoConfigurationError(KlaviyoError, ValueError):
    """The connection or an argument cannot work as it is; the message names the field."""


class KlaviyoAccountError(KlaviyoConfigurationError):
    """The key belongs to another Klaviyo account than the connection's ``account_id`` says."""


class KlaviyoRefusedError(KlaviyoError):
    """Klaviyo refuses this request and would refuse it again."""


class KlaviyoAuthenticationError(KlaviyoRefusedError):
    """401 at one endpoint. It may lack a scope; and Klaviyo has had days on which one refused every good key."""


class KlaviyoKeyError(KlaviyoAuthenticationError):
    """401 at every endpoint. The key was revoked, or is mistyped, and no retry can help."""


class KlaviyoTokenError(KlaviyoKeyError):
    """The refresh token of an OAuth app is dead, or Klaviyo does not know the app. Somebody has to act."""


class KlaviyoPermissionError(KlaviyoRefusedError):
    """403. The key lacks a scope, or the account's plan lacks the feature."""


class KlaviyoNotFoundError(KlaviyoRefusedError):
    """404. No such profile; after a deletion that is what one hopes for."""


class KlaviyoInvalidRequestError(KlaviyoRefusedError):
    """400, 405, 409, 410, 414, 415 and other 4xx of Klaviyo's API. The request itself is at fault."""


class KlaviyoDuplicateProfileError(KlaviyoInvalidRequestError):
    """409 ``duplicate_profile``. Another profile holds the identifier; only a person can tell whether to merge the two.

    :param duplicate_profile_id: of the other profile; None where Klaviyo does not say it.
    """

    def __init__(self, message: str, *, duplicate_profile_id: str | None = None, **known: Any) -> None:
        super().__init__(message, **known)
        self.duplicate_profile_id = duplicate_profile_id


class KlaviyoUnavailableError(KlaviyoError):
    """Klaviyo or the way to it is in trouble. Nothing is lost; the same request is good later."""


class KlaviyoRateLimitError(KlaviyoUnavailableError):
    """429, and waiting it out would take longer than this call may wait."""


class KlaviyoServerError(KlaviyoUnavailableError):
    """5xx, for longer than this call may wait."""


class KlaviyoAnswerError(KlaviyoUnavailableError):
    """An answer that Klaviyo's API does not give: HTML, whatever the status; wrong types, a redirect, endless pages.

    A firewall, a proxy or a content delivery network has given it, as a rule, so it says nothing about the
    key or a profile, and the request may have been carried out.
    """


class KlaviyoConnectionError(KlaviyoUnavailableError):
    """No answer: the host could not be reached, the connection broke, or the answer took too long as a whole."""


class KlaviyoStoppedError(KlaviyoError):
    """The client was told to stop. Nothing more was sent; what Klaviyo answered before that was heeded."""


_BY_STATUS: dict[int, type[KlaviyoError]] = {
    401: KlaviyoAuthenticationError,
    403: KlaviyoPermissionError,
    404: KlaviyoNotFoundError,
    408: KlaviyoServerError,
    425: KlaviyoServerError,
    429: KlaviyoRateLimitError,
}


def error_class(status: int) -> type[KlaviyoError]:
    """Return the class for an HTTP status. Every integer has one."""
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if 400 <= status < 500:
        return KlaviyoInvalidRequestError
    if 500 <= status < 600:
        return KlaviyoServerError
    return KlaviyoAnswerError
