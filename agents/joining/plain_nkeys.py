"""What NATS' client needs of the package nkeys, for a host that has nothing but Python: that package's cryptography is compiled.

Ed25519 as RFC 8032 tells it, in whole numbers. A signature takes some milliseconds, and one is made for each connection. That time tells
something of the key to who can measure it on this very host, and who can do that can read the key.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

PREFIX_BYTE_SEED = 18 << 3
PREFIX_BYTE_USER = 20 << 3

P = 2**255 - 19
Q = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P

Point = tuple[int, int, int, int]
"""Extended coordinates: X, Y, Z, and T = XY/Z."""

BASE_Y = 4 * pow(5, -1, P) % P
BASE_X = 15112221349535400772501151409588531511454012693041857206046113283949847762202
BASE: Point = (BASE_X, BASE_Y, 1, BASE_X * BASE_Y % P)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Of a seed, which holds the private half."""

    secret: bytes
    prefix: int

    @property
    def public_key(self) -> bytes:
        """As NATS writes it: a letter for what it is of, and 55 more."""
        raw = bytes([self.prefix]) + _public(self.secret)
        return base64.b32encode(raw + _checksum(raw))

    def sign(self, message: bytes) -> bytes:
        scalar, start = _expanded(self.secret)
        public = _public(self.secret)
        r = _number(start, message)
        at = _packed(_times(r, BASE))
        return at + ((r + _number(at, public, message) * scalar) % Q).to_bytes(32, "little")

    def wipe(self) -> None:
        """Python can't."""


def from_seed(seed: bytes | bytearray) -> KeyPair:
    """Raises ValueError for what is no seed."""
    text = bytes(seed).strip()
    raw = base64.b32decode(text + b"=" * (-len(text) % 8))
    if len(raw) != 36 or raw[0] & 248 != PREFIX_BYTE_SEED or _checksum(raw[:-2]) != raw[-2:]:
        raise ValueError("it is no seed of an nkey: 58 letters and digits that begin with S")
    return KeyPair(raw[2:-2], (raw[0] & 7) << 5 | raw[1] >> 3)


def encode_seed(secret: bytes, prefix: int) -> bytes:
    """`secret`: 32 random bytes."""
    raw = bytes([PREFIX_BYTE_SEED | prefix >> 5, (prefix & 31) << 3]) + secret
    return base64.b32encode(raw + _checksum(raw)).rstrip(b"=")


def _checksum(raw: bytes) -> bytes:
    """CRC-16 as XMODEM has it."""
    crc = 0
    for byte in raw:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc.to_bytes(2, "little")


def _expanded(secret: bytes) -> tuple[int, bytes]:
    digest = hashlib.sha512(secret).digest()
    scalar = int.from_bytes(digest[:32], "little")
    return scalar & (1 << 254) - 8 | 1 << 254, digest[32:]


def _public(secret: bytes) -> bytes:
    return _packed(_times(_expanded(secret)[0], BASE))


def _number(*parts: bytes) -> int:
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % Q


def _times(scalar: int, point: Point) -> Point:
    result: Point = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = _plus(result, point)
        point, scalar = _plus(point, point), scalar >> 1
    return result


def _plus(one: Point, other: Point) -> Point:
    a = (one[1] - one[0]) * (other[1] - other[0]) % P
    b = (one[1] + one[0]) * (other[1] + other[0]) % P
    c = 2 * one[3] * other[3] * D % P
    d = 2 * one[2] * other[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def _packed(point: Point) -> bytes:
    scale = pow(point[2], -1, P)
    x, y = point[0] * scale % P, point[1] * scale % P
    return (y | (x & 1) << 255).to_bytes(32, "little")
