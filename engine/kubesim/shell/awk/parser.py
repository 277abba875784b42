"""From the text of an awk program to a tree of tuples ("kind", ...)."""

from __future__ import annotations

import re
from typing import Any

from kubesim.shell.context import words

Node = tuple[Any, ...]

KEYWORDS = words("""
    BEGIN END function func if else while for do break continue next nextfile exit return delete in getline print printf
""")
FUNCTIONS = words("""
    length substr index split sub gsub match sprintf sin cos atan2 exp log sqrt int rand srand tolower toupper system close fflush
    gensub strftime systime
""")
TOKEN = re.compile(
    r"(?P<space>(?:[ \t\r]|\\\r?\n|\#[^\n]*)+)"
    r"|(?P<newline>\n)"
    r"|(?P<number>0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
    r'|(?P<string>"(?:[^"\\\n]|\\.)*")'
    r"|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<op>\*\*=|\*\*|&&|\|\||\+\+|--|[-+*/%^<>=!]=|>>|!~|[-+*/%^<>=!~?:;,(){}\[\]$|&])"
)
# After these a slash divides; anywhere else it opens a regular expression.
OPERAND = ("number", "string", "name", "ere")
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "/": "/", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


class Problem(Exception):
    """The program is not awk."""


def unescape(text: str) -> str:
    return re.sub(
        r"\\([0-7]{1,3}|.)",
        lambda m: chr(int(m[1], 8)) if m[1][0] in "01234567" else ESCAPES.get(m[1], "\\" + m[1]),
        text,
    )


def tokens(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        if text[at] == "/" and not _divides(found):
            end = re.compile(r"/((?:[^/\\\n\[]|\\.|\[\^?\]?(?:\[:\w+:\]|[^\]])*\])*)/").match(text, at)
            if end is None:
                raise Problem(f"unterminated regexp at {text[at : at + 20]!r}")
            found.append(("ere", end[1].replace("\\/", "/")))
            at = end.end()
            continue
        match = TOKEN.match(text, at)
        if match is None:
            raise Problem(f"syntax error at source line {text.count(chr(10), 0, at) + 1} near {text[at : at + 10]!r}")
        kind = match.lastgroup or ""
        if kind != "space":
            value = match[0]
            if kind == "name" and value in KEYWORDS:
                kind = "keyword"
            elif kind == "name" and text.startswith("(", match.end()) and value not in FUNCTIONS:
                kind = "call"
            elif kind == "string":
                value = unescape(value[1:-1])
            found.append((kind, value))
        at = match.end()
    found.append(("end", ""))
    return found


def _divides(found: list[tuple[str, str]]) -> bool:
    return bool(found) and (found[-1][0] in OPERAND or found[-1][1] in (")", "]", "$", "++", "--"))


class Parser:
    """Recursive descent over the grammar of POSIX awk."""

    def __init__(self, text: str) -> None:
        self._tokens = tokens(text)
        self._at = 0
        self._in_parens = 0
        self._no_in = False
        self._no_greater = False

    # -- tokens ---------------------------------------------------------------------------------------------

    @property
    def _kind(self) -> str:
        return self._tokens[self._at][0]

    @property
    def _text(self) -> str:
        kind, text = self._tokens[self._at]
        return text if kind not in ("string", "ere") else ""

    def _take(self) -> str:
        text = self._tokens[self._at][1]
        self._at += 1
        return text

    def _accept(self, *texts: str) -> str:
        if self._text in texts and self._kind != "end":
            return self._take()
        return ""

    def _expect(self, text: str) -> None:
        if not self._accept(text):
            near = self._tokens[self._at][1] or "end of program"
            raise Problem(f"syntax error near {near!r}: {text!r} expected")

    def _newlines(self) -> None:
        while self._kind == "newline":
            self._at += 1

    def _terminators(self) -> None:
        while self._kind == "newline" or self._text == ";":
            self._at += 1

    # -- program --------------------------------------------------------------------------------------------

    def program(
        self,
    ) -> tuple[list[Node], list[tuple[Node | None, Node | None, Node | None]], list[Node], dict[str, Any]]:
        """BEGIN actions, (pattern, end of range, action) rules, END actions, functions."""
        begin: list[Node] = []
        rules: list[tuple[Node | None, Node | None, Node | None]] = []
        end: list[Node] = []
        functions: dict[str, Any] = {}
        self._terminators()
        while self._kind != "end":
            if self._accept("BEGIN"):
                self._newlines()
                begin.append(self._block())
            elif self._accept("END"):
                self._newlines()
                end.append(self._block())
            elif self._accept("function", "func"):
                name = self._take()
                self._expect("(")
                params = []
                while not self._accept(")"):
                    params.append(self._take())
                    self._accept(",")
                self._newlines()
                functions[name] = (params, self._block())
            else:
                first = last = None
                if self._text != "{":
                    first = self._expression()
                    if self._accept(","):
                        self._newlines()
                        last = self._expression()
                rules.append((first, last, self._block() if self._text == "{" else None))
            self._terminators()
        return begin, rules, end, functions

    def _block(self) -> Node:
        self._expect("{")
        body = []
        self._terminators()
        while not self._accept("}"):
            body.append(self._statement())
            self._terminators()
        return ("block", body)

    def _simple_end(self) -> None:
        if self._kind == "newline" or self._text in (";",):
            self._at += 1
        elif self._text != "}" and self._kind != "end":
            raise Problem(f"syntax error near {self._tokens[self._at][1]!r}")

    def _body(self) -> Node:
        self._newlines()
        if self._accept(";"):
            return ("block", [])
        return self._statement()

    def _statement(self) -> Node:
        if self._text == "{":
            return self._block()
        word = self._text if self._kind == "keyword" else ""
        handler = getattr(self, f"_{word}_statement", None) if word else None
        if handler is not None:
            self._at += 1
            node: Node = handler()
            return node
        if word in ("next", "nextfile", "break", "continue"):
            self._at += 1
            self._simple_end()
            return (word,)
        if word in ("exit", "return"):
            self._at += 1
            done = self._kind in ("newline", "end") or self._text in (";", "}")
            node = (word, None if done else self._expression())
            self._simple_end()
            return node
        node = self._simple()
        self._simple_end()
        return node

    def _if_statement(self) -> Node:
        self._expect("(")
        test = self._expression()
        self._expect(")")
        then = self._body()
        mark = self._at
        self._terminators()
        if self._accept("else"):
            return ("if", test, then, self._body())
        self._at = mark
        return ("if", test, then, None)

    def _while_statement(self) -> Node:
        self._expect("(")
        test = self._expression()
        self._expect(")")
        return ("while", test, self._body())

    def _do_statement(self) -> Node:
        body = self._body()
        self._terminators()
        self._expect("while")
        self._expect("(")
        test = self._expression()
        self._expect(")")
        self._simple_end()
        return ("do", body, test)

    def _for_statement(self) -> Node:
        self._expect("(")
        following = [text for _, text in self._tokens[self._at + 1 : self._at + 4]]
        if self._kind == "name" and following[:1] == ["in"] and following[2:] == [")"]:
            name = self._take()
            self._expect("in")
            array = self._take()
            self._expect(")")
            return ("forin", name, array, self._body())
        start = None if self._text == ";" else self._simple()
        self._expect(";")
        self._newlines()
        test = None if self._text == ";" else self._expression()
        self._expect(";")
        self._newlines()
        step = None if self._text == ")" else self._simple()
        self._expect(")")
        return ("for", start, test, step, self._body())

    def _simple(self) -> Node:
        if self._accept("delete"):
            name = self._take()
            subscript = None
            if self._accept("["):
                subscript = self._list("]")
            return ("delete", name, subscript)
        word = self._text if self._kind == "keyword" else ""
        if word in ("print", "printf"):
            self._at += 1
            return self._print(word)
        return ("expression", self._expression())

    def _print(self, word: str) -> Node:
        args: list[Node] = []
        self._no_greater = True
        try:
            if self._text == "(":
                mark = self._at
                self._at += 1
                self._no_greater = False
                args = self._list(")")
                self._no_greater = True
                if self._kind not in ("newline", "end") and self._text not in (";", "}", ">", ">>", "|"):
                    self._at = mark
                    args = self._list("")
            elif self._kind not in ("newline", "end") and self._text not in (";", "}", ">", ">>", "|"):
                args = self._list("")
        finally:
            self._no_greater = False
        how = self._accept(">", ">>", "|")
        target = self._concatenation() if how else None
        return (word, args, how, target)

    def _list(self, closing: str) -> list[Node]:
        items: list[Node] = []
        if closing and self._accept(closing):
            return items
        while True:
            items.append(self._expression())
            self._newlines() if closing else None
            if not self._accept(","):
                break
            self._newlines()
        if closing:
            self._expect(closing)
        return items

    # -- expressions, weakest first -------------------------------------------------------------------------

    def _expression(self) -> Node:
        left = self._ternary()
        operator = self._text
        if operator in ("=", "+=", "-=", "*=", "/=", "%=", "^=", "**=") and left[0] in ("var", "field", "index"):
            self._at += 1
            self._newlines()
            value = self._expression()
            return ("assign", left, "^" if operator == "**=" else operator[:-1], value)
        return left

    def _ternary(self) -> Node:
        test = self._or()
        if self._accept("?"):
            self._newlines()
            then = self._expression()
            self._newlines()
            self._expect(":")
            self._newlines()
            return ("ternary", test, then, self._expression())
        return test

    def _or(self) -> Node:
        left = self._and()
        while self._accept("||"):
            self._newlines()
            left = ("or", left, self._and())
        return left

    def _and(self) -> Node:
        left = self._in()
        while self._accept("&&"):
            self._newlines()
            left = ("and", left, self._in())
        return left

    def _in(self) -> Node:
        left = self._match()
        while self._kind == "keyword" and self._accept("in"):
            left = ("in", [left] if left[0] != "group" else left[1], self._take())
        return left

    def _match(self) -> Node:
        left = self._comparison()
        while operator := self._accept("~", "!~"):
            left = ("match", left, self._comparison(), operator == "~")
        return left

    def _comparison(self) -> Node:
        left = self._concatenation()
        allowed = ("<", "<=", "==", "!=", ">=") if self._no_greater else ("<", "<=", "==", "!=", ">", ">=")
        if operator := self._accept(*allowed):
            return ("compare", operator, left, self._concatenation())
        if self._text == "|" and self._tokens[self._at + 1][1] == "getline":
            raise Problem("not simulated: a command piped into getline")
        return left

    def _concatenation(self) -> Node:
        left = self._additive()
        while self._starts_operand():
            left = ("concat", left, self._additive())
        return left

    def _starts_operand(self) -> bool:
        if self._kind in ("number", "string", "ere", "name", "call"):
            return True
        return self._text in ("$", "!", "(", "-", "+", "++", "--") and self._kind != "end" and self._text != "in"

    def _additive(self) -> Node:
        left = self._multiplicative()
        while operator := self._accept("+", "-"):
            left = ("arith", operator, left, self._multiplicative())
        return left

    def _multiplicative(self) -> Node:
        left = self._unary()
        while operator := self._accept("*", "/", "%"):
            left = ("arith", operator, left, self._unary())
        return left

    def _unary(self) -> Node:
        if self._accept("!"):
            return ("not", self._unary())
        if self._accept("-"):
            return ("minus", self._unary())
        if self._accept("+"):
            return ("plus", self._unary())
        return self._power()

    def _power(self) -> Node:
        left = self._postfix()
        if self._accept("^", "**"):
            return ("arith", "^", left, self._unary())
        return left

    def _postfix(self) -> Node:
        if operator := self._accept("++", "--"):
            return ("before", operator[0], self._postfix())
        operand = self._primary()
        if operand[0] in ("var", "field", "index") and (operator := self._accept("++", "--")):
            return ("after", operator[0], operand)
        return operand

    def _primary(self) -> Node:
        kind = self._kind
        if kind == "number":
            text = self._take()
            return ("number", float(int(text, 16)) if text[:2].lower() == "0x" else float(text))
        if kind == "string":
            return ("string", self._take())
        if kind == "ere":
            return ("ere", self._take())
        if self._accept("$"):
            return ("field", self._postfix())
        if self._accept("("):
            saved, self._no_greater = self._no_greater, False
            items = self._list(")")
            self._no_greater = saved
            return ("group", items) if len(items) > 1 else ("paren", items[0])
        if kind == "call":
            name = self._take()
            self._expect("(")
            return ("call", name, self._list(")"))
        if kind == "name":
            name = self._take()
            if name in FUNCTIONS:
                if not self._accept("("):
                    return ("builtin", name, [])
                return ("builtin", name, self._list(")"))
            if self._accept("["):
                return ("index", name, self._list("]"))
            return ("var", name)
        if self._accept("getline"):
            target = None
            if self._kind == "name" or self._text == "$":
                target = self._primary()
            if self._accept("<"):
                return ("getline", target, self._primary())
            return ("getline", target, None)
        raise Problem(f"syntax error near {self._tokens[self._at][1] or 'end of program'!r}")
