"""Certificates for tests: an authority, and pairs of certificate and key that it vouches for."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)
ADDRESS = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
LOCAL = x509.SubjectAlternativeName([x509.DNSName("localhost"), *ADDRESS])


@dataclass(frozen=True, slots=True)
class Authority:
    name: x509.Name
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def new(cls, name: str = "tests") -> Authority:
        called, key = _called(name), ec.generate_private_key(ec.SECP256R1())
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        builder = _builder(called, called, key).add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        return cls(called, key, builder.add_extension(usage, True).add_extension(identifier, False).sign(key, hashes.SHA256()))

    def write(self, folder: Path, name: str = "ca") -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.pem"
        path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        return path

    def vouch(self, folder: Path, common_name: str = "localhost") -> tuple[Path, Path]:
        """cert.pem and key.pem, for localhost and 127.0.0.1."""
        key = ec.generate_private_key(ec.SECP256R1())
        mine = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = _builder(_called(common_name), self.name, key).add_extension(LOCAL, False).add_extension(mine, False)
        return _written(folder, builder.sign(self.key, hashes.SHA256()), key)


def self_signed(folder: Path, names: x509.SubjectAlternativeName = LOCAL) -> tuple[Path, Path]:
    """cert.pem and key.pem of its own authority, for localhost and 127.0.0.1, or those names alone."""
    name, key = _called("its own authority"), ec.generate_private_key(ec.SECP256R1())
    builder = _builder(name, name, key).add_extension(names, False).add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
    return _written(folder, builder.sign(key, hashes.SHA256()), key)


def _written(folder: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> tuple[Path, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    files = folder / "cert.pem", folder / "key.pem"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    files[1].write_bytes(private)
    return files


def _called(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    return builder.serial_number(x509.random_serial_number()).not_valid_before(now - DAY).not_valid_after(now + DAY)
