"""What stands in front of every request: limits while it is read, headers on its answer, one line of log."""

from __future__ import annotations

import asyncio
import hmac
import time
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emodag.params import Serve
from emodag.web import log, problems
from emodag.web.metrics import Metrics
from emodag.web.problems import Problem
from emodag.web.team import Failed

#: Scripts, styles and sounds come from here and nowhere else, and no page may frame this one.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "connect-src 'self'; worker-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

#: What is answered to whoever has no token: the page that asks for it, what the service is, and whether it lives.
_OPEN = ("/", "/health", "/docs", "/openapi.json", "/favicon.ico")
_OPEN_FOLDER = "/static/"

#: What changes nothing.
_READING = ("GET", "HEAD", "OPTIONS")

#: How a page offers its token when it opens a WebSocket, for which browsers set no headers: as a subprotocol.
TOKEN_PROTOCOL = "bearer."


def is_open(path: str) -> bool:
    """Whether a path is answered without the token."""
    return path in _OPEN or path.startswith(_OPEN_FOLDER)


def has_token(headers: Headers, token: str) -> bool:
    """Whether a request brings the token: in ``Authorization``, or as a subprotocol of a WebSocket."""
    scheme, _, found = headers.get("authorization", "").partition(" ")
    offered = [found.strip()] if scheme.lower() == "bearer" else []
    protocols = headers.get("sec-websocket-protocol", "").split(",")
    offered += [each.strip().removeprefix(TOKEN_PROTOCOL) for each in protocols if TOKEN_PROTOCOL in each]
    return any(hmac.compare_digest(each.encode(), token.encode()) for each in offered)


def is_foreign(headers: Headers) -> bool:
    """Whether a page of another site asks; whoever is no page says nothing of where it comes from."""
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != headers.get("host")


class Guard:
    """Passes requests on to an application, within the limits of the section ``serve``."""

    def __init__(self, app: ASGIApp, settings: Serve, metrics: Metrics, token: str):
        """Take what answers, the limits, where requests are counted, and the token; empty if none is asked."""
        self._app, self._settings, self._metrics, self._token = app, settings, metrics, token
        self._uploads = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.monotonic(), 0
        upload = _Upload(receive, self._settings)

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._passed_on(scope, upload, answer)
        except Failed as error:
            log.fault("fault", fault=error.kind, where=error.where)
            await problems.fault().response()(scope, receive, answer)
        except Exception as error:
            log.fault("fault", **log.described(error))
            if not status:
                await problems.fault().response()(scope, receive, answer)
        finally:
            path = _known(scope)
            seconds = time.monotonic() - start
            self._metrics.answered(path, scope["method"], status, seconds)
            log.event(
                "request",
                path=path, method=scope["method"], status=status, seconds=round(seconds, 4), received=upload.received,
            )  # fmt: skip

    async def _passed_on(self, scope: Scope, upload: _Upload, answer: Send) -> None:
        problem = self._refusal(scope)
        if problem is not None:
            await problem.response()(scope, upload.receive, answer)
            return
        self._uploads += 1
        upload.when_read = self._uploaded
        try:
            await self._app(scope, upload.receive, answer)
        finally:
            upload.end()

    def _uploaded(self) -> None:
        self._uploads -= 1

    def _refusal(self, scope: Scope) -> Problem | None:
        """Why a request is refused before it is read."""
        headers = Headers(scope=scope)
        if self._token and not is_open(scope["path"]) and not has_token(headers, self._token):
            return problems.no_token()
        if scope["method"] in _READING:
            return None
        if is_foreign(headers):
            return problems.foreign_origin()
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self._settings.largest * 1e6:
            return problems.too_large(self._settings.largest)
        if self._uploads >= self._settings.uploads:
            return problems.busy(round(self._settings.stall), "uploads come")
        return None


class _Upload:
    """What a client sends, counted and timed while it comes."""

    def __init__(self, receive: Receive, settings: Serve):
        self._receive, self._settings = receive, settings
        self._deadline = time.monotonic() + settings.upload
        self._is_read = False
        self.received = 0  #: bytes
        self.when_read = lambda: None

    async def receive(self) -> Message:
        """The next part.

        Raises:
            Problem: it is too much, too slow, or takes too long.
        """
        if self._is_read:
            return await self._receive()
        seconds = min(self._settings.stall, self._deadline - time.monotonic())
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                message = await self._receive()
        except TimeoutError:
            raise problems.too_slow(self._settings.stall if seconds > 0 else self._settings.upload) from None
        self.received += len(message.get("body", b""))
        if self.received > self._settings.largest * 1e6:
            raise problems.too_large(self._settings.largest)
        if not message.get("more_body", False):
            self.end()
        return message

    def end(self) -> None:
        """Nothing more is waited for."""
        if not self._is_read:
            self._is_read = True
            self.when_read()


def _known(scope: Scope) -> str:
    """The path as the application names it: what people make up is no name for a counter, nor for a log."""
    route = scope.get("route")
    return getattr(route, "path", "other")
