"""What the Bot API says when it refuses: Telegram's own codes and words.

Two refusals come with machinery of their own and are told apart by `parameters`: 429 carries `retry_after` (seconds).
"""

from typing import Any


class ApiError(Exception):
    """A refusal: `code` as in HTTP, `description` as Telegram words it, `parameters` as in ResponseParameters."""

    def __init__(self, code: int, description: str, **parameters: int) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.parameters = parameters

    def body(self) -> dict[str, Any]:
        """The JSON object that goes over the wire."""
        body: dict[str, Any] = {"ok": False, "error_code": self.code, "description": self.description}
        return body | ({"parameters": self.parameters} if self.parameters else {})


def bad_request(reason: str) -> ApiError:
    """400: the request itself is wrong."""
    return ApiError(400, f"Bad Request: {reason}")


def forbidden(reason: str) -> ApiError:
    """403: the person does not want to hear from the bot."""
    return ApiError(403, f"Forbidden: {reason}")


def too_many_requests(retry_after: int) -> ApiError:
    """429: come back in `retry_after` seconds."""
    return ApiError(429, f"Too Many Requests: retry after {retry_after}", retry_after=retry_after)


def unauthorized() -> ApiError:
    """401: this token belongs to no bot."""
    return ApiError(401, "Unauthorized")


def not_found() -> ApiError:
    """404: there is no such method."""
    return ApiError(404, "Not Found: method not found")


def conflict() -> ApiError:
    """409: somebody else has begun to poll."""
    return ApiError(
        409,
        "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running",
    )


def webhook_active() -> ApiError:
    """409: updates go to a webhook, and nobody can poll."""
    return ApiError(
        409,
        "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first",
    )


def too_large() -> ApiError:
    """413: more than a request may carry."""
    return ApiError(413, "Request Entity Too Large")


def internal_error() -> ApiError:
    """500: something broke on Telegram's side."""
    return ApiError(500, "Internal Server Error")
