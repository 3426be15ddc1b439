"""The API's errors in its own shape and words."""

from typing import Any


class ApiError(Exception):
    """An error answer: HTTP status, the API's error type, its message, extra headers, and details.error_code where it has one."""

    def __init__(
        self,
        status: int,
        kind: str,
        message: str,
        *,
        headers: dict[str, str] | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.kind, self.message, self.headers, self.code = (
            status,
            kind,
            message,
            headers or {},
            code,
        )

    def body(self, request_id: str) -> dict[str, Any]:
        """The JSON body as the API sends it."""
        error: dict[str, Any] = {"type": self.kind, "message": self.message}
        if self.code is not None:
            error["details"] = {"error_code": self.code}
        return {"type": "error", "error": error, "request_id": request_id}


def invalid(message: str) -> ApiError:
    """A 400: something about the request is wrong."""
    return ApiError(400, "invalid_request_error", message)
