"""What the service logs: one JSON object a line, with no sound, no words and no names of files."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from pathlib import Path

_LOGGER = logging.getLogger("emodag.web")


class _AsJson(logging.Formatter):
    """A record as a line of JSON; of an exception its kind and where it was raised, for its message may quote."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"time": time, "level": record.levelname.lower(), "event": record.getMessage()}
        line |= getattr(record, "facts", {})
        if record.exc_info and record.exc_info[1] is not None:
            line |= described(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False, default=str)


def described(error: BaseException) -> dict[str, object]:
    """The kind of an exception, and file and line of each step to where it was raised."""
    where, step = [], error.__traceback__
    while step is not None:
        where.append(f"{Path(step.tb_frame.f_code.co_filename).name}:{step.tb_lineno}")
        step = step.tb_next
    return {"fault": type(error).__name__, "where": where}


def set_up() -> None:
    """Send what the service and its libraries log to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_AsJson())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    _LOGGER.setLevel(logging.INFO)
    # It quotes what clients send.
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)


def event(name: str, **facts: object) -> None:
    """Something that happened as it should."""
    _LOGGER.info(name, extra={"facts": facts})


def fault(name: str, **facts: object) -> None:
    """Something that has to be mended."""
    _LOGGER.error(name, extra={"facts": facts})
