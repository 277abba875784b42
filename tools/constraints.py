"""Write `binder/constraints.txt`: the exact versions that `kubewalk[lab]` resolves to today.

    python tools/constraints.py

Asks pip for a resolution in a clean state (`--ignore-installed`, nothing is installed).
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "binder" / "constraints.txt"
HEAD = "# Made by tools/constraints.py: what kubewalk[lab] resolves to.  Do not edit.\n"


def resolve() -> list[str]:
    """`name==version` of every package that an installation brings, kubewalk left out."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--dry-run",
        "--quiet",
        "--ignore-installed",
        "--report",
        "-",
        f"{ROOT}[lab]",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    listed = json.loads(done.stdout)["install"]
    pins = [(each["metadata"]["name"].lower(), each["metadata"]["version"]) for each in listed]
    return sorted(f"{name}=={version}" for name, version in pins if name != "kubewalk")


if __name__ == "__main__":
    TARGET.write_text(HEAD + "\n".join(resolve()) + "\n", encoding="utf-8")
    print(f"wrote {TARGET.relative_to(ROOT)}")
