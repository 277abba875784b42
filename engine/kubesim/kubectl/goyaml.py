"""YAML as Go's sigs.k8s.io/yaml writes it: keys sorted, lists not indented, and its own choice of quotes.

The layout of scalars (what may stand plain, where long lines fold) is libyaml's, which PyYAML's emitter follows too; what is
quoted because it would read as something else than text is go-yaml's choice (yaml.v2 encode.go `stringv`, resolve.go).
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

_WORDS = frozenset(
    form
    for word in ("y", "yes", "on", "n", "no", "off", "true", "false", "null")
    for form in (word, word.capitalize(), word.upper())
) | {"~", "<<", ".nan", ".NaN", ".NAN"}
_WORDS |= {sign + form for sign in ("", "+", "-") for form in (".inf", ".Inf", ".INF")}
_NUMBER = re.compile(
    r"[-+]?(0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO]?[0-7_]+|[0-9][0-9_]*)"
    r"|[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
    r"|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?"
)
_TIME = re.compile(r"\d{4}-\d{1,2}-\d{1,2}([Tt ]\d{1,2}:\d{1,2}:\d{1,2}(\.\d*)?\s*(Z|[-+]\d\d(:?\d\d)?)?)?")


def reads_as_text(text: str) -> bool:
    """Would this, without quotes, be read back as a string?"""
    if text == "" or text in _WORDS:
        return False
    first = text[0]
    if first in "+-.0123456789":
        return not (_NUMBER.fullmatch(text) or _TIME.fullmatch(text))
    return True


@cache
def _dumper() -> Any:
    import yaml

    class Dumper(yaml.SafeDumper):
        """Styles as above; no type resolution of PyYAML's own; no anchors."""

        yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012

        def ignore_aliases(self, data: Any) -> bool:
            return True

    def scalar(text: str, style: str | None = None) -> Any:
        return yaml.ScalarNode("tag:yaml.org,2002:str", text, style=style)

    def text_node(_dumper: Any, value: str) -> Any:
        if "\n" in value:
            return scalar(value, "|")
        return scalar(value, None if reads_as_text(value) else '"')

    from kubesim.machinery import gotext

    Dumper.add_representer(str, text_node)
    Dumper.add_representer(bool, lambda _d, value: scalar("true" if value else "false"))
    Dumper.add_representer(int, lambda _d, value: scalar(str(value)))
    Dumper.add_representer(float, lambda _d, value: scalar(gotext.number(value)))
    Dumper.add_representer(type(None), lambda _d, _value: scalar("null"))
    return Dumper


def dump(value: Any) -> str:
    """The document, with a last newline."""
    import yaml

    return yaml.dump(value, Dumper=_dumper(), default_flow_style=False, sort_keys=True, allow_unicode=True, width=80)
