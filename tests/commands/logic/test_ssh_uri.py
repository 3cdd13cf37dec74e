"""Where an ssh:// agent is, and its password."""

from __future__ import annotations

import pytest

from commands.errors import Refused
from commands.logic.ssh_uri import PASSWORD, SshPlace, place_of, without_password


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("ssh://me@host", SshPlace("me", "host", 22)),
        ("ssh://host:2222", SshPlace("root", "host", 2222)),
        ("ssh://me@[fd00::1]:22", SshPlace("me", "fd00::1", 22)),
        ("ssh://a%40b@host:22", SshPlace("a@b", "host", 22)),
    ],
)
def test_a_uri_says_where_and_as_whom(uri: str, place: SshPlace) -> None:
    assert place_of(uri) == place


@pytest.mark.parametrize("uri", ["ssh://", "ssh://me@host:x", "ssh://me@host:99999", "ssh://me@host:0", "ssh://me@host/path", "ssh://me@host?x"])
def test_what_is_no_place_is_refused(uri: str) -> None:
    with pytest.raises(Refused, match="looks like ssh://user@host:22"):
        place_of(uri)
    with pytest.raises(Refused):
        without_password({"uri": uri})


def test_a_password_is_kept_apart() -> None:
    given = {"uri": "ssh://me:p%40ss%3Aword@[fd00::1]", "name": "x"}
    assert without_password(given) == {"uri": "ssh://me@[fd00::1]:22", PASSWORD: "p@ss:word", "name": "x"}
    for other in ({"uri": "ssh://me@host"}, {"uri": "event://a:b@c"}, {"name": "x"}, {"uri": None}):
        assert without_password(other) == other
