#!/usr/bin/env python3
"""Make docs/coverage.md: how far the API agrees with what a real one answered, every difference, and what is imitated.

usage: tools/coverage.py [--check]

Replays the recordings of ../shared (two minutes); `tests/api/test_recordings.py` does the same and keeps the page fresh.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "coverage.md"
SHARED = ROOT.parent / "shared"

HEAD = """\
# What of the Kubernetes API is imitated, and how closely

Made by `tools/coverage.py`; do not edit. `tests/api/test_recordings.py` fails where it is not fresh.

Recorded answers of a real kube-apiserver 1.36 (`../shared/golden`) are replayed and compared: status, headers, messages,
defaulted fields, table cells, the lines of watches. Values that each server chooses are masked.

"""

# Recordings that differ, and why.
KNOWN = {
    "01-discovery/028-openapi-v3-core": "descriptions are our own; the deprecated paths of /watch and some defaults are absent",
    "01-discovery/029-openapi-v3-apps": "as 028",
    "01-discovery/030-openapi-v3-networking": "as 028",
    "01-discovery/031-openapi-v3-discovery": "as 028",
    "07-errors/334-pod-immutable": "the message ends with a diff of Go's internal structs",
}
# Upstream's unit tests of the Services' storage that differ, by test, and why.
STORAGE = {
    "TestCreateInvalidClusterIPInputs": "asked beneath the API: its checks of the whole object are one by one there",
    "TestDeleteWithFinalizer": "asked beneath the API: what is sent as marked for deletion is not marked by sending it",
    "TestUpdateIPsFromSingleStack": "the address that it calls taken is one that the test itself has taken",
    "TestUpdateIPsFromDualStack": "its message shows addresses where it means families; ours shows the families",
    "TestFeatureSessionAffinity": "asked beneath the API, whose defaults set the field that it finds missing",
    "TestFeatureExternalTrafficPolicy": "asked beneath the API, whose defaults set the field that it finds missing",
}
RELEASES = (16, 22, 29, 36)


def levels(result: Any) -> dict[str, tuple[int, int]]:
    """folder -> (agreeing, all)."""
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for name, differences in result.cases:
        folder = name.rsplit("/", 1)[0] if "/" in name else name
        found[folder][0] += not differences
        found[folder][1] += 1
    return {folder: (good, every) for folder, (good, every) in found.items()}


def page(api: Any, services: dict[str, Any], endpoints: Any, storage: tuple[int, list[Any]]) -> str:
    """The page's text, of the results of the replays."""
    rows = [(f"api/{folder}", *level) for folder, level in sorted(levels(api).items())]
    for name, result in sorted(services.items()):
        rows.append((f"services/{name}", sum(not each for _, each in result.cases), len(result.cases)))
    rows.append(("endpoints", sum(not each for _, each in endpoints.cases), len(endpoints.cases)))
    good, every = (sum(row[column] for row in rows) for column in (1, 2))
    count, differing = storage
    failed = {name for name, *_ in differing}
    lines = ["| recordings | agree | of | |", "|---|---:|---:|---:|"]
    lines += [f"| {name} | {agree} | {all_} | {100 * agree / all_:.1f} % |" for name, agree, all_ in rows]
    lines.append(f"| **all** | **{good}** | **{every}** | **{100 * good / every:.1f} %** |")
    lines.append(
        f"| upstream's storage tests | {count - len(failed)} | {count} | {100 * (count - len(failed)) / count:.1f} % |"
    )
    return HEAD + "\n".join([*lines, "", *_differences(api, failed), *_imitated()]) + "\n"


def _differences(api: Any, storage: set[str]) -> list[str]:
    lines = ["## Every difference", "", "| recording | reason |", "|---|---|"]
    lines += [f"| api/{name} | {KNOWN.get(name, '**not explained**')} |" for name, found in api.cases if found]
    by_test: dict[str, int] = defaultdict(int)
    for name in sorted(storage):
        by_test[name.split("/")[0].split(" ")[0]] += 1
    lines += [
        f"| storage: {test} ({number}) | {STORAGE.get(test, '**not explained**')} |" for test, number in by_test.items()
    ]
    lines += [
        "",
        "What the replayer itself leaves out, it says when it is run; `compare/api_replay.py` has the list.",
        "",
    ]
    return lines


def _imitated() -> list[str]:
    from kubesim.apiserver.served import Served
    from kubesim.kubectl import main

    served = {minor: Served(minor) for minor in RELEASES}
    lines = ["## Resources", ""]
    lines += [
        "Those of 1.36, their verbs (C create, D delete and deletecollection, G get, L list, P patch, U update,",
        "",
    ]
    lines[-2] += " W watch), and their subresources."
    lines += ["| group and version | resource | verbs | subresources |", "|---|---|---|---|"]
    newest = served[RELEASES[-1]]
    for group, versions in newest.groups().items():
        for version in versions:
            for each in newest.resources(group, version):
                marks = "".join(verb[0].upper() for verb in sorted(set(each.verbs) - {"deletecollection"}))
                name = f"{group}/{version}" if group else version
                lines.append(f"| {name} | {each.plural} | {marks} | {', '.join(each.subresources)} |")
    lines += ["", "Custom resources come with their CustomResourceDefinitions.", "", "## Group versions by release", ""]
    every = sorted({(group, v) for one in served.values() for group, found in one.groups().items() for v in found})
    lines += [
        "| group and version | " + " | ".join(f"1.{minor}" for minor in RELEASES) + " |",
        "|---|" + "---|" * len(RELEASES),
    ]
    for group, version in every:
        there = ["x" if one.has(group, version) else "" for one in served.values()]
        lines.append(f"| {f'{group}/{version}' if group else version} | {' | '.join(there)} |")
    commands = ", ".join(f"`{name}`" for name in sorted(main.COMMANDS))
    lines += ["", "## kubectl", "", f"Commands: {commands}."]
    return lines


def run() -> str:
    sys.path[:0] = [str(ROOT / "tests/api"), str(ROOT / "engine")]
    import replaying
    import upstreamstorage

    services = {
        "single-stack": replaying.services(SHARED, "single-stack"),
        "dual-stack": replaying.services(SHARED, "dual-stack", "10.96.0.0/12,fd00:10:96::/112"),
    }
    return page(replaying.api(SHARED), services, replaying.endpoints(SHARED), upstreamstorage.differences(SHARED))


if __name__ == "__main__":
    made = run()
    if "--check" in sys.argv:
        sys.exit(0 if PAGE.read_text(encoding="utf-8") == made else f"{PAGE.name} is not fresh: run tools/coverage.py")
    PAGE.write_text(made, encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
