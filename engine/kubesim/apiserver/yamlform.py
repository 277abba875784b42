"""YAML bodies, read and written as the API server does (sigs.k8s.io/yaml over yaml.v2).

Only imported when YAML is used: PyYAML is not cheap to load.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import yaml


@cache
def loader() -> Any:
    """A safe loader without YAML 1.1's dates (they stay text), and with keys made strings."""
    base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(base):  # type: ignore[misc, valid-type]
        pass

    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in base.yaml_implicit_resolvers.items()
    }

    # yaml.v2 still takes these for truth values.
    truth = re.compile(r"^(?:y|Y|yes|Yes|YES|n|N|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)$")
    Loader.add_implicit_resolver("tag:yaml.org,2002:bool", truth, list("yYnNtTfFoO"))
    Loader.add_constructor(
        "tag:yaml.org,2002:bool", lambda self, node: node.value.lower() in ("y", "yes", "true", "on")
    )

    def mapping(self: Any, node: Any, deep: bool = False) -> dict[str, Any]:
        found = base.construct_mapping(self, node, deep=True)
        return {_key(key): value for key, value in found.items()}

    Loader.construct_mapping = mapping
    Loader.add_constructor("tag:yaml.org,2002:map", lambda self, node: mapping(self, node, True))
    return Loader


def _key(key: Any) -> str:
    if key is True or key is False:
        return "true" if key else "false"
    return str(key)


def go_yaml_error(error: yaml.YAMLError) -> str:
    """yaml.v2's words, as near as PyYAML's findings allow."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        # yaml.v2 counts the parser's lines from 0, and only the scanner's from 1.
        line = error.problem_mark.line + isinstance(error, yaml.scanner.ScannerError)
        problem = error.problem or "could not parse"
        if "expected the node content" in problem or "did not find expected node content" in problem:
            return f"yaml: line {line}: did not find expected node content"
        if "mapping values are not allowed" in problem:
            return f"yaml: line {line}: mapping values are not allowed in this context"
        return f"yaml: line {line}: {problem}"
    return f"yaml: {error}"


def dump(obj: Any) -> bytes:
    """As sigs.k8s.io/yaml writes it: keys sorted, two spaces, lists not indented."""
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text: str = yaml.dump(
        obj, Dumper=dumper, default_flow_style=False, sort_keys=True, allow_unicode=True, width=1 << 30
    )
    return text.encode()
