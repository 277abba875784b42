"""Certificates that real tools have made: their facts, and that the cluster's ingress shows them."""

from __future__ import annotations

import datetime
import ipaddress

import hypothesis
from cryptography import x509 as real
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import strategies as st

from kubesim.cluster import Cluster
from kubesim.programs import tls, x509

BEGIN = datetime.datetime(2025, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
END = datetime.datetime(2055, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)


def name(*parts):
    return real.Name([real.NameAttribute(oid, text) for oid, text in parts])


def make(subject, *, issuer=None, sans=(), ids=True):
    """A certificate with its key, signed by `issuer` (a pair like this one; None: by itself)."""
    key = ec.generate_private_key(ec.SECP256R1())
    signer, whose = (issuer[1], issuer[0].subject) if issuer else (key, subject)
    built = real.CertificateBuilder(
        subject_name=subject, issuer_name=whose, public_key=key.public_key(), serial_number=0x0F00BA,
        not_valid_before=BEGIN, not_valid_after=END,
    )  # fmt: skip
    if sans:
        built = built.add_extension(real.SubjectAlternativeName(sans), critical=False)
    if ids:
        built = built.add_extension(real.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        built = built.add_extension(real.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        known = real.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
        built = built.add_extension(known, critical=False)
    return built.sign(signer, hashes.SHA256()), key


def pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


ROOT = make(name((NameOID.ORGANIZATION_NAME, "Café & Söhne"), (NameOID.COMMON_NAME, "Root")))
LEAF = make(
    name((NameOID.COMMON_NAME, "shop.example")),
    issuer=ROOT,
    sans=[real.DNSName("shop.example"), real.DNSName("*.shop.example"), real.IPAddress(ipaddress.ip_address("10.0.0.1"))],
)


def test_the_facts_of_a_chain():
    leaf, root = tls.certificates(pem(LEAF[0]) + pem(ROOT[0]))
    assert (leaf.subject, leaf.issuer) == ("CN=shop.example", "O=Café & Söhne, CN=Root")
    assert leaf.sans == ("DNS:shop.example", "DNS:*.shop.example", "IP:10.0.0.1")
    assert (leaf.not_before, leaf.not_after) == (BEGIN.timestamp(), END.timestamp())
    assert leaf.serial == "0f00ba"
    assert (leaf.authority, root.authority) == (False, True)
    assert leaf.issuer_key == root.key == root.issuer_key != leaf.key
    told = LEAF[0].extensions.get_extension_for_class(real.SubjectKeyIdentifier).value
    assert leaf.key == told.digest.hex()
    assert leaf.covers("shop.example")
    assert leaf.covers("10.0.0.1")


def test_without_key_ids_the_key_itself_is_the_id():
    """An old `openssl req -x509` writes none: RFC 5280 says how one is made of the key."""
    certificate, key = make(name((NameOID.COMMON_NAME, "old")), ids=False)
    (found,) = tls.certificates(pem(certificate))
    assert found.key == found.issuer_key == real.SubjectKeyIdentifier.from_public_key(key.public_key()).digest.hex()
    assert not found.authority


@hypothesis.settings(max_examples=300, deadline=None, derandomize=True)
@hypothesis.given(st.data())
def test_what_is_broken_is_refused_and_breaks_nothing(data):
    der = bytearray(LEAF[0].public_bytes(serialization.Encoding.DER))
    for _ in range(data.draw(st.integers(1, 3))):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    der = der[: data.draw(st.integers(0, len(der)))]
    try:
        found = x509.facts(bytes(der))
    except ValueError:
        return
    assert isinstance(found["subject"], str)


INGRESS = """
kubectl create deployment shop --image=traefik/whoami:v1.11.0 && kubectl expose deployment shop --port=80
kubectl create secret tls shop --cert=shop.crt --key=shop.key
kubectl create ingress shop --class=traefik --rule='shop.example/*=shop:80,tls=shop'
kubectl rollout status deployment shop && sleep 5
"""
ASK = "curl -sS -o /dev/null -w '%{http_code}' --resolve shop.example:30443:172.18.0.3 https://shop.example:30443/"


def test_traefik_shows_it_and_curl_believes_its_authority():
    cluster = Cluster("kind+traefik")
    key = LEAF[1].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    for path, text in (("shop.crt", pem(LEAF[0])), ("shop.key", key), ("root.crt", pem(ROOT[0]))):
        cluster.shell(f"cat > {path} <<'END'\n{text}END")
    done = cluster.shell(INGRESS)
    assert done.exit_code == 0, done
    stranger = cluster.shell(ASK)
    assert (stranger.exit_code, stranger.stderr[:36]) == (60, "curl: (60) SSL certificate problem: ")
    assert cluster.shell(f"{ASK} --cacert root.crt").stdout == "200"
    client = "openssl s_client -connect 172.18.0.3:30443 -servername shop.example </dev/null"
    shown = cluster.shell(f"{client} | openssl x509 -noout -issuer")
    assert "Root" in shown.stdout
