"""Compound commands: if, for, while, until, case, ( ), { }, [[ ]], (( )) (XCU 2.9.4), run by a `Shell`."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from kubesim.shell.kept import ast, conditionals, errors, expansion

if TYPE_CHECKING:
    from kubesim.shell.interpreter import Shell

# A loop that goes round this often without end is a mistake: time is virtual, so nobody would see it spin.
ROUNDS = 100_000


async def _condition(shell: Shell, statements: Sequence[Any]) -> int:
    saved, shell.state.in_condition = shell.state.in_condition, True
    try:
        return await shell.body(statements)
    finally:
        shell.state.in_condition = saved


async def _if(shell: Shell, node: Any) -> int:
    for clause in node.clauses:
        if await _condition(shell, clause.condition) == 0:
            return await shell.body(clause.body)
    return await shell.body(node.else_body or ())


async def _round(shell: Shell, body: Sequence[Any]) -> tuple[bool, int]:
    """One round of a loop: whether to go on, and the status."""
    try:
        return True, await shell.body(body)
    except errors.BreakError as error:
        if error.levels > 1 and shell.state.loop_depth > 1:
            error.levels -= 1
            raise
        return False, 0
    except errors.ContinueError as error:
        if error.levels > 1 and shell.state.loop_depth > 1:
            error.levels -= 1
            raise
        return True, 0


def _too_many(kind: str) -> Exception:
    return errors.ExecutionLimitError(
        f"{kind}: stopped after {ROUNDS} rounds: this loop does not seem to end", "iterations"
    )


async def _for(shell: Shell, node: Any) -> int:
    if not re.fullmatch(r"[A-Za-z_]\w*", node.variable):
        shell.complain(f"`{node.variable}': not a valid identifier")
        return 1
    env = shell.state.env
    words: list[str] = []
    if node.words is None:
        words = [env[str(index)] for index in range(1, int(env.get("#", "0")) + 1)]
    for word in node.words or ():
        words += (await expansion.expand_word_with_glob(shell.ctx, word))["values"]
    status = 0
    shell.state.loop_depth += 1
    try:
        for count, each in enumerate(words):
            if count >= ROUNDS:
                raise _too_many("for")
            env[node.variable] = each
            more, status = await _round(shell, node.body)
            if not more:
                break
    finally:
        shell.state.loop_depth -= 1
    return status


async def _c_style_for(shell: Shell, node: Any) -> int:
    await _arithmetic_value(shell, node.init)
    status = 0
    shell.state.loop_depth += 1
    try:
        for _ in range(ROUNDS):
            if node.condition is not None and not await _arithmetic_value(shell, node.condition):
                return status
            more, status = await _round(shell, node.body)
            if not more:
                return status
            await _arithmetic_value(shell, node.update)
        raise _too_many("for")
    finally:
        shell.state.loop_depth -= 1


async def _while(shell: Shell, node: Any) -> int:
    until = node.type == "Until"
    status = 0
    shell.state.loop_depth += 1
    try:
        for _ in range(ROUNDS):
            if (await _condition(shell, node.condition) == 0) == until:
                return status
            more, status = await _round(shell, node.body)
            if not more:
                return status
        raise _too_many("until" if until else "while")
    finally:
        shell.state.loop_depth -= 1


async def _case(shell: Shell, node: Any) -> int:
    word = await expansion.expand_word_async(shell.ctx, node.word)
    status = 0
    falls = False
    for item in node.items:
        matched = falls
        for pattern in () if matched else item.patterns:
            text = await expansion.expand_word_for_case_pattern(shell.ctx, pattern)
            if re.match(f"^(?:{expansion.glob_to_regex(text)})$", word, re.DOTALL):
                matched = True
                break
        if matched:
            status = await shell.body(item.body)
            if item.terminator == ";;":
                break
        falls = matched and item.terminator == ";&"
    return status


async def _subshell(shell: Shell, node: Any) -> int:
    return await shell.fork().process(ast.GroupNode(body=node.body))


async def _group(shell: Shell, node: Any) -> int:
    return await shell.body(node.body)


async def _conditional(shell: Shell, node: Any) -> int:
    try:
        return 0 if await conditionals.evaluate_conditional(shell.ctx, node.expression) else 1
    except ValueError as error:
        shell.complain(f"conditional: {error}")
        return 2


async def _arithmetic_value(shell: Shell, node: Any) -> int:
    return 1 if node is None else await expansion.evaluate_arithmetic(shell.ctx, node.expression)


async def _arithmetic(shell: Shell, node: Any) -> int:
    try:
        return 0 if await _arithmetic_value(shell, node.expression) else 1
    except (ValueError, ZeroDivisionError) as error:
        shell.complain(f"((: {error}")
        return 1


RUN: dict[str, Callable[[Shell, Any], Awaitable[int]]] = {
    "If": _if,
    "For": _for,
    "CStyleFor": _c_style_for,
    "While": _while,
    "Until": _while,
    "Case": _case,
    "Subshell": _subshell,
    "Group": _group,
    "ConditionalCommand": _conditional,
    "ArithmeticCommand": _arithmetic,
}
