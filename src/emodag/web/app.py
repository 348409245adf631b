"""The service's paths, and what each answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, File, Query, Request, Response, UploadFile, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.websockets import WebSocketDisconnect

import emodag
from emodag.params import Serve
from emodag.web import answers, examples, log, problems, reference, samples, sniffing
from emodag.web.guard import Guard, has_token, is_foreign
from emodag.web.metrics import Metrics
from emodag.web.problems import Problem
from emodag.web.team import Busy, Failed, Kind, Refused, Team, Worker

#: Where the page and its parts lie.
STATIC = Path(__file__).parent / "static"

DESCRIPTION = (
    "Says how probable each emotion is in recorded speech, and who felt what, when. It tells how emotions sound as "
    "actors or listeners meant them, not what anybody feels; /api/model says what is known of its errors."
)
LIVE = """Samples of one voice in, emotions out while it speaks. Query: rate, in Hz (8000 to 192000), and encoding,
s16le or f32le (mono, little-endian). Send binary messages of any length up to 1 MB, such as a tenth of a second each.

Each is answered by JSON: time (s since the start), level (dB of full scale), judged (whether a window was just
completed), feeling (of that window, as in /api/analyze; null where there is no speech, and between windows).

Errors come as {"error": {...}} before the connection closes: 4400 for what is no such samples, 4408 after a pause or
the longest time, 4503 where too many listen. A page offers the token as a subprotocol: ["emodag", "bearer.TOKEN"]."""

#: The subprotocol of live clients; whoever offers subprotocols has to be answered one of them.
_PROTOCOL = "emodag"
#: Codes by which a live connection is closed.
_CLOSED = {400: 4400, 408: 4408, 503: 4503}

_LONGEST_NAME = 255

Recording = Annotated[UploadFile, File(description=f"a recording: {sniffing.ACCEPTED}")]


def create_app(team: Team, settings: Serve, token: str = "") -> FastAPI:
    """The service.

    Args:
        team: the workers.
        settings: the section ``serve`` of the params.
        token: that clients must send; empty if none is asked.
    """

    app = FastAPI(
        title="emodag",
        version=emodag.__version__,
        description=DESCRIPTION,
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        responses={422: {"model": answers.Refusal, "description": "what was wrong, and what would be accepted"}},
    )
    metrics = Metrics(team)
    app.add_middleware(Guard, settings=settings, metrics=metrics, token=token)
    _answer_problems(app)
    _add_pages(app)
    _add_facts(app, team, metrics)
    _add_recordings(app, team, settings)
    _add_live(app, team, settings, token)
    return app


def _answer_problems(app: FastAPI) -> None:
    """Make every refusal JSON of one form."""

    @app.exception_handler(HTTPException)
    async def refused(_request: Request, error: HTTPException) -> Response:
        paths = {route.path: None for route in app.routes if hasattr(route, "methods")}
        return problems.of_http(error, paths).response()

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> Response:
        told = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        accepted = "multipart/form-data with a recording as the part `file`, and parameters as /docs describes them"
        return Problem(422, "not_valid", told, accepted).response()


def _add_pages(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return FileResponse(STATIC / "index.html")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(reference.reference(app.openapi(), LIVE))

    app.mount("/static", StaticFiles(directory=STATIC), name="static")


def _add_facts(app: FastAPI, team: Team, metrics: Metrics) -> None:
    @app.get("/api/model", responses=examples.of(examples.CARD))
    async def model() -> answers.Card:
        """The model: what it was trained on, its scores with their intervals, its limits, and what it is not for."""
        return answers.Card.model_validate(team.card)

    @app.get("/health", responses=examples.of(examples.HEALTH))
    async def health(response: Response) -> answers.Health:
        """Whether recordings can be judged; 503 while they cannot."""
        lane = team.lanes["clip"]
        if not team.is_alive:
            response.status_code = 503
        return answers.Health(status="ready" if team.is_alive else "loading", waiting=lane.waiting, active=lane.active)

    @app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def metrics_text() -> Response:
        """Counters for Prometheus."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


_OF_RECORDINGS: dict[int | str, dict[str, Any]] = {
    status: {"model": answers.Refusal, "description": told}
    for status, told in {
        400: "the request is no multipart/form-data",
        408: "the upload stalls",
        413: "the upload is too large, the recording too long, or decoding it too costly",
        415: "the file is no recording",
        503: "too many recordings wait; Retry-After says when to come back",
    }.items()
}


def _add_recordings(app: FastAPI, team: Team, settings: Serve) -> None:
    async def answered(request: Request, file: UploadFile, kind: Kind, job: str, **header: Any) -> Any:
        head = await file.read(sniffing.HEAD)
        if sniffing.kind_of(head) is None:
            raise problems.unknown_content() if head else _empty()
        name = (file.filename or "recording")[-_LONGEST_NAME:]
        try:
            return await _unless_gone(request, _asked(team, kind, job, file, name=name, **header))
        except Busy as error:
            raise problems.busy(error.after) from None
        except Refused as error:
            raise problems.of_recording(error.code, str(error), settings.job(kind).longest) from None

    async def written(request: Request, file: UploadFile, found: dict[str, Any]) -> dict[str, Any]:
        """Transcription and interpretation; where they cannot be had, the emotions are answered without."""
        try:
            return await _unless_gone(request, _asked(team, "words", "write", file, answer=found))
        except Busy:
            return _no_words("too many recordings wait to be transcribed")
        except Refused as error:
            return _no_words(str(error))

    @app.post("/process_audio", responses=_OF_RECORDINGS | examples.of(examples.PROCESSED))
    async def process_audio(request: Request, file: Recording) -> answers.Processed:
        """The emotions of a recording as one clip, what was said in it, and what both come to."""
        found = await answered(request, file, "clip", "predict", with_words=True)
        if "interpretation" not in found:
            found |= await written(request, file, found)
        details = answers.Details.model_validate(found | {"model": _context(team.card)})
        return answers.Processed(
            probabilities=details.probabilities,
            transcription=details.transcription.text,
            interpretation=details.interpretation.text,
            details=details,
        )

    @app.post("/api/predict", responses=_OF_RECORDINGS | examples.of(examples.PREDICTION))
    async def predict(request: Request, file: Recording) -> answers.Prediction:
        """The emotions of a recording as one clip, and nothing else."""
        found = await answered(request, file, "clip", "predict", with_words=False)
        return answers.Prediction.model_validate(found | {"model": _context(team.card)})

    @app.post("/api/analyze", responses=_OF_RECORDINGS | examples.of(examples.ANALYSIS))
    async def analyze(
        request: Request,
        file: Recording,
        speakers: Annotated[int | None, Query(ge=1, le=20, description="how many speak; found out if left out")] = None,
        words: Annotated[bool, Query(description="transcribe and interpret it too")] = False,
    ) -> answers.Analysis:
        """Who felt what, when: turns, speakers, emotions over time, as `emodag analyze --json` tells them."""
        return await answered(request, file, "call", "analyze", speakers=speakers, with_words=words)


def _empty() -> Problem:
    return Problem(422, "empty", "the part `file` holds no byte", sniffing.ACCEPTED)


def _no_words(why: str) -> dict[str, Any]:
    return {
        "transcription": {"text": "", "backend": "none", "words": [], "note": why},
        "interpretation": {"text": "", "source": "none", "model": "", "note": why},
    }


def _context(card: dict[str, Any]) -> dict[str, Any]:
    """What of the card belongs to every probability."""
    facts = {key: card[key] for key in ("name", "protocol", "unknown_below", "scores")}
    return facts | {"trained_on": [corpus["name"] for corpus in card["trained_on"]]}


async def _asked(team: Team, kind: Kind, job: str, file: UploadFile, **header: Any) -> Any:
    async with team.worker(kind) as worker:
        # Only now: who waits in line holds no more than the form does, which puts large files on disk.
        await file.seek(0)
        return await worker.ask(job, await file.read(), **header)


async def _unless_gone(request: Request, work: Coroutine[Any, Any, Any]) -> Any:
    """The result of work, which is given up as soon as nobody waits for it any more."""
    working, watching = asyncio.ensure_future(work), asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise Problem(499, "gone", "the client has gone", "to wait for the answer")
        return working.result()
    finally:
        for each in (working, watching):
            each.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


def _add_live(app: FastAPI, team: Team, settings: Serve, token: str) -> None:
    @app.websocket("/api/live")
    async def live(socket: WebSocket, rate: str = "", encoding: str = "s16le") -> None:
        offered = [each.strip() for each in socket.headers.get("sec-websocket-protocol", "").split(",")]
        problem = _refusal(socket, rate, encoding, token)
        if problem is not None:
            await socket.send_denial_response(problem.response())
            return
        await socket.accept(_PROTOCOL if _PROTOCOL in offered else None)
        log.event("live begins")
        try:
            async with asyncio.timeout(settings.live_longest), team.worker("live") as worker:
                await worker.ask("listen", rate=int(rate), encoding=encoding)
                await _converse(socket, worker, settings.stall)
        except WebSocketDisconnect:
            pass
        except Busy as error:
            await _close(socket, problems.busy(error.after, "clients are heard"))
        except Refused as error:
            await _close(socket, Problem(400, error.code, str(error), f"samples of {encoding}"))
        except TimeoutError:
            told = f"at most {settings.live_longest:g} s, without pauses of {settings.stall:g} s"
            await _close(socket, Problem(408, "too_slow", "the connection was silent or open too long", told))
        except Failed as error:
            log.fault("fault", fault=error.kind, where=error.where)
            await _close(socket, problems.fault())
        log.event("live ends")


def _refusal(socket: WebSocket, rate: str, encoding: str, token: str) -> Problem | None:
    """Why a live client is refused before it is heard."""
    if token and not has_token(socket.headers, token):
        return problems.no_token()
    if is_foreign(socket.headers):
        return problems.foreign_origin()
    if not samples.is_rate(rate):
        return Problem(422, "not_valid", f"the rate is {rate[:20]!r}", samples.ACCEPTED)
    if encoding not in samples.ENCODINGS:
        return Problem(422, "not_valid", f"the encoding is {encoding[:20]!r}", samples.ACCEPTED)
    return None


async def _converse(socket: WebSocket, worker: Worker, stall: float) -> None:
    """Answer each block of samples until the client leaves."""
    while True:
        async with asyncio.timeout(stall):
            message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return
        content = message.get("bytes")
        if content is None:
            raise Refused("not_samples", "a text message is no samples; send binary ones")
        await socket.send_text(json.dumps(await worker.ask("hear", content)))


async def _close(socket: WebSocket, problem: Problem) -> None:
    """Tell a live client why, and hang up."""
    await socket.send_text(problem.response().body.decode())
    await socket.close(_CLOSED.get(problem.status_code, 1011))
