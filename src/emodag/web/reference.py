"""The description of the service for people at ``/docs``: its OpenAPI as one page without scripts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from typing import Any

_START = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><link rel="icon" href="static/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="static/page.css"></head><body><main class="reference">
"""
_END = "</main></body></html>\n"


def reference(openapi: dict[str, Any], live: str) -> str:
    """Every path of an OpenAPI description, and what is said of the live one, which OpenAPI cannot describe."""
    title = escape(openapi["info"]["title"])
    parts = (
        _START.format(title=title),
        f"<h1>{title}</h1>",
        f"<p>{escape(openapi['info']['description'])}</p>",
        *(
            part
            for path, methods in openapi["paths"].items()
            for method, operation in methods.items()
            for part in _operation(path, method, operation)
        ),
        "<h2><code>WebSocket /api/live</code></h2>",
        *(f"<p>{escape(each)}</p>" for each in live.split("\n\n")),
        _END,
    )
    return "\n".join(parts)


def _operation(path: str, method: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"<h2><code>{method.upper()} {escape(path)}</code></h2>"
    yield f"<p>{escape(operation.get('description', operation['summary']))}</p>"
    for parameter in operation.get("parameters", ()):
        told = parameter.get("description", "")
        yield f"<p><code>{escape(parameter['name'])}</code> ({escape(parameter['in'])}): {escape(told)}</p>"
    for status, response in operation["responses"].items():
        yield f"<p>{escape(status)}: {escape(response['description'])}</p>"
        for content in response.get("content", {}).values():
            if "example" in content:
                example = json.dumps(content["example"], indent=2, ensure_ascii=False)
                yield f"<pre>{escape(example)}</pre>"
