"""The parts of just-bash that are kept: its parser, its word expansion, and its text tools.

just-bash's own package imports its network module, and with it aiohttp and asyncio (0.2 s and 15 MB), for a `curl` that
would open real sockets.  Nothing of that may run here.  So its submodules are loaded under a package object whose
`__init__` was not executed.  What it gets wrong, and what must not be reached of it, is put right by `corrections`.

Import this module only when a shell is really needed: it costs some 60 ms.
"""

from __future__ import annotations

import importlib.util
import sys
import types


def _load() -> None:
    if "just_bash" in sys.modules:
        return
    spec = importlib.util.find_spec("just_bash")
    if spec is None or spec.submodule_search_locations is None:
        raise ImportError("just-bash is not installed")
    package = types.ModuleType("just_bash")
    package.__path__ = list(spec.submodule_search_locations)
    package.__spec__ = spec
    package.__file__ = spec.origin
    sys.modules["just_bash"] = package


_load()

from just_bash.ast import types as ast  # noqa: E402
from just_bash.commands import registry  # noqa: E402
from just_bash.interpreter import conditionals, errors, expansion, interpreter  # noqa: E402
from just_bash.interpreter import types as state  # noqa: E402
from just_bash.interpreter.builtins import BUILTINS, alias  # noqa: E402
from just_bash.parser import parser  # noqa: E402
from just_bash.types import CommandContext, ExecResult, ExecutionLimits, FsStat  # noqa: E402

from kubesim.shell import corrections  # noqa: E402

corrections.apply(expansion, parser.Parser, errors)

# The kept code counts rounds of its own tools (awk, sed) and of nested calls; loops of the shell are ours.
LIMITS = ExecutionLimits(max_awk_iterations=100_000, max_sed_iterations=100_000)

__all__ = [
    "BUILTINS",
    "LIMITS",
    "CommandContext",
    "ExecResult",
    "FsStat",
    "alias",
    "ast",
    "conditionals",
    "errors",
    "expansion",
    "interpreter",
    "parser",
    "registry",
    "state",
]
