"""Names and addresses, in apimachinery's words."""

import pytest

from kubesim.machinery import names

LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an "
    "alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)


def test_labels():
    assert names.dns1123_label("web-1") == []
    assert names.dns1123_label("Web_1") == [LABEL]
    assert names.dns1123_label("web\n") == [LABEL]
    assert names.dns1123_label("a" * 64) == ["must be no more than 63 characters"]
    assert len(names.dns1035_label("1web")) == 1
    assert names.dns1123_subdomain("a.b-c.d") == []
    assert names.wildcard_subdomain("*.a.b") == []


def test_qualified_names():
    assert names.qualified_name("app.kubernetes.io/name") == []
    assert names.qualified_name("a/b/c")[0].startswith("a qualified name must consist of alphanumeric characters")
    assert names.qualified_name("/b")[0] == "prefix part must be non-empty"
    assert names.qualified_name("")[0] == "name part must be non-empty"
    assert names.qualified_name("x" * 64) == ["name part must be no more than 63 characters"]


def test_ports():
    assert names.port_number(0) == ["must be between 1 and 65535, inclusive"]
    assert names.port_name("http") == []
    assert names.port_name("80") == ["must contain at least one letter (a-z)"]
    assert names.port_name("a--b") == ["must not contain consecutive hyphens"]


@pytest.mark.parametrize(
    ("text", "good"),
    [("10.9.8.7", True), ("010.9.8.7", True), ("::1", True), ("fe80::1%eth0", False), ("10.9.8", False)],
)
def test_addresses(text, good):
    assert (names.ip(text) == []) is good


def test_keys_of_config():
    assert names.config_key("a.txt") == []
    assert names.config_key("..") == ["must not be '..'"]
    assert len(names.config_key("a b")) == 1
    assert names.cidr("10.0.0.0/33") == ["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"]
    assert names.cidr("10.0.0.1/24") == []
