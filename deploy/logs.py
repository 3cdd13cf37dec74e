"""Logs: a sentence, an action, the stream and the correlation id; text for eyes, JSON for programs, always to stderr."""

from __future__ import annotations

import logging
import sys
from typing import Any

import orjson
import structlog

from deploy.settings import LogFormat, LogLevel


def configure(level: LogLevel, chosen: LogFormat) -> None:
    """Once, at the start of a process. Libraries' own logs go the same way, from warnings on."""
    number = getattr(logging, level.value.upper())
    text = chosen is LogFormat.TEXT or (chosen is LogFormat.AUTO and sys.stderr.isatty())
    render: Any = structlog.dev.ConsoleRenderer() if text else structlog.processors.JSONRenderer(serializer=_json)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S" if text else "iso", utc=not text),
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=max(number, logging.WARNING), stream=sys.stderr, format="%(name)s: %(message)s")
    logging.getLogger("nats").setLevel(logging.CRITICAL)  # its errors reach our own callbacks
    logging.getLogger("asyncpg.pool").setLevel(logging.CRITICAL)  # who asks for a connection hears what is wrong


def _json(value: Any, **_: Any) -> str:
    return orjson.dumps(value, default=str).decode()
