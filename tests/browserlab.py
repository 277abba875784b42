"""A Jupyter server on a free port, and a Chromium that talks to nobody else."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")

HERE = "127.0.0.1"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
MARKS = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: sudo apt-get install chromium"),
    pytest.mark.xdist_group("browser"),
]


@contextmanager
def jupyter(app: str, *options: str, files: Path, scratch: Path, ready: str, **settings: Path) -> Iterator[str]:
    """`jupyter APP` over a folder of files; gives its URL once it answers at the path `ready`."""
    with socket.socket() as probe:
        probe.bind((HERE, 0))
        port = probe.getsockname()[1]
    own = {"JUPYTER_CONFIG_DIR": scratch / "config", "JUPYTER_DATA_DIR": scratch / "data", **settings}
    log = scratch / "log"
    with log.open("w") as output:
        server = subprocess.Popen(
            [
                *(sys.executable, "-m", "jupyter", app, "--no-browser", "--allow-root"),
                *(f"--ServerApp.root_dir={files}", f"--ServerApp.port={port}", "--ServerApp.port_retries=0"),
                *(f"--ServerApp.ip={HERE}", "--IdentityProvider.token=", *options),
            ],
            cwd=files,
            env=os.environ | {name: str(path) for name, path in own.items()},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait_for(f"http://{HERE}:{port}{ready}", server, log)
            yield f"http://{HERE}:{port}"
        finally:
            server.terminate()
            server.wait(30)


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    # A proxy in the environment is not for this computer's own addresses.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + 60
    while time.monotonic() < end and server.poll() is None:
        try:
            opener.open(url, timeout=5).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"the server did not start:\n{log.read_text()}")


@contextmanager
def chromium() -> Iterator[Any]:
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def keep_here(page: Any) -> None:
    """Lets a page talk to this computer only; `page.left` are the requests that would have gone elsewhere.

    It has two minutes for what it is waited for: other tests run beside.
    """
    page.set_default_timeout(120_000)
    page.left = []

    def guard(route: Any) -> None:
        url = urlsplit(route.request.url)
        if url.scheme in ("http", "https", "ws", "wss") and url.hostname != HERE:
            page.left.append(route.request.url)
            route.abort()
        else:
            route.continue_()

    page.route("**/*", guard)
