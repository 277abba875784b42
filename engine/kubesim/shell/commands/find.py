"""find: -name -iname -path -type -maxdepth -mindepth -empty -size -newer -not, -o, -print, -print0, -delete, -exec"""

from __future__ import annotations

import fnmatch
import posixpath
from collections.abc import Callable

from kubesim.files import Directory, File, Link
from kubesim.shell.context import Context, Usage, not_simulated

Test = Callable[[str], bool]


async def run(ctx: Context) -> int:
    args = list(ctx.args)
    roots = []
    while args and not args[0].startswith(("-", "(", "!", ")")):
        roots.append(args.pop(0))
    return await _Find(ctx, roots or ["."], args).all()


class _Find:
    def __init__(self, ctx: Context, roots: list[str], words: list[str]) -> None:
        self.ctx = ctx
        self.roots = roots
        self.words = words
        self.deepest = 1 << 30
        self.shallowest = 0
        self.actions: list[tuple[str, list[str]]] = []
        self.root = ""

    async def all(self) -> int:
        test = self._alternatives()
        if self.words:
            raise Usage(f"find: paths must precede expression: `{self.words[0]}'\n")
        actions = self.actions or [("-print", [])]
        status = 0
        gathered: dict[int, list[str]] = {}
        for root in self.roots:
            if self.ctx.files.node(self.ctx.path(root), follow=False) is None:
                self.ctx.complain(f"find: ‘{root}’: No such file or directory")
                status = 1
                continue
            paths = list(self._below(root, 0))
            if any(name == "-delete" for name, _ in actions):
                paths.reverse()
            for path in paths:
                if test(path):
                    for number, (name, words) in enumerate(actions):
                        if name == "-exec+":
                            gathered.setdefault(number, []).append(path)
                        else:
                            await self._act(name, words, path)
        for number, paths in gathered.items():
            words = actions[number][1]
            await self.ctx.call([each for word in words for each in (paths if word == "{}" else [word])])
        return status

    def _below(self, path: str, depth: int):  # type: ignore[no-untyped-def]
        if depth >= self.shallowest:
            yield path
        node = self.ctx.files.node(self.ctx.path(path), follow=depth == 0)
        if isinstance(node, Directory) and depth < self.deepest:
            for name in sorted(node.names):
                yield from self._below(posixpath.join(path, name), depth + 1)

    def _alternatives(self) -> Test:
        parts = [self._all()]
        while self.words[:1] in (["-o"], ["-or"]):
            self.words.pop(0)
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else lambda path: any(part(path) for part in parts)

    def _all(self) -> Test:
        parts: list[Test] = []
        while self.words and self.words[0] not in ("-o", "-or", ")"):
            word = self.words.pop(0)
            if word in ("-a", "-and"):
                continue
            if word in ("!", "-not"):
                inner = self._test(self.words.pop(0))
                parts.append(lambda path, inner=inner: not inner(path))  # type: ignore[misc]
            elif word == "(":
                parts.append(self._alternatives())
                if self.words[:1] == [")"]:
                    self.words.pop(0)
            else:
                parts.append(self._test(word))
        return lambda path: all(part(path) for part in parts)

    def _value(self, word: str) -> str:
        if not self.words:
            raise Usage(f"find: missing argument to `{word}'\n")
        return self.words.pop(0)

    def _test(self, word: str) -> Test:
        if word in ("-print", "-print0", "-delete", "-ls", "-quit", "-prune"):
            if word in ("-ls", "-quit", "-prune"):
                raise not_simulated(self.ctx, word)
            self.actions.append((word, []))
            return _true
        if word in ("-exec", "-execdir"):
            words = []
            while self.words and self.words[0] not in (";", "+"):
                words.append(self.words.pop(0))
            end = self._value(word)
            self.actions.append(("-exec+" if end == "+" else "-exec", words))
            return _true
        value = self._value(word)
        files = self.ctx.files
        if word == "-maxdepth":
            self.deepest = int(value)
            return _true
        if word == "-mindepth":
            self.shallowest = int(value)
            return _true
        if word in ("-name", "-iname"):
            fold = word == "-iname"
            return lambda path: fnmatch.fnmatchcase(
                posixpath.basename(path.rstrip("/")).lower() if fold else posixpath.basename(path.rstrip("/")),
                value.lower() if fold else value,
            )
        if word in ("-path", "-wholename"):
            return lambda path: fnmatch.fnmatchcase(path, value)
        if word == "-type":
            kinds = tuple({"f": File, "d": Directory, "l": Link}[each] for each in value.split(",") if each in "fdl")
            return lambda path: isinstance(files.node(self.ctx.path(path), follow=False), kinds)
        if word == "-newer":
            other = getattr(files.node(self.ctx.path(value)), "mtime", 0.0)
            return lambda path: getattr(files.node(self.ctx.path(path)), "mtime", 0.0) > other
        raise not_simulated(self.ctx, word)

    async def _act(self, name: str, words: list[str], path: str) -> None:
        if name == "-exec":
            await self.ctx.call([word.replace("{}", path) for word in words])
        elif name == "-delete":
            self.ctx.files.remove(self.ctx.path(path))
        else:
            self.ctx.out.write(path + ("\0" if name == "-print0" else "\n"))


def _true(path: str) -> bool:
    return True
