"""Which names, label keys and values are well-formed.

Each function returns a list of the messages that the API server puts after "Invalid value: ...: "; [] when all is well.
Source: apimachinery `pkg/util/validation/validation.go` and `ip.go`, `pkg/api/validation/path/name.go`.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

LABEL_MAX = 63  # RFC 1123 and RFC 1035: a DNS label
SUBDOMAIN_MAX = 253  # RFC 1123: a whole DNS name


@dataclass(frozen=True, slots=True)
class Form:
    """A form that a text must have: its pattern as Go writes it, what is said of a breach, and examples."""

    pattern: str
    message: str
    examples: tuple[str, ...] = ()
    limit: int = 0

    def errors(self, value: str) -> list[str]:
        found = [too_long(self.limit)] if self.limit and len(value) > self.limit else []
        # fullmatch, for Go's `$` does not match before a last newline.
        if re.fullmatch(self.pattern, value) is None:
            found.append(self.explain())
        return found

    def explain(self) -> str:
        """validation.RegexError."""
        if not self.examples:
            return f"{self.message} (regex used for validation is '{self.pattern}')"
        examples = " or ".join(f"'{example}', " for example in self.examples)
        return f"{self.message} (e.g. {examples}regex used for validation is '{self.pattern}')"


_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"

DNS1123_LABEL = Form(
    _LABEL,
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    "with an alphanumeric character",
    ("my-name", "123-abc"),
    LABEL_MAX,
)
DNS1123_SUBDOMAIN = Form(
    _SUBDOMAIN,
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character",
    ("example.com",),
    SUBDOMAIN_MAX,
)
DNS1035_LABEL = Form(
    "[a-z]([-a-z0-9]*[a-z0-9])?",
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character",
    ("my-name", "abc-123"),
    LABEL_MAX,
)
WILDCARD_SUBDOMAIN = Form(
    rf"\*\.{_SUBDOMAIN}",
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of "
    "lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
    ("*.example.com",),
    SUBDOMAIN_MAX,
)
QUALIFIED = Form(
    _QUALIFIED,
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
    ("MyName", "my.name", "123-abc"),
)
LABEL_VALUE = Form(
    f"({_QUALIFIED})?",
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character",
    ("MyValue", "my_value", "12345"),
    LABEL_MAX,
)
CONFIG_KEY = Form(
    "[-._a-zA-Z0-9]+",
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
    ("key.name", "KEY_NAME", "key-name"),
    SUBDOMAIN_MAX,
)
ENV_NAME = Form(
    "[-._a-zA-Z][-._a-zA-Z0-9]*",
    "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must not "
    "start with a digit",
    ("my.env-name", "MY_ENV.NAME", "MyEnvName1"),
)
C_IDENTIFIER = Form(
    "[A-Za-z_][A-Za-z0-9_]*",
    "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric "
    "characters or '_'",
    ("my_name", "MY_NAME", "MyName"),
)
PERCENT = Form("[0-9]+%", "a valid percent string must be a numeric string followed by an ending '%'", ("1%", "93%"))


def too_long(limit: int) -> str:
    """validation.MaxLenError."""
    return f"must be no more than {limit} characters"


def out_of_range(low: int, high: int) -> str:
    """validation.InclusiveRangeError."""
    return f"must be between {low} and {high}, inclusive"


def dns1123_label(value: str) -> list[str]:
    """IsDNS1123Label: of a text that would do as a subdomain it says what is too much."""
    errors = DNS1123_LABEL.errors(value)
    if errors and len(value) <= LABEL_MAX and not DNS1123_SUBDOMAIN.errors(value):
        return ["must not contain dots"]
    return errors


def dns1123_subdomain(value: str) -> list[str]:
    return DNS1123_SUBDOMAIN.errors(value)


def dns1035_label(value: str) -> list[str]:
    return DNS1035_LABEL.errors(value)


def wildcard_subdomain(value: str) -> list[str]:
    return WILDCARD_SUBDOMAIN.errors(value)


def label_value(value: str) -> list[str]:
    return LABEL_VALUE.errors(value)


def config_key(value: str) -> list[str]:
    """A key of a ConfigMap or Secret."""
    return CONFIG_KEY.errors(value) + _dots(value)


def env_name(value: str) -> list[str]:
    return ENV_NAME.errors(value) + _dots(value)


def c_identifier(value: str) -> list[str]:
    return C_IDENTIFIER.errors(value)


def percent(value: str) -> list[str]:
    return PERCENT.errors(value)


def _dots(value: str) -> list[str]:
    """Such a name becomes a file's: it may not lead out of its directory."""
    if value in (".", ".."):
        return [f"must not be '{value}'"]
    return ["must not start with '..'"] if value.startswith("..") else []


def qualified_name(value: str) -> list[str]:
    """A label or annotation key: an optional DNS subdomain and "/", then a name of at most 63 characters."""
    parts = value.split("/")
    found: list[str] = []
    if len(parts) > 2:
        return [
            f"a qualified name {QUALIFIED.explain()} with an optional DNS subdomain prefix and '/' "
            "(e.g. 'example.com/MyName')"
        ]
    if len(parts) == 2:
        if not parts[0]:
            found.append("prefix part must be non-empty")
        else:
            found += [f"prefix part {error}" for error in dns1123_subdomain(parts[0])]
    name = parts[-1]
    if not name:
        found.append("name part must be non-empty")
    elif len(name) > LABEL_MAX:
        found.append(f"name part {too_long(LABEL_MAX)}")
    return found + [f"name part {error}" for error in QUALIFIED.errors(name)]


def path_segment(value: str) -> list[str]:
    """A name that only has to stand in a URL path (IsValidPathSegmentName): RBAC's names, for example."""
    if value in (".", ".."):
        return [f"may not be '{value}'"]
    return [f"may not contain '{mark}'" for mark in ("/", "%") if mark in value]


def port_number(value: int) -> list[str]:
    return [] if 1 <= value <= 65535 else [out_of_range(1, 65535)]


def port_name(value: str) -> list[str]:
    """An IANA service name (RFC 6335, 5.1), as IsValidPortName words its breaches."""
    found = []
    if len(value) > 15:
        found.append(too_long(15))
    if re.fullmatch("[-a-z0-9]+", value) is None:
        found.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if re.search("[a-z]", value) is None:
        found.append("must contain at least one letter (a-z)")
    if "--" in value:
        found.append("must not contain consecutive hyphens")
    if value[:1] == "-" or value[-1:] == "-":
        found.append("must not begin or end with a hyphen")
    return found


def ip_address(value: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that Go's legacy parser (netutils.ParseIPSloppy) reads in a text: leading zeros are decimal."""
    sloppy = re.fullmatch(r"0*(\d+)\.0*(\d+)\.0*(\d+)\.0*(\d+)", value)
    if sloppy:
        value = ".".join(sloppy.groups())
    if "%" in value:
        return None  # Go's net.ParseIP takes no zone
    try:
        return ipaddress.ip_address(value)
    except ValueError:
        return None


def ip(value: str) -> list[str]:
    return [] if ip_address(value) else ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]


def ipv4(value: str) -> list[str]:
    address = ip_address(value)
    return [] if address and address.version == 4 else ["must be a valid IPv4 address"]


def ipv6(value: str) -> list[str]:
    address = ip_address(value)
    return [] if address and address.version == 6 else ["must be a valid IPv6 address"]


def cidr(value: str) -> list[str]:
    """A network with its prefix length; host bits may be set, as Go's legacy parser lets them."""
    address, slash, bits = value.partition("/")
    parsed = ip_address(address)
    if slash and parsed and re.fullmatch("[0-9]+", bits) and int(bits) <= parsed.max_prefixlen:
        return []
    return ["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"]
