"""The cluster's certificates and kubeconfigs: one authority, a certificate for each who asks the API server."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAYS = 30


@dataclass(frozen=True)
class Authority:
    """Signs certificates.

    Args:
        folder: where keys, certificates and kubeconfigs are written.
        server: the API server's address.
    """

    folder: Path
    server: str

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self.certificate.exists():
            return
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _begin(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "airloom-cluster")]), key.public_key())
        builder = builder.issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "airloom-cluster")]))
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        _write_key(self._key, key)
        self.certificate.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    @property
    def certificate(self) -> Path:
        return self.folder / "ca.crt"

    @property
    def _key(self) -> Path:
        return self.folder / "ca.key"

    def sign(self, name: str, user: str, group: str | None = None, hosts: tuple[str, ...] = ()) -> tuple[Path, Path]:
        """A certificate and its key, made once: a server's where `hosts` are given, else a client's."""
        certificate, place = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        if certificate.exists():
            return certificate, place
        names = [x509.NameAttribute(NameOID.COMMON_NAME, user)]
        if group:
            names.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, group))
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = x509.load_pem_x509_certificate(self.certificate.read_bytes())
        usage = ExtendedKeyUsageOID.SERVER_AUTH if hosts else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = _begin(x509.Name(names), key.public_key()).issuer_name(issuer.subject)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName([*map(_host, hosts)]), critical=False)
        authority = serialization.load_pem_private_key(self._key.read_bytes(), None)
        assert isinstance(authority, ec.EllipticCurvePrivateKey)
        _write_key(place, key)
        certificate.write_bytes(builder.sign(authority, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        return certificate, place

    def write_kubeconfig(self, name: str, user: str, group: str | None = None) -> Path:
        """The kubeconfig of a user."""
        certificate, key = self.sign(name, user, group)
        path = self.folder / f"{name}.kubeconfig"
        files = {"client-certificate": str(certificate), "client-key": str(key)}
        cluster = {"server": self.server, "certificate-authority": str(self.certificate)}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "airloom", "cluster": cluster}],
            "users": [{"name": user, "user": files}],
            "contexts": [{"name": "airloom", "context": {"cluster": "airloom", "user": user}}],
            "current-context": "airloom",
        }
        path.write_text(yaml.safe_dump(document))
        return path

    def write_account_key(self) -> Path:
        """The key that signs service accounts' tokens."""
        path = self.folder / "service-accounts.key"
        if not path.exists():
            _write_key(path, rsa.generate_private_key(65537, 2048))
        return path


def _begin(subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=_DAYS))
    )


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
    content = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    path.touch(mode=0o600)
    path.write_bytes(content)
