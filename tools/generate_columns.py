"""Make apiserver/tables/columns.json: the column definitions that a real API server sends with its tables.

They are wire facts (names, types, formats, priorities, and the descriptions that go with them), read from recorded Table answers.

    tools/generate_columns.py ../shared/golden/api engine/kubesim/apiserver/tables/columns.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def resource_of(path: str) -> str:
    """ "deployments.apps" of /apis/apps/v1/namespaces/x/deployments."""
    parts = path.split("?", 1)[0].strip("/").split("/")
    group = parts[1] if parts[0] == "apis" else ""
    rest = parts[3:] if group else parts[2:]
    name = rest[2] if rest[0] == "namespaces" and len(rest) > 2 else rest[0]
    return f"{name}.{group}" if group else name


def main(folder: Path, target: Path) -> None:
    texts: list[str] = []
    tables: dict[str, list[list[object]]] = {}
    for path in sorted(folder.glob("*/*.json")):
        recording = json.loads(path.read_text())
        body = recording.get("response_body")
        if not isinstance(body, dict) or body.get("kind") != "Table":
            continue
        rows = []
        for column in body["columnDefinitions"]:
            if column["description"] not in texts:
                texts.append(column["description"])
            at = texts.index(column["description"])
            rows.append([column["name"], column["type"], column["format"], column["priority"], at])
        tables[resource_of(recording["request_line"].split()[1])] = rows
    lines = [f"  {json.dumps(name)}: {json.dumps(rows)}" for name, rows in sorted(tables.items())]
    words = ",\n".join("  " + json.dumps(text) for text in texts)
    target.write_text('{"descriptions": [\n' + words + '\n], "tables": {\n' + ",\n".join(lines) + "\n}}\n")
    print(len(tables), "tables")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
