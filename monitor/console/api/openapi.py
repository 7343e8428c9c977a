"""The OpenAPI 3.1 document, made from the operations as they are declared."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from monitor.console.api import shapes
from monitor.console.api.given import LIMIT_DEFAULT, LIMIT_MAX, LINES
from monitor.console.api.operation import (
    ERRORS,
    ID_CHARACTERS_MAX,
    KEY_CHARACTERS_MAX,
    TEXT_CHARACTERS_MAX,
    Operation,
)
from monitor.listing.filters import Filter, Form
from monitor.tokens import ROLES, Role

EVERYWHERE: Final = (401, 403, 429, 431, 503)
"""Errors that every operation has."""

WITH_BODY: Final = (408, 413, 415)
"""Errors of every operation that takes a body."""

JSON: Final = "application/json"

ABOUT: Final = (
    "Lists, objects and acts, as on the command line. Every request shows a token (`miniwatch tokens add`). Whatever is refused "
    "gets a status and a `message`. Times are RFC 3339, in UTC. Lists come in pages: `next` is the `cursor` of the following one, "
    "and null at the end; repeat the filters with it. Rows that come while a list is read move nothing in it. With "
    "`Accept: application/x-ndjson` a page is one object a line, and the next one stands in the header `Link`."
)


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    """The whole document."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.whole_path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Miniwatch", "version": "1", "description": ABOUT, "license": {"name": "Apache-2.0"}},
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"apiKey": []}],
        "tags": [{"name": name} for name in dict.fromkeys(operation.tag for operation in operations)],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "A token: `mw_ID_SECRET`."},
                "apiKey": {"type": "apiKey", "in": "header", "name": "X-Api-Key", "description": "The same token."},
            },
            "schemas": shapes.schemas(
                [*(each.gives for each in operations), shapes.REFUSAL],
                [each.body for each in operations if each.body is not None],
            ),
            "responses": {str(status): _error(status, about) for status, about in ERRORS.items()},
        },
    }


def document_text(operations: Sequence[Operation]) -> bytes:
    """The document as it is given and kept."""
    return msgspec.json.format(msgspec.json.encode(document(operations)), indent=1) + b"\n"


def _operation(operation: Operation) -> dict[str, Any]:
    told: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": " ".join(filter(None, (operation.about, f"Role: `{operation.role}`, {_who(operation.role)}."))),
        "tags": [operation.tag],
        "parameters": list(_parameters(operation)),
        "responses": _responses(operation),
    }
    if operation.body is not None:
        content = {JSON: {"schema": _reference(operation.body)}}
        told["requestBody"] = {"required": True, "content": content}
    return told


def _who(role: Role) -> str:
    return ROLES[role]


def _parameters(operation: Operation) -> Iterable[dict[str, Any]]:
    for name in re.findall(r"\{(\w+)\}", operation.path):
        about = "Its id, or the beginning of it." if name == "id" else "The whole of it."
        schema = {"type": "string", "minLength": 1, "maxLength": ID_CHARACTERS_MAX}
        yield {"name": name, "in": "path", "required": True, "description": about, "schema": schema}
    for each in operation.filters:
        yield {"name": each.name, "in": "query", "description": each.about, "schema": _given(each)}
    yield from map(dict, operation.more)
    if operation.paged:
        limit = {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT}
        yield {"name": "limit", "in": "query", "description": "Rows of this page at most.", "schema": limit}
        about = "Where to go on: `next` of the page before. It stands for the same list with the same filters."
        yield {"name": "cursor", "in": "query", "description": about, "schema": {"type": "string", "minLength": 1}}
    if operation.keyed:
        about = "Sent again with the same key, the same is done once."
        schema = {"type": "string", "minLength": 1, "maxLength": KEY_CHARACTERS_MAX}
        yield {"name": "Idempotency-Key", "in": "header", "description": about, "schema": schema}


def _given(each: Filter) -> dict[str, Any]:
    if each.form is Form.FLAG:
        return {"type": "boolean", "default": False}
    if each.words is not None:
        return {"type": "string", "enum": [word.value for word in each.words()]}
    if each.form is Form.TIME:
        return {"type": "string", "minLength": 1, "examples": ["2026-03-02T10:00:00Z", "2h", "7d"]}
    return {"type": "string", "minLength": 1, "maxLength": TEXT_CHARACTERS_MAX}


def _responses(operation: Operation) -> dict[str, Any]:
    item = _reference(operation.gives)
    told: dict[str, Any] = {"description": operation.summary, "content": {JSON: {"schema": item}}}
    if operation.paged:
        page = {
            "type": "object",
            "properties": {"items": {"type": "array", "items": item}, "next": {"type": ["string", "null"]}},
            "required": ["items", "next"],
        }
        link = {"description": "The next page, where there is one.", "schema": {"type": "string"}}
        told |= {"content": {JSON: {"schema": page}, LINES: {"schema": {"type": "string"}}}, "headers": {"Link": link}}
    errors = {*EVERYWHERE, *operation.errors, *(WITH_BODY if operation.body is not None else ())}
    refusals = {str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted(errors)}
    return {str(status): told for status in sorted((operation.status, *operation.also))} | refusals


def _error(status: int, about: str) -> dict[str, Any]:
    told: dict[str, Any] = {"description": about, "content": {JSON: {"schema": _reference(shapes.REFUSAL)}}}
    if status in (429, 503):
        seconds = {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}
        told["headers"] = {"Retry-After": seconds}
    return told


def _reference(kind: Any) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{kind.__name__}"}
