"""Reading XML: what libvirt itself says, and what the operator's own templates give."""

from __future__ import annotations

from xml.etree import ElementTree


def parsed(text: str) -> ElementTree.Element:
    """Raises ElementTree.ParseError."""
    return ElementTree.fromstring(text)  # noqa: S314 - what users say is escaped in it: libvirt and the operator write it
