"""What is put right in the kept bash, each with what was wrong.

Functions of its modules are replaced by ours that call them; the kept code finds them by their names in its modules.
"""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass, replace
from typing import Any

# A variable, then an assignment's operator that is no comparison.
ASSIGNMENT = re.compile(r"\s*[A-Za-z_]\w*(?:\[.*?\])?\s*(?:<<|>>|[-+*/%&|^])?=(?!=)")


def apply(expansion: Any, parser: Any, errors: Any) -> None:
    """Once, when the kept code has been loaded."""
    _subscripts(expansion, errors)
    _variables(expansion)
    _comparisons(parser)
    _closing_braces(parser)
    _words_of_operations(expansion)


def _subscripts(expansion: Any, errors: Any) -> None:
    """`${a[$(cmd)]}` would start a loop of asyncio."""
    original = expansion._expand_subscript_vars

    def expand(ctx: Any, subscript: str) -> Any:
        if re.search(r"\$\((?!\()|`", subscript):
            problem = errors.BadSubstitutionError("command substitution in an array subscript")
            problem.stderr = (
                "bash: not simulated: command substitution in an array subscript; put it into a variable first\n"
            )
            raise problem
        return original(ctx, subscript)

    expansion._expand_subscript_vars = expand


def _variables(expansion: Any) -> None:
    """SECONDS and EPOCHSECONDS were the wall's; they are the world's, `ctx.state.clock()` being (now, the shell's birth)."""
    original = expansion.get_variable

    def get(ctx: Any, name: str, check_nounset: bool = True) -> Any:
        if name in ("SECONDS", "EPOCHSECONDS", "EPOCHREALTIME"):
            now, born = ctx.state.clock()
            return {"SECONDS": f"{now - born:.0f}", "EPOCHSECONDS": f"{now:.0f}", "EPOCHREALTIME": f"{now:.6f}"}[name]
        return original(ctx, name, check_nounset)

    expansion.get_variable = get


def _comparisons(parser: Any) -> None:
    """`((n == 0))` was read as n = (= 0)."""
    original = parser._parse_arith_assignment

    def parse(self: Any, expr: str) -> Any:
        return original(self, expr) if ASSIGNMENT.match(expr) else self._parse_arith_ternary(expr.strip())

    parser._parse_arith_assignment = parse


def _closing_braces(parser: Any) -> None:
    """`echo { a } b` was an error: a brace is a word of its own meaning only where a command may begin."""
    original = parser._is_statement_end

    def is_end(self: Any) -> bool:
        token = self._current()
        if token.type.name == "RBRACE" and self._peek(-1).type.name in ("WORD", "NAME", "NUMBER", "LBRACE"):
            token.type = type(token.type).WORD
        return original(self)

    parser._is_statement_end = is_end


def _words_of_operations(expansion: Any) -> None:
    """`${x:-$(cmd)}` was an error, and `$!` empty."""
    original, segments = expansion.expand_parameter_async, expansion.expand_parameter_segments_async

    async def expand(ctx: Any, part: Any, in_double_quotes: bool = False) -> Any:
        if part.parameter == "!":
            return _last_background(ctx)
        return await original(ctx, await _ready(expansion, ctx, part), in_double_quotes)

    async def expand_segments(ctx: Any, part: Any, in_double_quotes: bool = False) -> Any:
        if part.parameter == "!":
            return [expansion.ExpandedSegment(text=_last_background(ctx), quoted=in_double_quotes)]
        return await segments(ctx, await _ready(expansion, ctx, part), in_double_quotes)

    expansion.expand_parameter_async = expand
    expansion.expand_parameter_segments_async = expand_segments


def _last_background(ctx: Any) -> str:
    return str(ctx.state.last_background_pid or "")


async def _ready(expansion: Any, ctx: Any, part: Any) -> Any:
    """The part with the commands in its operation's words run, if the operation will look at them at all."""
    operation: Any = part.operation
    if operation is None:
        return part
    kind = getattr(operation, "type", "")
    if kind in ("DefaultValue", "AssignDefault", "ErrorIfUnset", "UseAlternative"):
        value = expansion.get_variable(ctx, part.parameter, False)
        there = bool(value) if operation.check_empty else bool(value) or part.parameter in ctx.state.env
        if there != (kind == "UseAlternative"):
            return part
    changes = {}
    for each in fields(operation):
        word = getattr(operation, each.name)
        if getattr(word, "type", "") == "Word" and _runs_commands(word):
            text = await expansion.expand_word_async(ctx, word)
            changes[each.name] = replace(word, parts=(expansion.SingleQuotedPart(value=text),))
    return replace(part, operation=replace(operation, **changes)) if changes else part


def _runs_commands(node: Any) -> bool:
    if getattr(node, "type", "") in ("CommandSubstitution", "ProcessSubstitution"):
        return True
    if isinstance(node, tuple):
        return any(_runs_commands(each) for each in node)
    return is_dataclass(node) and any(_runs_commands(getattr(node, each.name)) for each in fields(node))
