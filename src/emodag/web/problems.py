"""What is answered where a request cannot be: always JSON, always with what would be accepted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from emodag.web.sniffing import ACCEPTED

#: Codes by which a worker refuses, and the status that they are answered with; any other is 422.
_STATUS = {"too_long": 413, "too_costly": 413, "too_much_memory": 413, "not_audio": 415, "lfs_pointer": 415}


class Problem(HTTPException):
    """A request that cannot be answered, by a ``code`` for programs and a ``message`` for people."""

    def __init__(self, status: int, code: str, message: str, accepted: str, headers: Mapping[str, str] | None = None):
        super().__init__(status, message, dict(headers or {}))
        self.code, self.accepted = code, accepted

    def response(self) -> JSONResponse:
        """The answer."""
        return JSONResponse(
            {"error": {"code": self.code, "message": self.detail, "accepted": self.accepted}},
            self.status_code,
            self.headers,
        )


def of_recording(code: str, message: str, longest: float) -> Problem:
    """A recording that a worker refused."""
    accepted = f"a recording of at most {longest:g} s that can be decoded: {ACCEPTED}"
    return Problem(_STATUS.get(code, 422), code, message, accepted)


def unknown_content() -> Problem:
    """What the first bytes of an upload show to be no recording."""
    message = "the file does not begin as any recording does; its name and type are not asked"
    return Problem(415, "not_audio", message, ACCEPTED)


def too_large(largest: float) -> Problem:
    """An upload beyond the limit (MB); the connection ends, for the rest of it is not read."""
    return Problem(
        413,
        "too_large",
        f"the upload is larger than {largest:g} MB",
        f"at most {largest:g} MB",
        {"Connection": "close"},
    )


def too_slow(seconds: float) -> Problem:
    """An upload that stalls, or takes too long."""
    message = f"the upload did not come within {seconds:g} s"
    return Problem(408, "too_slow", message, "the whole of the upload, without long pauses", {"Connection": "close"})


def busy(after: int, what: str = "recordings wait") -> Problem:
    """Too many at once."""
    return Problem(
        503, "busy", f"too many {what} already", f"the same request in {after} s", {"Retry-After": str(after)}
    )


def no_token() -> Problem:
    """The bearer token is missing or wrong."""
    return Problem(
        401,
        "no_token",
        "this service asks for its token",
        "the header `Authorization: Bearer TOKEN`",
        {"WWW-Authenticate": "Bearer"},
    )


def foreign_origin() -> Problem:
    """A page of another site asks, in the name of whoever has it open."""
    return Problem(403, "foreign_origin", "a page of another site may not ask this service", "pages that it serves")


def fault() -> Problem:
    """Our own; what it is stands in the log, not in the answer."""
    return Problem(500, "fault", "the service has a fault; its log says where", "the same request later, perhaps")


def of_http(error: HTTPException, methods: Mapping[str, Any]) -> Problem:
    """What the framework refuses: an unknown path, another method, a broken body."""
    if isinstance(error, Problem):
        return error
    match error.status_code:
        case 404:
            return Problem(404, "no_such_path", "there is nothing at this path", ", ".join(methods))
        case 405:
            allowed = (error.headers or {}).get("Allow", "another")
            return Problem(405, "no_such_method", "this path does not take this method", allowed, error.headers)
        case _:
            message = f"the request cannot be read: {error.detail}"
            return Problem(error.status_code, "not_readable", message, "multipart/form-data with a part named `file`")
