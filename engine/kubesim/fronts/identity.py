"""Who is at the other end of a real connection: a certificate authority made for one run, tokens, client certificates.

Keys are real ones (ECDSA on P-256, of the package `cryptography`), made anew for each run unless a saved state brings them:
nothing here comes from the cluster's seed, for whoever knows the seed must not guess a credential.

Sources: apiserver `pkg/authentication/request/x509` (CN is the user, each O a group), kubeadm `app/phases/{certs,kubeconfig}`.
"""

from __future__ import annotations

import base64
import datetime
import ipaddress
import os
import secrets
import ssl
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kubesim import http
from kubesim.errors import LearnerError

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

YEAR = datetime.timedelta(days=365)
ADMIN = "kubernetes-admin"


def _packages() -> tuple[Any, Any, Any, Any]:
    """cryptography's x509, hashes, serialization and ec."""
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError:
        raise LearnerError(
            "TLS needs the package cryptography",
            "Install it: pip install 'kubewalk[serve]'.  Or --insecure, on loopback: plain HTTP, and all who reach it are admin.",
        ) from None
    return x509, hashes, serialization, ec


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A certificate and its key, in PEM."""

    certificate: str
    key: str


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What a run's credentials come from.  `token` is the admin's."""

    authority: Pair
    token: str

    def saved(self) -> dict[str, str]:
        """As a state file keeps it."""
        pair = self.authority
        return {"certificate": pair.certificate, "key": pair.key, "token": self.token}

    @staticmethod
    def restored(saved: Mapping[str, str]) -> Identity:
        pair = Pair(certificate=saved["certificate"], key=saved["key"])
        return Identity(authority=pair, token=saved["token"])

    def issue(self, name: str, groups: Iterable[str] = (), hosts: Iterable[str] = ()) -> Pair:
        """A certificate that this authority signed: a server's for its `hosts` (names and addresses), or a user's."""
        x509, _, serialization, _ = _packages()
        above = x509.load_pem_x509_certificate(self.authority.certificate.encode())
        key = serialization.load_pem_private_key(self.authority.key.encode(), None)
        return _certificate(name, groups, list(hosts), (above, key))


def create() -> Identity:
    """New keys for one run."""
    pair = _certificate("kubernetes", (), [], None)
    return Identity(authority=pair, token=secrets.token_urlsafe(32))


def _certificate(
    name: str,
    groups: Iterable[str],
    hosts: list[str],
    signer: tuple[x509.Certificate, EllipticCurvePrivateKey] | None,
) -> Pair:
    """A certificate; its own authority where nobody else signs it."""
    x509, hashes, serialization, ec = _packages()
    key = ec.generate_private_key(ec.SECP256R1())
    oid, use = x509.NameOID, x509.ExtendedKeyUsageOID
    parts = [x509.NameAttribute(oid.ORGANIZATION_NAME, each) for each in groups]
    subject = x509.Name([*parts, x509.NameAttribute(oid.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    root = signer is None
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if signer is None else signer[0].subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # A clock that is a little behind must not find it unborn.
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + (10 * YEAR if root else YEAR))
        .add_extension(x509.BasicConstraints(ca=root, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True, key_cert_sign=root, crl_sign=root, content_commitment=False, key_encipherment=False,
                data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )  # fmt: skip
    issuer = key.public_key() if signer is None else signer[1].public_key()
    builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), critical=False)
    if not root:
        usage = use.SERVER_AUTH if hosts else use.CLIENT_AUTH
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    if hosts:
        names = x509.SubjectAlternativeName([_host(x509, each) for each in hosts])
        builder = builder.add_extension(names, critical=False)
    signed = builder.sign(key if signer is None else signer[1], hashes.SHA256())
    plain, pem = serialization.NoEncryption(), serialization.Encoding.PEM
    return Pair(
        certificate=signed.public_bytes(pem).decode(),
        key=key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain).decode(),
    )


def _host(x509: Any, host: str) -> Any:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def context(identity: Identity, hosts: Iterable[str]) -> ssl.SSLContext:
    """The server's side: its certificate for these hosts, and clients' certificates where they show one."""
    pair = identity.issue("kube-apiserver", hosts=hosts)
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found.minimum_version = ssl.TLSVersion.TLSv1_2
    found.set_alpn_protocols(["http/1.1"])
    found.load_verify_locations(cadata=identity.authority.certificate)
    found.verify_mode = ssl.CERT_OPTIONAL
    # Python takes a chain from files only: they stand for the moment of reading, for this user alone.
    with tempfile.TemporaryDirectory(prefix="kubesim-") as folder:
        path = os.path.join(folder, "pair")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(pair.certificate + pair.key)
        found.load_cert_chain(path)
    return found


def user_of(certificate: Mapping[str, Any] | None) -> http.User | None:
    """Whose a verified client certificate is (`SSLSocket.getpeercert()`); None where none was shown."""
    fields = [pair for part in (certificate or {}).get("subject", ()) for pair in part]
    name = next((value for key, value in fields if key == "commonName"), "")
    if not name:
        return None
    groups = tuple(value for key, value in fields if key == "organizationName")
    return http.User(name=name, groups=(*groups, "system:authenticated"))


def kubeconfig(
    cluster: str, server: str, identity: Identity | None, users: Mapping[str, Iterable[str]]
) -> dict[str, Any]:
    """The document: the admin's context, which is the current one, and one for each of `users` (name -> groups)."""
    entry: dict[str, Any] = {"server": server}
    people: dict[str, dict[str, str]] = {ADMIN: {}}
    if identity is not None:
        entry["certificate-authority-data"] = _base64(identity.authority.certificate)
        people[ADMIN] = {"token": identity.token}
        for name, groups in users.items():
            pair = identity.issue(name, groups)
            people[name] = {
                "client-certificate-data": _base64(pair.certificate),
                "client-key-data": _base64(pair.key),
            }
    contexts = [
        {
            "name": cluster if name == ADMIN else f"{name}@{cluster}",
            "context": {"cluster": cluster, "user": name},
        }
        for name in people
    ]
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster, "cluster": entry}],
        "contexts": contexts,
        "current-context": cluster,
        "users": [{"name": name, "user": credential} for name, credential in people.items()],
    }


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
