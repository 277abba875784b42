"""Running an awk program's tree."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from kubesim.shell import regex
from kubesim.shell.awk.parser import Node, Parser, Problem

NUMERIC = re.compile(r"\s*[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?\s*")
PREFIX = re.compile(r"\s*[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
ROUNDS = 1_000_000  # steps of loops before a program counts as endless


class Field(str):
    """Text that came from the input: it compares as a number if it looks like one (POSIX's "numeric string")."""

    __slots__ = ()


class _Next(Exception):
    pass


class _Break(Exception):
    pass


class _Continue(Exception):
    pass


class _Exit(Exception):
    def __init__(self, code: int) -> None:
        self.code = code


class _Return(Exception):
    def __init__(self, value: Any) -> None:
        self.value = value


def number(value: Any) -> float:
    if isinstance(value, float):
        return value
    match = PREFIX.match(value)
    return float(match[0]) if match else 0.0


def integral(value: float, form: str = "%.6g") -> str:
    return (
        str(int(value))
        if value == int(value) and abs(value) < 1e16
        else form % value
        if math.isfinite(value)
        else str(value)
    )


def truth(value: Any) -> bool:
    if isinstance(value, Field) and NUMERIC.fullmatch(value):
        return float(value) != 0
    return value != 0 if isinstance(value, float) else bool(value)


class Program:
    """One run: `write(path or "", append, text)` takes what is printed ("" is stdout)."""

    def __init__(self, text: str, write: Callable[[str, bool, str], None], rng: Random, now: float) -> None:
        self.begin, self.rules, self.end, self.functions = Parser(text).program()
        self._write = write
        self._rng = rng
        self._now = now
        self.variables: dict[str, Any] = {
            "FS": " ", "OFS": " ", "ORS": "\n", "RS": "\n", "NR": 0.0, "NF": 0.0, "FNR": 0.0, "SUBSEP": "\x1c", "RSTART": 0.0,
            "RLENGTH": -1.0, "CONVFMT": "%.6g", "OFMT": "%.6g", "FILENAME": "",
        }  # fmt: skip
        self.arrays: dict[str, dict[str, Any]] = {}
        self._frames: list[dict[str, Any]] = []
        self._record = ""
        self._fields: list[str] | None = []
        self._ranges: set[int] = set()
        self._opened: set[str] = set()
        self._steps = 0
        self._source: Iterator[str] = iter(())

    # -- driving --------------------------------------------------------------------------------------------

    @property
    def needs_input(self) -> bool:
        return bool(self.rules or self.end)

    def start(self) -> None:
        for action in self.begin:
            self._run(action)

    def records(self, text: str) -> Iterator[str]:
        separator = self.text(self.variables["RS"])
        if separator == "\n":
            yield from text.removesuffix("\n").split("\n") if text else ()
        elif separator == "":
            yield from (each.strip("\n") for each in re.split(r"\n\n+", text.strip("\n")) if each)
        else:
            pattern = re.escape(separator) if len(separator) == 1 else regex.translate(separator, True)
            parts = re.split(pattern, text)
            yield from parts[:-1] if parts and parts[-1] in ("", "\n") else parts

    def feed(self, text: str, name: str) -> None:
        """All records of one file."""
        self.variables["FILENAME"], self.variables["FNR"] = name, 0.0
        self._source = self.records(text)
        for record in self._source:
            self._advance(record)
            try:
                for index, (first, last, action) in enumerate(self.rules):
                    if self._applies(index, first, last):
                        if action is None:
                            self._print(self._record + self.text(self.variables["ORS"]), "", None)
                        else:
                            self._run(action)
            except _Next:
                continue

    def _advance(self, record: str) -> None:
        self._record, self._fields = record, None
        self.variables["NR"] += 1.0
        self.variables["FNR"] += 1.0

    def _applies(self, index: int, first: Node | None, last: Node | None) -> bool:
        if first is None:
            return True
        if last is None:
            return truth(self._value(first))
        if index not in self._ranges:
            if not truth(self._value(first)):
                return False
            self._ranges.add(index)
        if truth(self._value(last)):
            self._ranges.discard(index)
        return True

    def finish(self) -> None:
        for action in self.end:
            self._run(action)

    # -- fields ---------------------------------------------------------------------------------------------

    def split(self, text: str, separator: str) -> list[str]:
        if separator == " ":
            return text.split()
        if not text:
            return []
        if len(separator) == 1 and separator not in "|.*+?^$[\\":
            return text.split(separator)
        if separator == "":
            return list(text)
        pattern = (
            re.escape(separator) if len(separator) == 1 and separator != "\\" else regex.translate(separator, True)
        )
        return re.split(re.sub(r"(?<!\\)\((?!\?)", "(?:", pattern), text)

    @property
    def fields(self) -> list[str]:
        if self._fields is None:
            self._fields = [Field(each) for each in self.split(self._record, self.text(self.variables["FS"]))]
        return self._fields

    def _set_field(self, index: int, value: Any) -> None:
        if index == 0:
            self._record, self._fields = self.text(value), None
            return
        fields = self.fields
        fields.extend([Field("")] * (index - len(fields)))
        fields[index - 1] = Field(value) if isinstance(value, str) else Field(self.text(value))
        self._record = self.text(self.variables["OFS"]).join(fields)

    # -- values ---------------------------------------------------------------------------------------------

    def text(self, value: Any) -> str:
        if isinstance(value, float):
            return integral(value, self.variables["CONVFMT"])
        return str(value)

    def _output(self, value: Any) -> str:
        return integral(value, self.variables["OFMT"]) if isinstance(value, float) else str(value)

    def _scope(self, name: str) -> dict[str, Any]:
        return self._frames[-1] if self._frames and name in self._frames[-1] else self.variables

    def _array(self, name: str) -> dict[str, Any]:
        if self._frames and name in self._frames[-1]:
            found = self._frames[-1][name]
            if not isinstance(found, dict):
                found = self._frames[-1][name] = {}
            return found
        return self.arrays.setdefault(name, {})

    def _subscript(self, items: list[Node]) -> str:
        return self.text(self.variables["SUBSEP"]).join(self.text(self._value(each)) for each in items)

    def _assign(self, target: Node, value: Any) -> None:
        if target[0] == "var":
            if target[1] == "NF":
                fields = self.fields
                count = int(number(value))
                self._fields = fields[:count] + [Field("")] * (count - len(fields))
                self._record = self.text(self.variables["OFS"]).join(self._fields)
            else:
                self._scope(target[1])[target[1]] = value
        elif target[0] == "field":
            self._set_field(int(number(self._value(target[1]))), value)
        else:
            self._array(target[1])[self._subscript(target[2])] = value

    def _value(self, node: Node) -> Any:
        return getattr(self, f"_x_{node[0]}")(*node[1:])

    def _x_number(self, value: float) -> float:
        return value

    def _x_string(self, value: str) -> str:
        return value

    def _x_ere(self, pattern: str) -> float:
        return float(regex.compiled(pattern, True).search(self._record) is not None)

    def _x_paren(self, inner: Node) -> Any:
        return self._value(inner)

    def _x_group(self, items: list[Node]) -> str:
        return self._subscript(items)

    def _x_var(self, name: str) -> Any:
        if name == "NF":
            return float(len(self.fields))
        return self._scope(name).get(name, Field(""))

    def _x_field(self, index: Node) -> Any:
        at = int(number(self._value(index)))
        if at == 0:
            return Field(self._record)
        fields = self.fields
        return fields[at - 1] if at <= len(fields) else Field("")

    def _x_index(self, name: str, subscript: list[Node]) -> Any:
        return self._array(name).setdefault(self._subscript(subscript), Field(""))

    def _x_assign(self, target: Node, operator: str, value: Node) -> Any:
        result = self._value(value)
        if operator:
            result = self._calculate(operator, number(self._value(target)), number(result))
        self._assign(target, result)
        return result

    def _x_ternary(self, test: Node, then: Node, otherwise: Node) -> Any:
        return self._value(then if truth(self._value(test)) else otherwise)

    def _x_or(self, left: Node, right: Node) -> float:
        return float(truth(self._value(left)) or truth(self._value(right)))

    def _x_and(self, left: Node, right: Node) -> float:
        return float(truth(self._value(left)) and truth(self._value(right)))

    def _x_in(self, subscript: list[Node], name: str) -> float:
        return float(self._subscript(subscript) in self._array(name))

    def _x_match(self, left: Node, right: Node, positive: bool) -> float:
        return float((self._pattern(right).search(self.text(self._value(left))) is not None) == positive)

    def _pattern(self, node: Node) -> re.Pattern[str]:
        return regex.compiled(node[1] if node[0] == "ere" else self.text(self._value(node)), True)

    def _x_compare(self, operator: str, left: Node, right: Node) -> float:
        a, b = self._value(left), self._value(right)
        numbers = all(
            isinstance(each, float) or (isinstance(each, Field) and (not each or NUMERIC.fullmatch(each)))
            for each in (a, b)
        )
        if numbers and not (isinstance(a, Field) and not a and isinstance(b, Field)):
            a, b = number(a), number(b)
        else:
            a, b = self.text(a), self.text(b)
        return float({"<": a < b, "<=": a <= b, "==": a == b, "!=": a != b, ">": a > b, ">=": a >= b}[operator])

    def _x_concat(self, left: Node, right: Node) -> str:
        return self.text(self._value(left)) + self.text(self._value(right))

    def _calculate(self, operator: str, a: float, b: float) -> float:
        if operator in "/%" and b == 0:
            raise Problem("division by zero" + (" in %" if operator == "%" else ""))
        if operator == "+":
            return a + b
        if operator == "-":
            return a - b
        if operator == "*":
            return a * b
        return a / b if operator == "/" else math.fmod(a, b) if operator == "%" else a**b

    def _x_arith(self, operator: str, left: Node, right: Node) -> float:
        return self._calculate(operator, number(self._value(left)), number(self._value(right)))

    def _x_not(self, operand: Node) -> float:
        return float(not truth(self._value(operand)))

    def _x_minus(self, operand: Node) -> float:
        return -number(self._value(operand))

    def _x_plus(self, operand: Node) -> float:
        return number(self._value(operand))

    def _x_before(self, sign: str, target: Node) -> float:
        value = number(self._value(target)) + (1 if sign == "+" else -1)
        self._assign(target, value)
        return value

    def _x_after(self, sign: str, target: Node) -> float:
        value = number(self._value(target))
        self._assign(target, value + (1 if sign == "+" else -1))
        return value

    def _x_getline(self, target: Node | None, source: Node | None) -> float:
        if source is not None:
            raise Problem("not simulated: getline < file")
        record = next(self._source, None)
        if record is None:
            return 0.0
        if target is None:
            self._advance(record)
        else:
            self._assign(target, Field(record))
        return 1.0

    def _x_call(self, name: str, args: list[Node]) -> Any:
        if name not in self.functions:
            raise Problem(f"calling undefined function {name}")
        params, body = self.functions[name]
        frame: dict[str, Any] = dict.fromkeys(params, Field(""))
        for param, arg in zip(params, args, strict=False):
            known = arg[0] == "var" and (arg[1] in self.arrays or isinstance(self._scope(arg[1]).get(arg[1]), dict))
            frame[param] = self._array(arg[1]) if known else self._value(arg)
        if len(self._frames) > 200:
            raise Problem(f"{name}: called itself too often")
        self._frames.append(frame)
        try:
            self._run(body)
        except _Return as returned:
            return returned.value
        finally:
            self._frames.pop()
        return Field("")

    def _x_builtin(self, name: str, args: list[Node]) -> Any:
        handler = getattr(self, f"_f_{name}", None)
        if handler is None:
            raise Problem(f"not simulated: the function {name}")
        return handler(args)

    # -- functions ------------------------------------------------------------------------------------------

    def _f_length(self, args: list[Node]) -> float:
        if args and args[0][0] == "var" and args[0][1] in self.arrays:
            return float(len(self.arrays[args[0][1]]))
        return float(len(self.text(self._value(args[0])) if args else self._record))

    def _f_substr(self, args: list[Node]) -> str:
        text, start = self.text(self._value(args[0])), round(number(self._value(args[1])))
        end = len(text) + 1 if len(args) < 3 else start + round(number(self._value(args[2])))
        return text[max(0, start - 1) : max(0, end - 1)]

    def _f_index(self, args: list[Node]) -> float:
        return float(self.text(self._value(args[0])).find(self.text(self._value(args[1]))) + 1)

    def _f_split(self, args: list[Node]) -> float:
        separator = (
            self.variables["FS"] if len(args) < 3 else args[2][1] if args[2][0] == "ere" else self._value(args[2])
        )
        parts = self.split(self.text(self._value(args[0])), self.text(separator))
        array = self._array(args[1][1])
        array.clear()
        array.update({str(index): Field(part) for index, part in enumerate(parts, 1)})
        return float(len(parts))

    def _replace(self, args: list[Node], most: int) -> float:
        target = args[2] if len(args) > 2 else ("field", ("number", 0.0))
        raw = self.text(self._value(args[1]))
        # & is the match, \\& an ampersand.
        parts = re.findall(r"\\\\|\\&|&|[^\\&]+|\\", raw)
        count = 0

        def one(match: re.Match[str], number: int) -> str | None:
            nonlocal count
            if most and number > most:
                return None
            count += 1
            return "".join({"&": match[0], "\\&": "&", "\\\\": "\\"}.get(part, part) for part in parts)

        text = regex.substitute(self._pattern(args[0]), one, self.text(self._value(target)))
        if count:
            self._assign(target, text)
        return float(count)

    def _f_sub(self, args: list[Node]) -> float:
        return self._replace(args, 1)

    def _f_gsub(self, args: list[Node]) -> float:
        return self._replace(args, 0)

    def _f_match(self, args: list[Node]) -> float:
        found = self._pattern(args[1]).search(self.text(self._value(args[0])))
        self.variables["RSTART"] = float(found.start() + 1) if found else 0.0
        self.variables["RLENGTH"] = float(found.end() - found.start()) if found else -1.0
        if len(args) > 2:
            array = self._array(args[2][1])
            array.clear()
            if found:
                array.update({str(index): Field(text or "") for index, text in enumerate((found[0], *found.groups()))})
        return float(self.variables["RSTART"])

    def _f_sprintf(self, args: list[Node]) -> str:
        return self.format([self._value(each) for each in args])

    def _f_tolower(self, args: list[Node]) -> str:
        return self.text(self._value(args[0])).lower()

    def _f_toupper(self, args: list[Node]) -> str:
        return self.text(self._value(args[0])).upper()

    def _f_int(self, args: list[Node]) -> float:
        return float(int(number(self._value(args[0]))))

    def _f_sqrt(self, args: list[Node]) -> float:
        return math.sqrt(number(self._value(args[0])))

    def _f_exp(self, args: list[Node]) -> float:
        return math.exp(number(self._value(args[0])))

    def _f_log(self, args: list[Node]) -> float:
        return math.log(number(self._value(args[0])))

    def _f_sin(self, args: list[Node]) -> float:
        return math.sin(number(self._value(args[0])))

    def _f_cos(self, args: list[Node]) -> float:
        return math.cos(number(self._value(args[0])))

    def _f_atan2(self, args: list[Node]) -> float:
        return math.atan2(number(self._value(args[0])), number(self._value(args[1])))

    def _f_rand(self, args: list[Node]) -> float:
        return self._rng.random()

    def _f_srand(self, args: list[Node]) -> float:
        return 0.0

    def _f_systime(self, args: list[Node]) -> float:
        return float(int(self._now))

    def _f_close(self, args: list[Node]) -> float:
        return 0.0

    def _f_fflush(self, args: list[Node]) -> float:
        return 0.0

    def format(self, values: list[Any]) -> str:
        """printf's format."""
        queue = values[1:]

        def one(match: re.Match[str]) -> str:
            flags, width, precision, letter = match[1], match[2], match[3], match[4]
            if letter == "%":
                return "%"
            if width == "*":
                width = self.text(queue.pop(0) if queue else 0.0)
            value = queue.pop(0) if queue else Field("")
            spec = f"%{flags}{width or ''}{precision or ''}"
            if letter in "di":
                return (spec + "d") % int(number(value))
            if letter in "oxXu":
                return (spec + ("d" if letter == "u" else letter)) % int(number(value))
            if letter == "c":
                return (spec + "s") % (chr(int(value)) if isinstance(value, float) else self.text(value)[:1])
            return (spec + "s") % self.text(value) if letter == "s" else (spec + letter) % number(value)

        return re.sub(r"%([-+ #0]*)(\d+|\*)?(\.\d+)?([diouxXcsfFeEgG%])", one, self.text(values[0]))

    # -- statements -----------------------------------------------------------------------------------------

    def _run(self, node: Node) -> None:
        getattr(self, f"_s_{node[0]}")(*node[1:])

    def _s_block(self, body: list[Node]) -> None:
        for each in body:
            self._run(each)

    def _s_expression(self, node: Node) -> None:
        self._value(node)

    def _s_if(self, test: Node, then: Node, otherwise: Node | None) -> None:
        if truth(self._value(test)):
            self._run(then)
        elif otherwise is not None:
            self._run(otherwise)

    def _round(self, body: Node) -> bool:
        self._steps += 1
        if self._steps > ROUNDS:
            raise Problem(f"stopped after {ROUNDS} rounds of loops: this program does not seem to end")
        try:
            self._run(body)
        except _Break:
            return False
        except _Continue:
            pass
        return True

    def _s_while(self, test: Node, body: Node) -> None:
        while truth(self._value(test)):
            if not self._round(body):
                return

    def _s_do(self, body: Node, test: Node) -> None:
        while self._round(body) and truth(self._value(test)):
            pass

    def _s_for(self, start: Node | None, test: Node | None, step: Node | None, body: Node) -> None:
        if start is not None:
            self._run(start)
        while test is None or truth(self._value(test)):
            if not self._round(body):
                return
            if step is not None:
                self._run(step)

    def _s_forin(self, name: str, array: str, body: Node) -> None:
        for key in list(self._array(array)):
            self._assign(("var", name), Field(key))
            if not self._round(body):
                return

    def _s_delete(self, name: str, subscript: list[Node] | None) -> None:
        if subscript is None:
            self._array(name).clear()
        else:
            self._array(name).pop(self._subscript(subscript), None)

    def _s_print(self, args: list[Node], how: str, target: Node | None) -> None:
        if args:
            text = self.text(self.variables["OFS"]).join(self._output(self._value(each)) for each in args)
        else:
            text = self._record
        self._print(text + self.text(self.variables["ORS"]), how, target)

    def _s_printf(self, args: list[Node], how: str, target: Node | None) -> None:
        if not args:
            raise Problem("printf: no format")
        self._print(self.format([self._value(each) for each in args]), how, target)

    def _print(self, text: str, how: str, target: Node | None) -> None:
        if how == "|":
            raise Problem("not simulated: print into a command")
        name = self.text(self._value(target)) if target is not None else ""
        self._write(name, how == ">>" or name in self._opened, text)
        self._opened.add(name)

    def _s_next(self) -> None:
        raise _Next

    _s_nextfile = _s_next

    def _s_break(self) -> None:
        raise _Break

    def _s_continue(self) -> None:
        raise _Continue

    def _s_exit(self, value: Node | None) -> None:
        raise _Exit(int(number(self._value(value))) if value else 0)

    def _s_return(self, value: Node | None) -> None:
        raise _Return(self._value(value) if value else Field(""))


Exit = _Exit
