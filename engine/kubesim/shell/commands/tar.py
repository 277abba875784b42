"""tar: c, x, t with -f FILE or -, z, C, v: what `kubectl cp` needs, and people type."""

from __future__ import annotations

import gzip
import io
import posixpath
import tarfile

from kubesim.files import Directory, File, Link
from kubesim.shell.context import Context, Usage, reason
from kubesim.shell.streams import decode, encode


async def run(ctx: Context) -> int:
    args = list(ctx.args)
    if args and not args[0].startswith("-"):
        args[0] = "-" + args[0]
    mode, name, folder, verbose, packed = "", "-", ".", False, False
    names: list[str] = []
    strip = 0
    while args:
        arg = args.pop(0)
        if arg.startswith("--"):
            key, _, value = arg[2:].partition("=")
            if key == "directory":
                folder = value or args.pop(0)
            elif key == "file":
                name = value or args.pop(0)
            elif key in ("create", "extract", "list"):
                mode = key[0] if key != "extract" else "x"
            elif key == "strip-components":
                strip = int(value or args.pop(0))
            elif key == "gzip":
                packed = True
            elif key not in ("no-same-owner", "no-same-permissions", "overwrite", "verbose", "warning", ""):
                raise Usage(f"tar: unrecognized option '{arg}'\n", 64)
        elif arg.startswith("-") and len(arg) > 1:
            for letter in arg[1:]:
                if letter in "cxt":
                    mode = letter
                elif letter == "f":
                    name = args.pop(0)
                elif letter == "C":
                    folder = args.pop(0)
                elif letter == "v":
                    verbose = True
                elif letter == "z":
                    packed = True
                elif letter not in "mpoPk":
                    raise Usage(f"tar: invalid option -- '{letter}'\n", 64)
        else:
            names.append(arg)
    base = ctx.path(folder)
    if mode == "c":
        return _create(ctx, base, names, name, packed, verbose)
    if mode not in ("x", "t"):
        raise Usage("tar: You must specify one of the '-Acdtrux', '--delete' or '--test-label' options\n", 2)
    data = encode(await ctx.stdin.read()) if name == "-" else ctx.files.read_bytes(ctx.path(name))
    return _read(ctx, base, names, data, mode, verbose, strip)


def _create(ctx: Context, base: str, names: list[str], output: str, packed: bool, verbose: bool) -> int:
    buffer = io.BytesIO()
    status = 0
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in names:
            path = ctx.files.join(base, name)
            if not ctx.files.exists(path):
                ctx.complain(f"tar: {name}: Cannot stat: No such file or directory")
                status = 2
                continue
            _add(ctx, archive, path, name.lstrip("/"), verbose)
    if status:
        ctx.complain("tar: Exiting with failure status due to previous errors")
    data = gzip.compress(buffer.getvalue(), mtime=0) if packed else buffer.getvalue()
    if output == "-":
        ctx.out.write(decode(data))
    else:
        ctx.files.write(ctx.path(output), data)
    return status


def _add(ctx: Context, archive: tarfile.TarFile, path: str, name: str, verbose: bool) -> None:
    node = ctx.files.node(path, follow=False)
    info = tarfile.TarInfo(name)
    info.uname = info.gname = "root"
    if isinstance(node, Link):
        info.type, info.linkname = tarfile.SYMTYPE, node.target
    elif node is not None:
        info.mode, info.mtime = node.mode, int(node.mtime)
    if verbose:
        ctx.complain(name)
    if isinstance(node, File):
        info.size = len(node.data)
        archive.addfile(info, io.BytesIO(node.data))
        return
    if isinstance(node, Directory):
        info.type = tarfile.DIRTYPE
    archive.addfile(info)
    if isinstance(node, Directory):
        for each in sorted(node.names):
            _add(ctx, archive, posixpath.join(path, each), posixpath.join(name, each), verbose)


def _read(ctx: Context, base: str, names: list[str], data: bytes, mode: str, verbose: bool, strip: int) -> int:
    try:
        archive = tarfile.open(fileobj=io.BytesIO(data))  # noqa: SIM115  a buffer needs no closing
    except tarfile.TarError:
        raise Usage(
            "tar: This does not look like a tar archive\ntar: Exiting with failure status due to previous errors\n", 2
        ) from None
    for info in archive.getmembers():
        if names and not any(
            info.name == each.rstrip("/") or info.name.startswith(each.rstrip("/") + "/") for each in names
        ):
            continue
        if mode == "t":
            ctx.print(info.name + ("/" if info.isdir() else ""))
            continue
        parts = info.name.split("/")[strip:]
        if not parts:
            continue
        path = ctx.files.join(base, "/".join(parts))
        if verbose:
            ctx.print(info.name)
        try:
            _extract(ctx, archive, info, path)
        except OSError as error:
            ctx.complain(f"tar: {info.name}: Cannot open: {reason(error)}")
            return 2
    return 0


def _extract(ctx: Context, archive: tarfile.TarFile, info: tarfile.TarInfo, path: str) -> None:
    if info.isdir():
        ctx.files.mkdir(path, parents=True)
        return
    ctx.files.mkdir(posixpath.dirname(path), parents=True)
    if info.issym():
        if ctx.files.node(path, follow=False) is not None:
            ctx.files.remove(path)
        ctx.files.symlink(info.linkname, path)
        return
    source = archive.extractfile(info)
    ctx.files.write(path, source.read() if source else b"", info.mode)
