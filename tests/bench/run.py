"""`make bench`: measurements as JSON.  Counts and CPU seconds of this process; never asserted in a test.

Sides that are compared are measured in one run.  Memory is the peak of a process of its own, less a bare interpreter's.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import answers
import rules

REPEATS = 5


def cpu(work: Callable[[], Any], repeats: int = REPEATS) -> float:
    """The median CPU seconds of some runs, each begun without the garbage of the one before."""
    times = []
    for _ in range(repeats):
        gc.collect()
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return statistics.median(times)


def resident(code: str) -> float:
    """The resident memory, in MB, of a fresh interpreter that ran this code."""
    # Linux tells what is resident now; elsewhere the peak has to do.  (Linux' own ru_maxrss begins with the parent's.)
    probe = (
        "import pathlib, resource, sys\n"
        "status = pathlib.Path('/proc/self/status')\n"
        "if status.exists():\n"
        "    print(int(status.read_text().split('VmRSS:')[1].split()[0]) / 1024)\n"
        "else:\n"
        "    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 / 1024)\n"
    )
    done = subprocess.run([sys.executable, "-c", f"{code}\n{probe}"], capture_output=True, text=True, check=True)
    return float(done.stdout)


def boot(preset: str) -> dict[str, float]:
    from kubesim.cluster import Cluster

    start = time.process_time()
    cluster = Cluster(preset)
    first = time.process_time() - start
    return {
        "first_boot_cpu_seconds": first,
        "boot_cpu_seconds": cpu(lambda: Cluster(preset)),
        "virtual_seconds": cluster.world.now - cluster.preset.birth_seconds,
    }


def expose_to_answer(preset: str) -> dict[str, float]:
    """From `kubectl expose` to the first answered `curl`, in CPU and in virtual seconds."""
    from kubesim.cluster import Cluster

    cluster = Cluster(preset)
    cluster.shell("kubectl create deployment web --image=nginx --replicas=3")
    cluster.settle()
    start, born = time.process_time(), cluster.world.now
    result = cluster.shell(
        "kubectl expose deployment web --port=80 >/dev/null;"
        "until curl -s --max-time 1 $(kubectl get svc web -o jsonpath='{.spec.clusterIP}') | grep -q title; do sleep 0.1; done"
    )
    if result.exit_code:
        raise RuntimeError(result.stderr)
    return {"cpu_seconds": time.process_time() - start, "virtual_seconds": cluster.world.now - born}


def walks(preset: str, count: int = 2000) -> dict[str, float]:
    """Round trips pod -> ClusterIP -> pod through the rendered rules, a second of CPU."""
    from kubesim.cluster import Cluster

    cluster = Cluster(preset)
    cluster.shell(
        "kubectl create deployment web --image=nginx --replicas=3; kubectl expose deployment web --port=80;"
        "kubectl run client --image=nginx"
    )
    cluster.settle()
    address = cluster.shell("kubectl get svc web -o jsonpath='{.spec.clusterIP}'").stdout
    machine = cluster.machine("pod/client")

    async def connect() -> None:
        for _ in range(count):
            connection = await machine.net.connect(address, 80)
            connection.close()

    start = time.process_time()
    cluster.run(connect())
    connections = time.process_time() - start
    start = time.process_time()
    for _ in range(200):
        cluster.trace("pod/client", f"http://{address}")
    traced = time.process_time() - start
    return {"connections_per_cpu_second": count / connections, "traces_per_cpu_second": 200 / traced}


def memory(preset: str) -> dict[str, float]:
    bare = resident("pass")
    imported = resident("import kubesim.cluster")
    idle = resident(f"from kubesim.cluster import Cluster; c = Cluster({preset!r})")
    return {
        "bare_interpreter_mb": bare,
        "imported_over_bare_mb": imported - bare,
        "idle_cluster_over_bare_mb": idle - bare,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="kind")
    parser.add_argument(
        "--services", type=int, nargs="*", default=rules.SIZES, metavar="N", help="rules and walks at N Services each"
    )
    parser.add_argument(
        "--without-api", action="store_true", help="leave the API server's part away: it takes a minute"
    )
    parser.add_argument(
        "--grading", type=int, metavar="N", help="only: N submissions by kubegrade and by nbgrader autograde"
    )
    parser.add_argument("--nbgraders", type=int, metavar="N", help="of them, how many nbgrader gets (default: all)")
    parser.add_argument("--class", type=int, dest="many", metavar="N", help="only: the memory that N submissions take")
    asked = parser.parse_args()
    if asked.grading or asked.many:
        import grading

        done = (
            grading.measure(asked.grading, asked.nbgraders or asked.grading)
            if asked.grading
            else grading.many(asked.many)
        )
        print(json.dumps(done, indent=2))
        return
    preset = asked.preset
    figures = {
        "python": platform.python_version(),
        "preset": preset,
        "boot": boot(preset),
        "expose_to_first_answer": expose_to_answer(preset),
        "walks": walks(preset),
        "memory": memory(preset),
        "dns": answers.measure(preset),
    }
    if not asked.without_api:
        import api

        figures["api"] = api.measure()
    if asked.services:
        figures["rules"] = rules.measure(tuple(asked.services))
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
