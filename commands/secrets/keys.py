"""Pairs of ssh keys: the one kind of secret that takes more than random bytes to make."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

BITS = 2048
COMMENT = "cattle@cattle"


@dataclass(frozen=True, slots=True)
class KeyPair:
    """`public`: a line for authorized_keys. `secret`: PEM, as ssh and older tools read it (RSA PRIVATE KEY)."""

    public: str
    secret: str


def rsa_key_pair() -> KeyPair:
    """A new one, of the machine's own chance. Takes a tenth of a second or more: call it in a thread."""
    return _pair(rsa.generate_private_key(public_exponent=65537, key_size=BITS))


def pair_of(secret: str) -> KeyPair:
    """The pair of a private key in PEM. Raises ValueError for anything else."""
    key = serialization.load_pem_private_key(secret.encode(), None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError("it is no RSA key")
    return _pair(key)


def _pair(key: rsa.RSAPrivateKey) -> KeyPair:
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    return KeyPair(f"{public.decode()} {COMMENT}", secret.decode())
