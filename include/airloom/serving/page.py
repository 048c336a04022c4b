"""The gateway's OpenAPI page: plain HTML made here, so that it needs no script and nothing from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from typing import Any

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c2430;background:#fff}
h1{font-size:1.5rem}section{border-top:1px solid #cdd5df;padding:.5rem 0}code,pre{font-family:ui-monospace,monospace}
h2{font-size:1rem;font-family:ui-monospace,monospace}pre{background:#f3f5f8;padding:.75rem;overflow:auto}
table{border-collapse:collapse}td,th{text-align:left;padding:.15rem 1rem .15rem 0;vertical-align:top}
"""


def render_page(openapi: dict[str, Any]) -> str:
    """One page of all endpoints and documents."""
    body = "".join(
        _operation(path, method, operation)
        for path, methods in openapi["paths"].items()
        for method, operation in methods.items()
    )
    schemas = "".join(_schema(name, schema) for name, schema in openapi["components"]["schemas"].items())
    title = escape(f"{openapi['info']['title']} {openapi['info']['version']}")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body><h1>{title}</h1>'
        f"<p>{escape(openapi['info'].get('description', ''))}</p>"
        f'<p>As JSON: <a href="openapi.json">openapi.json</a></p>{body}<h1>Documents</h1>{schemas}</body></html>'
    )


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    answers = "".join(
        f"<tr><td>{escape(code)}</td><td>{escape(answer['description'])}</td><td>{_content(answer)}</td></tr>"
        for code, answer in operation["responses"].items()
    )
    asked = f"<p>Body: {_content(operation['requestBody'])}</p>" if "requestBody" in operation else ""
    text = escape(operation.get("description") or operation.get("summary", ""))
    return (
        f"<section><h2>{method.upper()} {escape(path)}</h2><p>{text}</p>{asked}"
        f"<table><tr><th>Status</th><th>Meaning</th><th>Document</th></tr>{answers}</table></section>"
    )


def _content(part: dict[str, Any]) -> str:
    return " ".join(_references(part.get("content", {})))


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            name = escape(value["$ref"].rpartition("/")[2])
            yield f'<a href="#{name}">{name}</a>'
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def _schema(name: str, schema: dict[str, Any]) -> str:
    text = escape(json.dumps(schema, indent=2, ensure_ascii=False))
    return f'<section id="{escape(name)}"><h2>{escape(name)}</h2><pre>{text}</pre></section>'
