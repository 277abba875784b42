# ruff: noqa: E501
"""Notebooks that nobody should have to grade: attacks, accidents, and what editors make of files.

A row: name, what is handed in, the points of (one, guess, two), and what the report must say somewhere.  A callable is given
the submission's folder and the place outside that no submission may touch.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from gradelab import GUESS, ONE, TWO, cells, check, code, marks, notebook, text, work

# What a notebook that opens a door would have to print.
LEAK = "LEAKED:"
HONEST = (2, 1, 3)
NOTHING = (0, 0, 0)


def attack(source, one="", guess="", two=""):
    """The attack in a cell of its own, before all work."""
    return notebook(cells(one, guess, two, before=source))


def tried(*sources):
    """Each source is tried; what it gives is shouted."""
    body = "\n".join(f"try:\n    print({LEAK!r}, {each})\nexcept BaseException as e:\n    pass" for each in sources)
    return attack(f"import os, sys, socket, subprocess, glob\n{body}")


def with_metadata(**changes):
    told = cells(ONE, GUESS, TWO)
    for cell in told:
        if "nbgrader" in cell["metadata"]:
            cell["metadata"]["nbgrader"].update(changes)
    return notebook(told)


def without(*places):
    told = cells(ONE, GUESS, TWO)
    return notebook([cell for number, cell in enumerate(told) if number not in places])


def swapped():
    told = cells(ONE, GUESS, TWO)
    told[2]["metadata"], told[6]["metadata"] = told[6]["metadata"], told[2]["metadata"]
    return notebook(told)


def link_to_source(folder, outside):
    (folder / "90-small.ipynb").symlink_to(folder.parents[2] / "source" / "90-small" / "90-small.ipynb")


def linked_folder(folder, outside):
    folder.rmdir()
    folder.symlink_to(folder.parents[2] / "source" / "90-small")


def pipe(folder, outside):
    os.mkfifo(folder / "90-small.ipynb")


def nothing_at_all(folder, outside):
    return None


def a_folder_of_that_name(folder, outside):
    (folder / "90-small.ipynb").mkdir()


def renamed(folder, outside):
    (folder / "Untitled1.ipynb").write_bytes(notebook(cells(ONE, GUESS, TWO)))


def two_of_them(folder, outside):
    for name in ("a.ipynb", "b.ipynb"):
        (folder / name).write_bytes(notebook(cells(ONE, GUESS, TWO)))


def likely_one(folder, outside):
    (folder / "notes.ipynb").write_bytes(notebook([code("print(1)")]))
    (folder / "mine.ipynb").write_bytes(notebook(cells(ONE, GUESS, TWO)))


def huge(folder, outside):
    with (folder / "90-small.ipynb").open("wb") as file:
        file.truncate(40 << 20)


def data_beside(folder, outside):
    (folder / "data.txt").write_text("beside")
    (folder / "link.txt").symlink_to(outside / "secret.txt")
    body = f"print(open('data.txt').read())\ntry:\n    print({LEAK!r}, open('link.txt').read())\nexcept OSError: pass"
    (folder / "90-small.ipynb").write_bytes(attack(body, ONE))


def writes_outside(folder, outside):
    body = f"for name in ({str(outside / 'evil')!r}, '/tmp/kubegrade-evil', {str(folder / 'evil')!r}):\n"
    body += (
        "    try:\n        open(name, 'w').write('evil')\n    except OSError: pass\nopen('mine.txt', 'w').write('fine')"
    )
    (folder / "90-small.ipynb").write_bytes(attack(body, ONE))


def reads_secret(folder, outside):
    body = tried(f"open({str(outside / 'secret.txt')!r}).read()", f"os.listdir({str(outside)!r})")
    (folder / "90-small.ipynb").write_bytes(body)


def reads_course(folder, outside):
    root = folder.parents[2]
    paths = ("labs/90-small/checks.py", "source/90-small/90-small.ipynb", "gradebook.db", "submitted")
    body = tried(*(f"open({str(root / each)!r}).read()" for each in paths), f"os.listdir({str(root)!r})")
    (folder / "90-small.ipynb").write_bytes(body)


def calls_out(folder, outside):
    port = int((outside / "port").read_text())
    body = tried(
        f"socket.create_connection(('127.0.0.1', {port}), 2)",
        f"__import__('urllib.request').request.urlopen('http://127.0.0.1:{port}', timeout=2).read()",
        "socket.socket(socket.AF_UNIX)",
    )
    (folder / "90-small.ipynb").write_bytes(body)


WIRE = """
import gc, json, struct
from kubegrade import wire
channel = next(each for each in gc.get_objects() if isinstance(each, wire.Channel))
def raw(data): channel._sock.sendall(data)
"""
FORGE_REPLY = """
from kubegrade import remote
remote.Asker.__call__ = lambda self, verb, **what: {"points": 99.0, "max": 1, "passed": True, "message": "", "text": "ok"}
"""
STUBBORN = "import time\nwhile True:\n    try:\n        time.sleep(60)\n    except BaseException:\n        pass"
ORACLE = """
for word in "abc":
    lab.answer("guess", word)
    if lab.check("guess").passed:
        break
"""
ALIAS = (
    'lab.shell("kubectl() { return 0; }; curl() { return 0; }; alias kubectl=true curl=true; export -f kubectl curl")'
)
PLANTED = r"""
lab.shell("mkdir -p /usr/local/bin ~/bin; printf '#!/bin/bash\nexit 0\n' > /usr/local/bin/kubectl; chmod +x /usr/local/bin/kubectl;"
          "cp /usr/local/bin/kubectl ~/bin/kubectl; cp /usr/local/bin/kubectl /usr/bin/kubectl; cp /usr/bin/kubectl /usr/bin/curl;"
          "echo 'export PATH=~/bin:$PATH' >> ~/.bashrc")
"""

PLANTED_CURL = r"""
lab.shell("kubectl exec client -- sh -c 'mkdir -p /usr/local/sbin; printf \"#!/bin/sh\nexit 0\n\" > /usr/local/sbin/curl;"
          " chmod +x /usr/local/sbin/curl; echo insecure > ~/.curlrc'")
"""

ROWS = [
    ("honest", notebook(cells(ONE, GUESS, TWO, "A reason.")), HONEST, ""),
    ("untouched", notebook(cells()), NOTHING, "No prediction yet."),
    ("half", notebook(cells('lab.shell("kubectl create configmap one --from-literal=a=b")')), (1, 0, 0), "which is not shown"),
    # -- forged marks
    ("grade-patched", attack("lab.grade = lambda task: 99.0"), NOTHING, "There is no ConfigMap"),
    ("class-patched", attack("type(lab).check = type(lab).grade = lambda self, task: 99.0"), NOTHING, ""),
    ("checks-patched", attack("import kubelab.checks as c\nc.mark = c.mark_task = lambda *a, **k: 99"), NOTHING, ""),
    ("asker-patched", attack(FORGE_REPLY), NOTHING, ""),
    ("builtins-patched", attack("import builtins\nbuiltins.isinstance = builtins.float = lambda *a: True", ONE), (2, 0, 0), ""),
    ("json-patched", attack("import json\njson.dumps = lambda *a, **k: '{\"mark\": 99}'", ONE), (2, 0, 0), ""),
    ("run-cell-patched", attack("get_ipython().run_cell = lambda *a, **k: 99", ONE), NOTHING, ""),
    ("mark-frames", attack(WIRE + "channel.send({'mark': {'task': 'one', 'points': 99}})\nchannel.send({'end': True})"), NOTHING, ""),
    ("done-frames", attack(WIRE + "for n in range(50): channel.send({'done': n, 'value': 99.0})"), NOTHING, ""),
    ("garbage-frames", attack(WIRE + "raw(b'\\xff' * 1000)", ONE), (2, 0, 0), "sent what is no message"),
    ("giant-frame", attack(WIRE + "raw(struct.pack('>I', 1 << 31))", ONE), (2, 0, 0), "sent what is no message"),
    ("half-frame", attack(WIRE + "raw(struct.pack('>I', 1000) + b'{')", ONE), (2, 0, 0), ""),
    ("deep-json", attack(WIRE + "d = b'[' * 100000\nraw(struct.pack('>I', len(d)) + d)", ONE), (2, 0, 0), "no message"),
    ("not-json", attack(WIRE + "raw(struct.pack('>I', 4) + b'\\x80\\x04K.')", ONE), (2, 0, 0), "no message"),
    ("odd-asks", attack(WIRE + "for v in ('mark', '_mark', 'grade', '__init__', 5, None, {}): channel.send({'ask': v, 'number': []})"),
     NOTHING, ""),
    ("ask-flood", attack("for _ in range(30000):\n    try: lab.port.settle()\n    except Exception: pass", ONE), (2, 0, 0), ""),
    ("another-lab", attack("kubelab.open('02-clusterip')", ONE), (2, 0, 0), "cannot open another lab"),
    ("key-applied", attack("for f in ('solution', '../90-small/solution', '/etc', '.', 'manifests/../solution'):\n"
                           "    try: lab.apply(f)\n    except Exception: pass"), NOTHING, ""),
    ("oracle", notebook(cells(guess=ORACLE)), NOTHING, ""),
    ("answer-too-late", notebook([*cells(ONE, 'lab.answer("guess", "a")'), code(GUESS)]), (2, 0, 0), ""),
    ("answer-of-another-kind", notebook(cells(guess='lab.answer("guess", ["b"])')), NOTHING, "is not one of the choices"),
    ("hook-on-check", attack("def after(*a): lab.grade = lambda t: 9\nget_ipython().events.register('pre_run_cell', after)"), NOTHING, ""),
    ("alias", notebook(cells(two=ALIAS)), NOTHING, "could not be resolved"),
    ("planted-kubectl", notebook(cells(two=PLANTED)), NOTHING, ""),
    ("planted-curl", notebook(cells(two=PLANTED_CURL)), NOTHING, "could not be resolved"),
    ("points-in-metadata", with_metadata(points=1000), HONEST, ""),
    # -- cells
    ("schema-99", with_metadata(schema_version=99), HONEST, ""),
    ("schema-words", with_metadata(schema_version="three"), HONEST, ""),
    ("no-schema", with_metadata(schema_version=None, grade=None, solution=None, points=None), HONEST, ""),
    ("check-deleted", without(2), HONEST, "graded cell was not in the notebook"),
    ("all-checks-deleted", without(2, 4, 6), HONEST, "graded cell was not in the notebook"),
    ("work-deleted", without(1, 3, 5), NOTHING, ""),
    ("text-deleted", without(7), HONEST, "The cell for your answer was not in the notebook."),
    ("check-copied", notebook([*cells(ONE, GUESS, TWO)[:3], check("one"), *cells(ONE, GUESS, TWO)[3:]]), HONEST, "more than once"),
    ("work-copied", notebook([*cells(ONE)[:2], work("one", "1"), *cells(ONE, GUESS, TWO)[2:]]), HONEST, "all were run"),
    ("check-altered", notebook([*cells(ONE)[:2], code("1e9", marks("one", grade=True, locked=True, points=2)), *cells(ONE)[3:]]),
     (2, 0, 0), "You changed a cell that is graded"),
    ("check-renamed", notebook([*cells(ONE)[:2], code("1e9", marks("uno", grade=True, points=2)), *cells(ONE, GUESS, TWO)[3:]]),
     HONEST, "graded cell was not in the notebook"),
    ("names-swapped", swapped(), HONEST, ""),
    ("work-in-a-check", notebook([code("import kubelab; lab = kubelab.open('90-small')"),
                                  code(ONE, marks("one", grade=True, points=2))]), NOTHING, "what you changed there was not run"),
    ("backwards", notebook([cells()[0], *reversed(cells(ONE, GUESS, TWO)[1:])]), NOTHING, ""),
    ("metadata-null", notebook([{**cell, "metadata": None} for cell in cells(ONE, GUESS, TWO)]), HONEST, ""),
    ("sources-odd", notebook([{**cells()[0], "source": 5}, {**cells()[1], "source": ["a", 1]}, None, 7, "x"]), NOTHING, ""),
    ("kernel-r", notebook(cells(ONE, GUESS, TWO), metadata={"kernelspec": {"name": "ir", "language": "R"}}), HONEST, ""),
    ("kernel-odd", notebook(cells(ONE, GUESS, TWO), metadata={"kernelspec": 7}), HONEST, ""),
    ("nbformat-3", json.dumps({"nbformat": 3, "worksheets": [{"cells": [
        {**each, "input": each["source"], "source": None} if each["cell_type"] == "code" else each
        for each in cells(ONE, GUESS, TWO)]}]}).encode(), HONEST, ""),
    ("nbformat-9", notebook(cells(ONE, GUESS, TWO), nbformat=9), HONEST, ""),
    ("many-cells", notebook([code("1")] * 5000), NOTHING, "more than 2000 are not graded"),
    ("long-cell", notebook(cells("#" * (1 << 19), GUESS)), (0, 1, 0), "was not run"),
    ("byte-order-mark", b"\xef\xbb\xbf" + notebook(cells(ONE, GUESS, TWO)), HONEST, ""),
    # -- files
    ("truncated", notebook(cells(ONE, GUESS, TWO))[:-40], NOTHING, "it is not JSON"),
    ("empty", b"", NOTHING, "The notebook's file is empty."),
    ("binary", bytes(range(256)) * 10, NOTHING, "not text in UTF-8"),
    ("html", b"<html>Please log in</html>", NOTHING, "it is not JSON"),
    ("a-list", b"[1, 2]", NOTHING, "its JSON is no object"),
    ("no-cells", b'{"nbformat": 4}', NOTHING, "it has no cells"),
    ("deep-file", b"[" * 200_000, NOTHING, "it is not JSON"),
    ("link", link_to_source, NOTHING, "links are not followed"),
    ("linked-folder", linked_folder, NOTHING, "no folder with a notebook"),
    ("pipe", pipe, NOTHING, "is not a file"),
    ("folder", a_folder_of_that_name, NOTHING, "is not a file"),
    ("missing", nothing_at_all, NOTHING, "There is no notebook 90-small.ipynb."),
    ("renamed", renamed, HONEST, "The notebook was named Untitled1.ipynb"),
    ("two-files", two_of_them, NOTHING, "it is not clear which one counts"),
    ("likely-file", likely_one, HONEST, "The notebook was named mine.ipynb"),
    ("huge", huge, NOTHING, "more than 32 MB are not read"),
    ("data-beside", data_beside, (2, 0, 0), ""),
    # -- what ends, and what does not
    ("exit", notebook(cells("import os; os._exit(0)", GUESS, TWO)), (0, 1, 3), "exit code 0"),
    ("exit-after-work", notebook(cells(ONE + "\nimport os; os._exit(1)", GUESS, TWO)), HONEST, "exit code 1"),
    ("kill-myself", notebook(cells("import os; os.kill(os.getpid(), 9)", GUESS, TWO)), (0, 1, 3), ""),
    ("segfault", notebook(cells("import ctypes; ctypes.string_at(0)", GUESS, TWO)), (0, 1, 3), "signal 11"),
    ("abort", notebook(cells("import os; os.abort()", GUESS, TWO)), (0, 1, 3), "ended the notebook's process"),
    ("sys-exit", notebook(cells("import sys; sys.exit(1)", GUESS, "exit()\n" + TWO)), (0, 1, 3), ""),
    ("loop", notebook(cells("while True: pass", GUESS, TWO)), (0, 1, 3), "took longer than"),
    ("stubborn-loop", notebook(cells(STUBBORN, GUESS, TWO)), (0, 1, 3), "took longer than"),
    ("stuck-in-c", notebook(cells("'a' * 30 in 'b'\nimport re; re.match('(a+)+b', 'a' * 60)", GUESS, TWO)), (0, 1, 3), "took longer"),
    ("asleep", notebook(cells("import time; time.sleep(1000)", GUESS, TWO)), (0, 1, 3), "took longer than"),
    ("awaiting", notebook(cells("import asyncio\nawait asyncio.sleep(1000)", GUESS, TWO)), (0, 1, 3), "took longer than"),
    ("asks-a-person", notebook(cells("input('your name? ')", GUESS, TWO)), (0, 1, 3), ""),
    ("deep", notebook(cells("def f(): f()\nf()", GUESS, TWO)), (0, 1, 3), "RecursionError"),
    ("memory", notebook(cells("x = [bytearray(1 << 26) for _ in range(1000)]", GUESS, TWO)), (0, 1, 3), ""),
    ("output", notebook(cells("for _ in range(200): print('x' * 100000)\n" + ONE, GUESS, TWO)), HONEST, ""),
    ("stderr", notebook(cells("import sys; print('careful', file=sys.stderr)\n" + ONE, GUESS, TWO)), HONEST, ""),
    ("closed-stdout", notebook(cells("import sys, os; sys.stdout.close(); os.close(1)\n" + ONE, GUESS, TWO)), HONEST, ""),
    ("closed-files", notebook(cells("import os; os.closerange(0, 100)", GUESS, TWO)), (0, 1, 3), ""),
    ("bad-repr", notebook(cells("class E(Exception):\n  def __str__(self): raise self\n" + ONE + "\nraise E", GUESS, TWO)), HONEST, ""),
    ("threads", notebook(cells("import threading\nfor _ in range(20): threading.Thread(target=lambda: [0 for _ in iter(int, 1)],"
                               " daemon=True).start()\n", GUESS)), (0, 1, 0), ""),
    ("fork-bomb", notebook(cells("import os\nwhile True: os.fork()", GUESS, TWO)), (0, 1, 3), "PermissionError"),
    ("programs", notebook(cells("!sleep 1000 &\nimport subprocess; subprocess.Popen(['sleep', '98765'])", GUESS, TWO)), (0, 1, 3), ""),
    ("files", notebook(cells("for i in range(100000): open(f'f{i}', 'w').close()", GUESS, TWO)), (0, 1, 3), "OSError"),
    ("disk", notebook(cells("for i in range(100): open(f'f{i}', 'wb').write(bytes(10 << 20))", GUESS, TWO)), (0, 1, 3), "OSError"),
    ("shell-loop", notebook(cells('lab.shell("while true; do sleep 1; done")', GUESS, TWO)), (0, 1, 3), ""),
    ("shell-spin", notebook(cells('lab.shell("while :; do :; done")', GUESS, TWO)), (0, 1, 3), ""),
    ("shell-flood", notebook(cells('lab.shell("yes")', GUESS, TWO)), (0, 1, 3), ""),
    ("large-answers", attack("for i in range(12): lab.core.create_namespaced_config_map('default', {'metadata': {'name': f'x{i}'},"
                             " 'data': {'k': 'v' * 900000}})\ntry: lab.core.list_namespaced_config_map('default')\n"
                             "except Exception as e: print(e)", ONE), (2, 0, 0), "the answer is too large"),
    ("shell-memory", notebook(cells('lab.shell("x=a; while :; do x=$x$x; done")', GUESS, TWO)), (0, 1, 3), ""),
    ("wait-for-ever", notebook(cells("lab.port.wait(1e300)", GUESS, TWO)), (0, 1, 3), ""),
    ("resets", attack("for _ in range(100):\n    try: lab.reset()\n    except Exception as e: print(e); break", ONE), (2, 0, 0), ""),
    ("watches", attack("for _ in range(50):\n    try: lab.port._ask('api', method='GET', url='/api/v1/pods?watch=1', body='', headers={})\n"
                       "    except Exception as e: pass", ONE), (2, 0, 0), ""),
    ("objects", attack("import time\nend = time.time() + 1.5\nn = 0\nwhile time.time() < end:\n    n += 1\n    lab.core.create_namespaced_config_map("
                       "'default', {'metadata': {'name': f'x{n}'}, 'data': {'k': 'v' * 100000}})", ONE), (2, 0, 0), ""),
    ("sabotage", attack('lab.shell("kubectl delete deployment,pod,svc --all -A --force; kubectl delete node --all")'), NOTHING, ""),
    ("odd-requests", attack("for m, u in (('GET', '//'), ('get', ''), ('X', '/api\\x00'), ('GET', '/api/v1/pods/%ff/../..')):\n"
                            "    lab.port._ask('api', method=m, url=u, body='\\udcff', headers={'a': 1})", ONE), (2, 0, 0), ""),
    ("own-cluster", attack("from kubesim.cluster import Cluster\nprint(Cluster('bare').shell('echo mine').stdout)", ONE), (2, 0, 0), "mine"),
    # -- ways out
    ("secret", reads_secret, NOTHING, ""),
    ("course", reads_course, NOTHING, ""),
    ("outside", writes_outside, (2, 0, 0), ""),
    ("network", calls_out, NOTHING, ""),
    ("machine", tried("open('/etc/passwd').read()", "os.listdir('/')", "os.listdir('/proc')", "open('/proc/1/environ').read()",
                      "glob.glob('/root/*')[0]", "os.listdir(os.path.expanduser('~/..'))"),
     NOTHING, ""),
    ("environment", tried("os.environ['KUBEGRADE_TEST_SECRET']"), NOTHING, ""),
    ("signals", attack("import os, signal\nfor pid in (os.getppid(), -1, 0):\n    try: os.kill(pid, signal.SIGTERM)\n"
                       "    except OSError: pass", ONE), (2, 0, 0), ""),
    ("checks-in-memory", tried("sys.modules['kubelab_checks_90_small']",
                               "[o for o in __import__('gc').get_objects() if type(o).__name__ in ('Course', 'Hosted')][0]",
                               "[o for o in __import__('gc').get_objects() if isinstance(o, dict) and 'SECRET' in o"
                               " and 'experiment' in o][0]"), NOTHING, ""),
    ("processes", tried("os.fork()", "subprocess.run(['true'])", "os.execv('/bin/true', ['true'])", "os.posix_spawn('/bin/true', ['true'], {})",
                        "__import__('multiprocessing').Process().start()"),
     NOTHING, ""),
    ("kernel", attack(f"import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
                      f"for call in (101, 165, 272, 308, 321, 425, 41, 310):\n"
                      f"    if libc.syscall(call, 0, 0, 0, 0) >= 0: print({LEAK!r}, call)", ONE), (2, 0, 0), ""),
]  # fmt: skip


def write(row_input, folder: Path, outside: Path) -> None:
    """Hand the row's notebook in."""
    if callable(row_input):
        row_input(folder, outside)
    else:
        (folder / "90-small.ipynb").write_bytes(row_input)


__all__ = ["LEAK", "ROWS", "text", "write"]
