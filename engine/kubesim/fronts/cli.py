"""The `kubesim` command."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from kubesim import presets
from kubesim.errors import LearnerError

PRESET = click.option(
    "--preset", default="kind", show_default=True, metavar="P", help="Which cluster; `kubesim presets` lists them."
)
SEED = click.option("--seed", default=1, show_default=True, metavar="N", help="The same seed gives the same bytes.")


class Commands(click.Group):
    """Shows a learner's errors as they are: a message and a remedy, no traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except LearnerError as error:
            click.echo(f"kubesim: {error}", err=True)
            ctx.exit(1)
        except KeyboardInterrupt:
            ctx.exit(130)
        except BrokenPipeError:
            # `kubesim trace ... | head`: the reader has what it wanted.
            sys.stderr.close()
            ctx.exit(141)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="kubewalk")
def main() -> None:
    """A Kubernetes cluster that lives inside Python: every packet, every rule, nothing to install."""


@main.command(name="presets")
def list_presets() -> None:
    """The kinds of cluster there are."""
    for name in presets.names():
        preset = presets.load(name)
        click.echo(f"{name:10} {preset.version:17} {preset.title}")


@main.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
def manifests(names: tuple[str, ...]) -> None:
    """Print manifests that come along, for kubectl apply -f -; without a name, which there are."""
    from kubesim.presets import bundles

    click.echo(
        "---\n".join(bundles.text(name) for name in names) if names else "\n".join(bundles.BUNDLES), nl=not names
    )


@main.command()
@PRESET
@SEED
@click.option("-c", "script", metavar="SCRIPT", help="Run this script and end; its time is virtual.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help='Read {"command": ...} lines, answer {"stdout", "stderr", "exit_code"} lines.',
)
def shell(preset: str, seed: int, script: str | None, as_json: bool) -> None:
    """A terminal on the cluster's first node."""
    from kubesim.cluster import Cluster
    from kubesim.fronts import console

    cluster = Cluster(preset, seed)
    if as_json:
        console.json_lines(cluster, sys.stdin, sys.stdout)
    elif script is not None:
        sys.exit(console.script(cluster, script, sys.stdout, sys.stderr))
    elif not sys.stdin.isatty():
        sys.exit(console.script(cluster, sys.stdin.read(), sys.stdout, sys.stderr))
    else:
        sys.exit(console.interactive(cluster))


@main.command()
@click.option(
    "--preset",
    default=None,
    metavar="P",
    help="Which cluster; `kubesim presets` lists them.  [default: what --state holds, else kind]",
)
@SEED
@click.option("--port", default=0, show_default=True, metavar="PORT", help="TCP port; 0 takes a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Where to listen.")
@click.option(
    "--kubeconfig",
    default="",
    metavar="FILE",
    help="Where to write the kubeconfig; default: a new file in the temporary folder.",
)
@click.option("--speed", default=1.0, show_default=True, metavar="X", help="Virtual seconds a wall second.")
@click.option(
    "--dns-port", type=int, default=None, metavar="PORT", help="Answer DNS there, over UDP and TCP; 0 takes a free one."
)
@click.option(
    "--secure/--insecure",
    "secure",
    default=None,
    help="HTTPS with tokens and client certificates, or plain HTTP for everybody on this machine.  "
    "[default: secure; for the presets bare and bare-dual insecure]",
)
@click.option(
    "--user",
    "users",
    multiple=True,
    metavar="NAME[:GROUP,...]",
    help="Give this user a client certificate, and a context in the kubeconfig; RBAC says what it may do.",
)
@click.option(
    "--state",
    default="",
    metavar="FILE",
    help="Begin as this file says, if there is one; save there at the end and on SIGUSR1.",
)
def serve(
    preset: str | None,
    seed: int,
    port: int,
    host: str,
    kubeconfig: str,
    speed: float,
    dns_port: int | None,
    secure: bool | None,
    users: tuple[str, ...],
    state: str,
) -> None:
    """The API server on a real port, for real kubectl; with --dns-port the cluster's DNS too, for real dig."""
    from kubesim.fronts import serve as server

    server.serve(
        preset,
        seed,
        host=host,
        port=port,
        kubeconfig=kubeconfig,
        speed=speed,
        dns_port=dns_port,
        insecure=None if secure is None else not secure,
        people=users,
        state=state,
    )


@main.command()
@PRESET
@SEED
@click.option("-c", "script", default="", metavar="SCRIPT", help="A script that sets the scene first.")
@click.option("--json", "form", flag_value="json", help="The trace as JSON.")
@click.option("--dot", "form", flag_value="dot", help="The picture as Graphviz' DOT text.")
@click.option("--svg", "form", flag_value="svg", help="The picture as SVG.")
@click.option("--branches", is_flag=True, help="Every way that a random choice can go, with its probability.")
@click.option("--lookups", is_flag=True, help="The ways of the DNS exchanges too, step by step.")
@click.argument("source")
@click.argument("target")
def trace(
    preset: str, seed: int, script: str, form: str | None, branches: bool, lookups: bool, source: str, target: str
) -> None:
    """Follow a packet.

    SOURCE is pod/NAME, pod/NAMESPACE/NAME, node/NAME or outside; TARGET is what curl would be given: http://deploy1,
    http://10.96.0.1:443, 10.244.1.2:8080, udp://10.96.0.10:53, icmp://10.244.1.2.
    """
    from kubesim.cluster import Cluster
    from kubesim.fronts import console, pictures

    cluster = Cluster(preset, seed)
    if script:
        code = console.script(cluster, script, sys.stderr, sys.stderr)
        if code:
            raise LearnerError(f"the setup script ended with exit code {code}", "Its output is above.")
        cluster.settle()
    traces = cluster.trace_branches(source, target) if branches else [cluster.trace(source, target)]
    click.echo(pictures.show(traces, form or "text", lookups), nl=False)


@main.command()
@click.option(
    "-f",
    "file",
    type=click.File(encoding="utf-8"),
    metavar="OBJECTS.yaml",
    help="Services, EndpointSlices and Nodes; - is standard input.",
)
@click.option("--node", default="", metavar="NAME", help="The node whose kube-proxy writes.")
@click.option(
    "--mode",
    default="iptables",
    show_default=True,
    type=click.Choice(["iptables", "nftables", "ipvs"]),
    help="kube-proxy's mode.",
)
@click.option(
    "--cluster-cidr", default="", metavar="C", help="The pods' range, one of each family with a comma between."
)
@click.option(
    "--node-ip", default="", metavar="IP", help="The node's address, where no Node among the objects says it."
)
@click.option(
    "--json", "as_json", is_flag=True, help="Read one recorded case on standard input, answer its rules and packets."
)
def rules(file: Any, node: str, mode: str, cluster_cidr: str, node_ip: str, as_json: bool) -> None:
    """What kube-proxy would write for some objects."""
    from kubesim.proxy import case

    if as_json:
        try:
            given = json.load(sys.stdin)
        except ValueError as error:
            raise LearnerError(f"standard input is not JSON: {error}") from None
        click.echo(json.dumps(case.run_case(given)))
        return
    if file is None or not node:
        raise LearnerError(
            "kubesim rules needs -f OBJECTS.yaml and --node NAME", "Or --json, and a case on standard input."
        )
    click.echo(case.rules_for(manifest(file), node, mode, cluster_cidr, node_ip), nl=False)


class PassThrough(click.Command):
    """Leaves its arguments, flags and "--" as they are."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.params["args"] = args
        return []


@main.command(name="kubectl", cls=PassThrough)
def kubectl(args: list[str]) -> None:
    """kubectl in Python, for any cluster: `kubesim kubectl get pods`."""
    from kubesim.fronts import kubectl as front

    sys.exit(front.run(args))


def manifest(file: Any) -> list[dict[str, Any]]:
    """The objects of a YAML file, with those of Lists taken out of them."""
    import yaml

    try:
        documents = [each for each in yaml.safe_load_all(file) if each is not None]
    except yaml.YAMLError as error:
        raise LearnerError(f"{file.name}: not YAML: {error}") from None
    found: list[dict[str, Any]] = []
    for document in documents:
        if not isinstance(document, dict):
            raise LearnerError(f"{file.name}: a document is not an object: {str(document)[:60]!r}")
        items = document.get("items") if document.get("kind", "").endswith("List") else None
        found += items if items is not None else [document]
    return found
