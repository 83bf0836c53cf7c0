"""Certificates for receivers on loopback: a test authority, and what it has signed, rightly and wrongly."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

LOOPBACK: x509.GeneralName = x509.IPAddress(ip_address("127.0.0.1"))


@dataclass(frozen=True)
class Authority:
    """Signs certificates; `trusting` trusts it and nobody else."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def trusting(self) -> ssl.SSLContext:
        return ssl.create_default_context(cadata=self.certificate.public_bytes(Encoding.PEM).decode())

    def serving(
        self, *, name: x509.GeneralName = LOOPBACK, age: timedelta = timedelta(days=1), own_signature: bool = False
    ) -> ssl.SSLContext:
        """Return a server's side; the certificate is valid for 10 days and was made `age` ago."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _named("receiver")
        certificate = (
            _certificate(subject, subject if own_signature else self.certificate.subject, key, age=age)
            .add_extension(x509.SubjectAlternativeName([name]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .sign(key if own_signature else self.key, hashes.SHA256())
        )
        file = self.folder / f"{certificate.serial_number}.pem"
        file.write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            + certificate.public_bytes(Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context


def new_authority(folder: Path) -> Authority:
    """Return an authority that keeps its servers' files in `folder`."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _named("test authority")
    certificate = (
        _certificate(subject, subject, key, age=timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Authority(folder, key, certificate)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, *, age: timedelta
) -> x509.CertificateBuilder:
    made = datetime.now(UTC) - age
    return x509.CertificateBuilder(
        issuer_name=issuer,
        subject_name=subject,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=made,
        not_valid_after=made + timedelta(days=10),
    )
