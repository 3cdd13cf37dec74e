"""Logs: a sentence, an action, the stream and the correlation id; text for eyes, JSON for programs, always to stderr.

What concerns a request carries its `correlation` (and `trace`, where that has another name): the gateway ties it to the request, the engine
to the root's turn, an agent to the command; `grep` follows one through all of them.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import orjson
import structlog

from deploy.settings import LogFormat, LogLevel


def configure(level: LogLevel, chosen: LogFormat) -> None:
    """Once, at the start of a process. Libraries' own logs go the same way and in the same form, from warnings on."""
    number = getattr(logging, level.value.upper())
    text = chosen is LogFormat.TEXT or (chosen is LogFormat.AUTO and sys.stderr.isatty())
    render: Any = structlog.dev.ConsoleRenderer() if text else structlog.processors.JSONRenderer(serializer=_json)
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if text else "iso", utc=not text),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[handler])
    logging.getLogger("nats").setLevel(logging.CRITICAL)  # its errors reach our own callbacks
    logging.getLogger("asyncpg.pool").setLevel(logging.CRITICAL)  # who asks for a connection hears what is wrong


def _json(value: Any, **_: Any) -> str:
    return orjson.dumps(value, default=str).decode()
