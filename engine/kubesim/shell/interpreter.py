"""A shell: runs a parsed script as a task of the world.

Theory of operation
-------------------
Parsing and the expansion of words, arithmetic and `[[ ]]` are the kept bash's.  Running is ours, because a script here is
not run to its end in one breath: a command may wait for a packet or a timer.  So each stage of a pipeline is a task with a
copy of the shell's state, pipes are read while they are written, and file descriptors are objects that redirections
re-arrange from left to right, as POSIX (XCU 2.7) has it.

`Shell.fds` are the descriptors in force now; a redirection swaps the mapping for as long as its command runs.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from kubesim.machine import Machine
from kubesim.shell import builtins, compound, processes, redirections, syntax
from kubesim.shell.adapters import Files
from kubesim.shell.context import Context
from kubesim.shell.kept import LIMITS, ExecResult, alias, errors, expansion, interpreter
from kubesim.shell.kept import state as kept_state
from kubesim.shell.session import Job, Session
from kubesim.shell.streams import BrokenPipe, Capture, Input, Null, Output, Pipe
from kubesim.world import Cancelled

# Nested function calls (bash's FUNCNEST).  Real bash goes on until its stack ends; ours is Python's, ten frames a call.
DEPTH = 50
DECLARATIONS = frozenset({"declare", "typeset", "local", "readonly", "export"})
SIMPLE_ALIAS = re.compile(r"[\w./:=@%+,-]+(?:[ \t]+[\w./:=@%+,-]+)*[ \t]*")


class Shell:
    """One shell process.  `name` is what it calls itself in messages ("bash", "sh")."""

    def __init__(
        self,
        machine: Machine,
        session: Session,
        env: Mapping[str, str],
        cwd: str,
        fds: Mapping[int, Input | Output],
        name: str = "bash",
        args: Sequence[str] = (),
        user: str = "",
        interactive: bool = False,
        background: bool = False,
        screen: Output | None = None,
    ) -> None:
        self.machine = machine
        self.interactive = interactive
        self.background = background
        # `exec COMMAND` has put a command in this shell's place.
        self.replaced = False
        self.user = user or machine.user
        self.session = session
        # What this shell writes to here is a terminal's screen.
        self.screen: Output = screen or session.screen
        self.name = name
        self.fds: dict[int, Any] = dict(fds)
        self.traps: dict[str, str] = {}
        variables = kept_state.VariableStore(env)
        for each in env:
            variables.set_attribute(each, "x")
        variables.update({"?": "0", "0": name, "#": str(len(args)), "$": str(session.pid()), "OPTIND": "1", "PWD": cwd})
        variables.update({str(index): value for index, value in enumerate(args, 1)})
        variables.setdefault("BASH_VERSION", "5.2.15(1)-release")
        variables.setdefault("HOSTNAME", machine.hostname)
        variables.setdefault("UID", "0" if self.user == "root" else "1000")
        variables.setdefault("EUID", variables["UID"])
        self._bind(kept_state.InterpreterState(env=variables, cwd=cwd))
        alias.get_aliases(self.ctx).update(machine.aliases)

    def _bind(self, state: Any) -> None:
        """Let the kept code see this shell's state, files and way to run a substitution."""
        world = self.machine.world
        born = world.now
        if not hasattr(state, "clock"):
            state.clock = lambda: (world.now, born)
        state.random_generator = world.rng(f"shell/{self.machine.name}")
        self.state = state
        files = Files(self.machine.files)
        self._assigner = interpreter.Interpreter(fs=files, commands={}, limits=LIMITS, state=state)
        self.ctx = kept_state.InterpreterContext(
            state=state,
            fs=files,
            commands={},
            limits=LIMITS,
            exec_fn=self._substitute_text,
            execute_script=self._substitute,
            execute_statement=self._substitute,
            execute_command=self._substitute_command,
        )
        self._assigner._ctx = self.ctx

    # -- state ----------------------------------------------------------------------------------------------

    def fork(self) -> Shell:
        """A subshell: the same but for what it changes."""
        child = object.__new__(Shell)
        child.machine, child.session, child.name, child.user = self.machine, self.session, self.name, self.user
        child.interactive, child.background, child.screen = self.interactive, self.background, self.screen
        child.fds = dict(self.fds)
        child.traps = {}
        old = self.state
        state = replace(
            old,
            env=old.env.copy(),
            functions=dict(old.functions),
            local_scopes=[dict(each) for each in old.local_scopes],
            options=replace(old.options),
            dir_stack=list(old.dir_stack),
            readonly_vars=set(old.readonly_vars),
            associative_arrays=set(old.associative_arrays),
            loop_depth=0,
        )
        state.clock = old.clock
        child._bind(state)
        alias.get_aliases(child.ctx).update(alias.get_aliases(self.ctx))
        return child

    @property
    def cwd(self) -> str:
        return self.state.cwd

    @property
    def aliases(self) -> dict[str, str]:
        return alias.get_aliases(self.ctx)

    def exported(self) -> dict[str, str]:
        """The environment that a command gets."""
        env = self.state.env
        return {name: env[name] for name, meta in env._metadata.items() if "x" in meta.attributes and name in env}

    @property
    def prefix(self) -> str:
        """How its messages begin: bash tells the line in a script, dash (Debian's sh) always, busybox never."""
        line = self.state.current_line or 1
        if self.name != "bash":
            return f"{self.name}: {line}: " if "apt-get" in self.machine.tools else f"{self.name}: "
        return "bash: " if self.interactive else f"bash: line {line}: "

    @property
    def not_found(self) -> str:
        """What it says of a command that is not there."""
        return "command not found" if self.name == "bash" else "not found"

    def complain(self, text: str) -> None:
        self.fds[2].write(f"{self.prefix}{text}\n")

    def _status(self, status: int) -> int:
        self.state.last_exit_code = status
        self.state.env["?"] = str(status)
        return status

    # -- scripts --------------------------------------------------------------------------------------------

    async def run(self, script: str) -> int:
        """Run a script to its end; its exit status.  `exit` ends it; the EXIT trap runs."""
        try:
            status = await self.source(script)
        except errors.ExitError as error:
            status = self._exited(error)
        return await self.trapped(status)

    async def trapped(self, status: int) -> int:
        """The EXIT trap, if one was set; it may change the status."""
        action = self.traps.pop("EXIT", "")
        if action:
            try:
                await self.source(action)
            except errors.ExitError as error:
                return self._exited(error)
        return status

    def _exited(self, error: Any) -> int:
        """The status of an exit; an expansion that ends the shell (`${x:?message}`) brings its message along."""
        if error.stderr:
            self.fds[2].write(error.stderr.replace("bash: ", self.prefix, 1))
        return int(error.exit_code)

    async def source(self, script: str) -> int:
        """Run a script in this shell (eval, `.`, a typed line).  Lets ExitError through."""
        try:
            tree = syntax.parse(script)
        except syntax.Wrong as error:
            self.complain(str(error))
            return self._status(2)
        return await self.body(tree.statements, top=True)

    async def body(self, statements: Sequence[Any], top: bool = False) -> int:
        """Statements one after the other.  At the top of a script, errors of expansion end it, as in bash."""
        status = 0
        for each in statements:
            try:
                status = await self.statement(each)
            except errors.ErrexitError as error:
                self._status(error.exit_code)
                raise errors.ExitError(error.exit_code) from None
            except (errors.NounsetError, errors.BadSubstitutionError, errors.ArithmeticError) as error:
                self.fds[2].write(error.stderr or f"{self.prefix}{error}\n")
                status = self._status(1)
                if not top:
                    raise errors.ExitError(1) from None
                return status
            except errors.ExecutionLimitError as error:
                self.complain(str(error))
                return self._status(1)
            except (errors.BreakError, errors.ContinueError):
                if self.state.loop_depth:
                    raise
            except errors.ReturnError as error:
                if self.state.call_depth or self.state.source_depth:
                    raise
                self.complain("return: can only `return' from a function or sourced script")
                status = self._status(error.exit_code or 1)
        return status

    async def _substitute(self, node: Any) -> Any:
        """$(...): in a subshell, its output taken.  What it writes to stderr is seen."""
        child = self.fork()
        captured = Capture()
        child.fds[1] = captured
        statements = node.statements if hasattr(node, "statements") else (node,)
        try:
            status = await child.body(statements, top=True)
        except errors.ExitError as error:
            status = child._exited(error)
        except BrokenPipe:
            status = 141
        return ExecResult(stdout=captured.text, stderr="", exit_code=status)

    async def _substitute_command(self, node: Any, stdin: str) -> Any:
        raise NotImplementedError("the kept code runs no commands by itself")

    async def _substitute_text(self, script: str, env: Any = None, cwd: str | None = None) -> Any:
        return await self._substitute(syntax.parse(script))

    def interrupted(self) -> None:
        """Ctrl-C ended what it ran: forget how deep inside of it the shell was."""
        state = self.state
        state.loop_depth = state.call_depth = state.source_depth = 0
        state.in_condition = False
        self._status(130)

    # -- lists and pipelines --------------------------------------------------------------------------------

    async def statement(self, node: Any) -> int:
        if node.background:
            return self._background(node)
        status = 0
        last = -1
        for index, each in enumerate(node.pipelines):
            operator = node.operators[index - 1] if index else ""
            if (operator == "&&" and status) or (operator == "||" and not status):
                continue
            status = self._status(await self.pipeline(each))
            last = index
        ended = last == len(node.pipelines) - 1 and not node.pipelines[last].negated
        if status and ended and self.state.options.errexit and not self.state.in_condition:
            raise errors.ErrexitError(status)
        return status

    def _background(self, node: Any) -> int:
        child = self.fork()
        child.fds[0] = Null()
        job = Job(number=self.session.next_number(), pid=self.session.pid(), command=_text(node))
        job.task = self.machine.world.spawn(child.process(replace(node, background=False)), f"job {job.command}")
        self.session.jobs.append(job)
        self.state.last_background_pid = job.pid
        return self._status(0)

    async def process(self, node: Any, reads: Pipe | None = None, writes: Pipe | None = None) -> int:
        """This (forked) shell's life as a process: one statement or command; at its end its ends of pipes are closed."""
        try:
            status = await (self.statement(node) if node.type == "Statement" else self.command(node))
            return await self.trapped(status)
        except (errors.ExitError, errors.ErrexitError) as error:
            return await self.trapped(self._exited(error))
        except (errors.NounsetError, errors.BadSubstitutionError, errors.ArithmeticError) as error:
            self.fds[2].write(error.stderr or f"{self.prefix}{error}\n")
            return 1
        except (errors.BreakError, errors.ContinueError, errors.ReturnError):
            return 0
        except errors.ExecutionLimitError as error:
            self.complain(str(error))
            return 1
        except BrokenPipe:
            return 141
        finally:
            if writes is not None:
                writes.end()
            if reads is not None:
                reads.close()

    async def pipeline(self, node: Any) -> int:
        if len(node.commands) == 1:
            statuses = [await self.command(node.commands[0])]
        else:
            statuses = await self._piped(node)
        env = self.state.env
        if len(statuses) > 1 or "PIPESTATUS_1" in env:
            for key in [each for each in env if each.startswith("PIPESTATUS_")]:
                del env[key]
        env.update({f"PIPESTATUS_{index}": str(each) for index, each in enumerate(statuses)})
        env["PIPESTATUS__is_array"] = "indexed"
        status = statuses[-1]
        if self.state.options.pipefail:
            status = next((each for each in reversed(statuses) if each), 0)
        return int(not status) if node.negated else status

    async def _piped(self, node: Any) -> list[int]:
        world = self.machine.world
        pipes = [Pipe(world) for _ in node.commands[1:]]
        tasks = []
        for index, each in enumerate(node.commands):
            child = self.fork()
            reads = pipes[index - 1] if index else None
            writes = pipes[index] if index < len(pipes) else None
            if reads is not None:
                child.fds[0] = reads
            if writes is not None:
                child.fds[1] = writes
                if index < len(node.pipe_amp) and node.pipe_amp[index]:
                    child.fds[2] = writes
            tasks.append(world.spawn(child.process(each, reads, writes), "pipeline"))
        try:
            return [await task for task in tasks]
        except Cancelled:
            for task in tasks:
                task.cancel()
            raise

    # -- commands -------------------------------------------------------------------------------------------

    async def command(self, node: Any) -> int:
        if node.type == "SimpleCommand":
            return await self.simple(node)
        if node.type == "FunctionDef":
            self.state.functions[node.name] = node
            return 0
        if not node.redirections:
            return await self._compound(node)
        saved = self.fds
        try:
            self.fds = await redirections.opened(self, node.redirections)
            return await self._compound(node)
        except redirections.Failed as error:
            self.fds = saved
            self.complain(str(error))
            return 1
        finally:
            self.fds = saved

    async def _compound(self, node: Any) -> int:
        return await compound.RUN[node.type](self, node)

    async def simple(self, node: Any) -> int:
        """Assignments, words, redirections, then the command (XCU 2.9.1)."""
        state = self.state
        if node.line is not None:
            state.current_line = node.line
        state.expansion_stderr = ""
        state.expansion_exit_code = None
        if node.name is None:
            return await self._assign(node)
        words = await self._words(node)
        if state.expansion_stderr:
            self.fds[2].write(state.expansion_stderr)
            return state.expansion_exit_code or 1
        assigned = {}
        for each in node.assignments:
            assigned[each.name] = await expansion.expand_word_async(self.ctx, each.value) if each.value else ""
        if state.options.xtrace and words:
            self.fds[2].write("+ " + " ".join(shlex.quote(each) for each in words) + "\n")
        saved = self.fds
        try:
            if node.redirections:
                self.fds = await redirections.opened(self, node.redirections)
            if not words:
                state.env.update(assigned)
                return state.expansion_exit_code or 0
            state.last_arg = words[-1]
            keep = words == ["exec"]
            status = await self._dispatch(words, assigned, not interpreter._word_has_quoting(node.name))
            if keep:
                saved = self.fds
            return status
        except redirections.Failed as error:
            self.fds = saved
            self.complain(str(error))
            return 1
        finally:
            self.fds = saved

    async def _words(self, node: Any) -> list[str]:
        words: list[str] = []
        for index, word in enumerate((node.name, *node.args)):
            fixed = (
                index > 0 and bool(words) and words[0] in DECLARATIONS and interpreter._word_has_literal_equals(word)
            )
            found = (await expansion.expand_word_with_glob(self.ctx, word, no_split=fixed, no_glob=fixed))["values"]
            words += [interpreter._apply_tilde_to_assignment(each, self.ctx) for each in found] if fixed else found
        return words

    async def _assign(self, node: Any) -> int:
        saved = self.fds
        try:
            if node.redirections:
                self.fds = await redirections.opened(self, node.redirections)
            if not node.assignments:
                return 0
            result = await self._assigner._execute_simple_command(replace(node, redirections=()), "")
            if result.stderr:
                self.fds[2].write(result.stderr.replace("bash: ", self.prefix, 1))
            return result.exit_code
        except redirections.Failed as error:
            self.fds = saved
            self.complain(str(error))
            return 1
        finally:
            self.fds = saved

    async def _dispatch(self, words: list[str], assigned: dict[str, str], may_be_alias: bool) -> int:
        """Alias, function, builtin, command: in this order."""
        name = words[0]
        if may_be_alias and name in self.aliases and name not in self.session.expanding:
            return await self._alias(words, assigned)
        state = self.state
        if name not in state.functions and name not in builtins.TABLE:
            return await self.execute(words, assigned)
        before = {each: state.env.get(each) for each in assigned}
        state.env.update(assigned)
        for each in assigned:
            state.env.set_attribute(each, "x")
        try:
            if name in state.functions:
                return await self.call(name, words[1:])
            return await builtins.TABLE[name](self, words)
        finally:
            for each, value in before.items():
                if value is None:
                    state.env.pop(each, None)
                    state.env.remove_attribute(each, "x")
                else:
                    state.env[each] = value

    async def _alias(self, words: list[str], assigned: dict[str, str]) -> int:
        name, text = words[0], self.aliases[words[0]]
        self.session.expanding.add(name)
        try:
            if SIMPLE_ALIAS.fullmatch(text):
                return await self._dispatch(text.split() + words[1:], assigned, True)
            return await self._with_arguments(words[1:], self.source(f'{text} "$@"'))
        finally:
            self.session.expanding.discard(name)

    async def _with_arguments(self, args: Sequence[str], coro: Any) -> int:
        """Run with these positional parameters, then put the old ones back."""
        env = self.state.env
        before = {key: env[key] for key in [str(each) for each in range(1, int(env.get("#", "0")) + 1)] if key in env}
        count = env.get("#", "0")
        for key in before:
            del env[key]
        env.update({str(index): value for index, value in enumerate(args, 1)})
        env["#"] = str(len(args))
        try:
            return await coro
        finally:
            for key in [str(each) for each in range(1, int(env.get("#", "0")) + 1)]:
                env.pop(key, None)
            env.update(before)
            env["#"] = count

    async def call(self, name: str, args: Sequence[str]) -> int:
        """A function."""
        state, env = self.state, self.state.env
        if state.call_depth >= DEPTH:
            raise errors.ExecutionLimitError(f"{name}: maximum function nesting level exceeded ({DEPTH})", "call_depth")
        node = state.functions[name]
        outer = env.get("FUNCNAME")
        env["FUNCNAME"] = name
        state.call_depth += 1
        state.local_scopes.append({})
        env.push_local_meta_scope()
        loops, state.loop_depth = state.loop_depth, 0
        try:
            return await self._with_arguments(args, self._function_body(node))
        except errors.ReturnError as error:
            return error.exit_code
        finally:
            state.loop_depth = loops
            env.restore_metadata_from_scope(env.pop_local_meta_scope())
            for key, value in state.local_scopes.pop().items():
                if value is None:
                    env.pop(key, None)
                    if key.endswith("__is_array"):
                        prefix = key[: -len("_is_array")]
                        for each in [each for each in env if each.startswith(prefix)]:
                            del env[each]
                else:
                    env[key] = value
            if outer is None:
                env.pop("FUNCNAME", None)
            else:
                env["FUNCNAME"] = outer
            state.call_depth -= 1

    async def _function_body(self, node: Any) -> int:
        body = node.body
        if node.redirections:
            body = replace(body, redirections=(*body.redirections, *node.redirections))
        return await self.command(body)

    def context(self, words: Sequence[str], assigned: Mapping[str, str] | None = None) -> Context:
        """What a command run from here is given."""
        return Context(
            machine=self.machine,
            name=words[0],
            args=list(words[1:]),
            env={**self.exported(), **(assigned or {})},
            cwd=self.cwd,
            stdin=self.fds.get(0) or Null(),
            out=self.fds.get(1) or Null(),
            err=self.fds.get(2) or Null(),
            shell=self,
            user=self.user,
            background=self.background,
            terminal=self.fds.get(1) is self.screen,
        )

    async def execute(self, words: Sequence[str], assigned: Mapping[str, str] | None = None) -> int:
        """A command of the machine."""
        return await processes.run(self.context(words, assigned), self)


def _text(node: Any) -> str:
    """A command line for `jobs`, as far as it is plain words."""
    command = node.pipelines[0].commands[0]
    words = [command.name, *command.args] if command.type == "SimpleCommand" and command.name else []
    parts = ["".join(str(getattr(part, "value", "")) for part in word.parts) for word in words]
    return " ".join(parts) or "(...)"
