"""A request's body and parameters as the fields they carry: JSON whatever its content type, forms, multipart forms, or nothing."""

from __future__ import annotations

import asyncio
import json
from email import message_from_bytes
from typing import Any
from urllib.parse import parse_qsl

import orjson
from starlette.requests import ClientDisconnect, Request

from gateway.errors import InvalidBody, TooLarge, TooLate

Json = dict[str, Any]
Pairs = list[tuple[str, str]]

LARGEST = 1024 * 1024
LARGEST_MULTIPART = 100 * 1024
SECONDS = 60.0
"""For the whole body to come, however slowly."""
DEEPEST = 100
"""Objects and arrays within each other. Whatever folds or shows a value goes down it by recursion, and not only here."""


async def read_body(request: Request) -> bytes:
    """At most what a body may have, in its time; more is refused before it is read."""
    kind = request.headers.get("content-type", "").lower()
    limit = LARGEST_MULTIPART if kind.startswith("multipart/") else LARGEST
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > limit:
        raise TooLarge(limit)
    try:
        async with asyncio.timeout(SECONDS):
            return await _whole(request, limit)
    except TimeoutError:
        raise TooLate(SECONDS) from None
    except ClientDisconnect:
        raise InvalidBody("the body broke off before its end") from None


async def _whole(request: Request, limit: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise TooLarge(limit)
        chunks.append(chunk)
    return b"".join(chunks)


def parse_body(content_type: str, body: bytes) -> tuple[Pairs, Any]:
    """-> form parameters, JSON value ({} where there is none)."""
    kind = content_type.lower()
    text = body.strip()
    if not text:
        return [], {}
    if kind.startswith("multipart/form-data"):
        return _multipart(content_type, body), {}
    if kind.startswith("application/x-www-form-urlencoded") and text[:1] not in (b"{", b"[") and not _is_json(text):
        return pairs_of(text.decode("utf-8", "replace")), {}
    return [], _json(text)


def pairs_of(query: str) -> Pairs:
    return parse_qsl(query, keep_blank_values=True)


def fields_of(pairs: Pairs) -> Json:
    """Parameters as fields: repeated names become lists."""
    every: dict[str, list[str]] = {}
    for name, value in pairs:
        every.setdefault(name, []).append(value)
    return {name: values if len(values) > 1 else values[0] for name, values in every.items()}


def _is_json(text: bytes) -> bool:
    """No form is: a text, a number and null are the body that a client meant as JSON."""
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def _json(text: bytes) -> Any:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = _with_lone_surrogates(text)
    if not isinstance(value, dict | list):
        raise InvalidBody("a JSON object or array is expected")
    if isinstance(value, list) and not all(isinstance(each, dict) for each in value):
        raise InvalidBody("an array of JSON objects is expected")
    if text.count(b"{") + text.count(b"[") > DEEPEST and _depth(value) > DEEPEST:
        raise InvalidBody(f"objects and arrays may be at most {DEEPEST} deep")
    return value


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level := [each for each in level if isinstance(each, dict | list)]:
        depth += 1
        level = [inner for each in level for inner in (each.values() if isinstance(each, dict) else each)]
    return depth


def _with_lone_surrogates(text: bytes) -> Any:
    """What orjson refuses for its characters alone is valid JSON; validation then says which field is wrong."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise InvalidBody(f"the body is not JSON: {error}") from None


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not a number of JSON's")


def _multipart(content_type: str, body: bytes) -> Pairs:
    """The plain parts (files are left out)."""
    try:
        message = message_from_bytes(b"Content-Type: " + content_type.encode("latin-1", "replace") + b"\r\n\r\n" + body)
        parts = list(message.walk())
    except RecursionError:
        raise InvalidBody(
            "the multipart body's parts are too deep within each other: a form's parts hold its fields, and no more parts"
        ) from None
    if not message.is_multipart():
        raise InvalidBody("the multipart body has no boundary")
    pairs: Pairs = []
    for part in parts:
        name = part.get_param("name", header="content-disposition")
        if isinstance(name, str) and part.get_filename() is None:
            payload = part.get_payload(decode=True)
            pairs.append((name, payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""))
    return pairs
