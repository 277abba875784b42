"""Is a script whole, and if it is wrong, what does bash say?

The kept parser takes what is open as closed at the end, and its messages are its own.  So quotes and brackets are looked
at here first, and its complaints are put in bash's words (parse.y: report_syntax_error).
"""

from __future__ import annotations

import re
from typing import Any

from kubesim.shell import kept

HEREDOC = re.compile(r"<<(-?)[ \t]*(?:'([^']*)'|\"([^\"]*)\"|\\?([\w.-]+))")
CLOSING = {"(": ")", "{": "}", "[": "]", '"': '"', "'": "'", "`": "`"}
TOKEN = re.compile(r"&&|\|\||;;|<<|>>|\$?\w+|\S")
UNEXPECTED_END = "syntax error: unexpected end of file"


class Wrong(Exception):
    """The script cannot be parsed; the message is bash's.  `more`: further lines could make it right."""

    def __init__(self, message: str, more: bool = False) -> None:
        super().__init__(message)
        self.more = more


def parse(script: str) -> Any:
    """The script's tree; raises Wrong."""
    opened = _unclosed(script)
    if opened == "<<":
        pass  # bash warns and takes the end of the file as the end of the here-document
    elif opened:
        raise Wrong(f"unexpected EOF while looking for matching `{opened}'", more=True)
    try:
        return kept.parser.parse(script)
    except kept.parser.ParseException as error:
        raise _in_bash_words(script, str(error)) from None
    except RecursionError:
        raise Wrong("syntax error: nested too deeply") from None


def is_whole(text: str) -> bool:
    """False while bash would ask for another line: an open quote, loop, here-document, or a backslash at the end."""
    if re.search(r"(?<!\\)(?:\\\\)*\\$", text) or _unclosed(text):
        return False
    try:
        parse(text)
    except Wrong as wrong:
        return not wrong.more
    return True


def _in_bash_words(script: str, message: str) -> Wrong:
    if "target for redirection" in message:
        return Wrong("syntax error near unexpected token `newline'")
    if message.startswith("Expected"):
        return Wrong(UNEXPECTED_END, more=True)
    place = re.search(r"at line (\d+), column (\d+)", message)
    if place is None:
        return Wrong(f"syntax error: {message}")
    lines = script.split("\n")
    line = lines[min(int(place[1]), len(lines)) - 1]
    token = TOKEN.search(line, max(0, int(place[2]) - 1))
    return Wrong(f"syntax error near unexpected token `{token[0] if token else 'newline'}'")


def _unclosed(text: str) -> str:
    """What is still to come at the end: a quote, a bracket, "<<" for a here-document, or ""."""
    stack: list[str] = []
    documents: list[tuple[str, bool]] = []
    at = 0
    while at < len(text):
        char = text[at]
        inside = stack[-1] if stack else ""
        if inside == "'":
            if char == "'":
                stack.pop()
            at += 1
            continue
        if char == "\\":
            at += 2
            continue
        if char == "\n" and documents and inside not in ('"', "`"):
            at = _skip_documents(text, at + 1, documents)
            if at < 0:
                return "<<"
            continue
        if inside and char == CLOSING[inside]:
            stack.pop()
        elif char in '"`' or (char == "'" and inside != '"'):
            stack.append(char)
        elif text.startswith(("$(", "${"), at):
            stack.append(text[at + 1])
            at += 1
        elif inside != '"':
            if char == "#" and (at == 0 or text[at - 1] in " \t\n;(&|") and inside != "{":
                end = text.find("\n", at)
                at = len(text) if end < 0 else end
                continue
            if char == "(" and inside in ("(",):
                stack.append("(")
            elif char == "{" and inside == "{":
                stack.append("{")
            elif char == "(" and (text.startswith("((", at) or re.search(r"\w\+?=$", text[:at])):
                stack.append("(")
            elif text.startswith("<<", at) and not text.startswith("<<<", at) and inside != "(":
                found = HEREDOC.match(text, at)
                if found:
                    documents.append((found[2] or found[3] or found[4] or "", bool(found[1])))
                    at = found.end()
                    continue
            elif text.startswith("<<<", at):
                at += 3
                continue
        at += 1
    if stack:
        return CLOSING[stack[-1]]
    return "<<" if documents else ""


def _skip_documents(text: str, at: int, documents: list[tuple[str, bool]]) -> int:
    """Where the here-documents that begin here have ended; -1 if one has not."""
    while documents:
        word, tabs = documents.pop(0)
        while True:
            if at > len(text):
                return -1
            end = text.find("\n", at)
            line = text[at:] if end < 0 else text[at:end]
            last = end < 0
            at = len(text) + 1 if last else end + 1
            if (line.lstrip("\t") if tabs else line) == word:
                break
            if last:
                return -1
    return at
