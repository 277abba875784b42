"""The Job for Kubernetes: what it holds, and that an API server takes it."""

from __future__ import annotations

import pytest
import yaml
from click.testing import CliRunner

from kubegrade import cli
from kubesim.cluster import Cluster


@pytest.fixture(scope="module")
def printed():
    words = [
        "job",
        "--image",
        "registry.example/kubewalk:1",
        "--completions",
        "8",
        "--parallelism",
        "3",
        "--",
        "--seed-by",
        "student",
    ]
    done = CliRunner().invoke(cli.main, words)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def objects(printed):
    return {each["kind"]: each for each in yaml.safe_load_all(printed)}


@pytest.fixture(scope="module")
def cluster(printed):
    made = Cluster("kind", 1)
    made.shell(f"cat > job.yaml <<'END_OF_JOB'\n{printed}\nEND_OF_JOB\n")
    return made


def test_each_pod_has_its_own_share(objects):
    spec = objects["Job"]["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 8, 3)
    assert " ".join(spec["template"]["spec"]["containers"][0]["command"]) == (
        "kubegrade grade /course/submitted --jobs 1 --share $(JOB_COMPLETION_INDEX)/8 "
        "--gradebook /results/gradebook-$(JOB_COMPLETION_INDEX).db --seed-by student"
    )


def test_a_pod_may_do_as_little_as_there_is(objects):
    pod = objects["Job"]["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert set(container["resources"]["limits"]) == {"cpu", "memory", "ephemeral-storage"}
    assert container["volumeMounts"][0] == {"name": "course", "mountPath": "/course", "readOnly": True}
    # All packets of these pods, in and out, and no rule that lets one pass.
    policy = objects["NetworkPolicy"]["spec"]
    assert policy == {
        "podSelector": {"matchLabels": objects["Job"]["spec"]["template"]["metadata"]["labels"]},
        "policyTypes": ["Ingress", "Egress"],
    }


def test_the_api_server_takes_it(cluster):
    done = cluster.shell("kubectl apply --dry-run=server --validate=strict -f job.yaml")
    assert (done.stdout, done.stderr) == (
        "serviceaccount/kubegrade created (server dry run)\n"
        "networkpolicy.networking.k8s.io/kubegrade created (server dry run)\n"
        "job.batch/kubegrade created (server dry run)\n",
        "",
    )


def test_the_api_server_would_not_take_another(cluster):
    done = cluster.shell("sed 's/completions: 8/completions: -8/' job.yaml | kubectl apply --dry-run=server -f -")
    assert "job.batch/kubegrade created" not in done.stdout
    assert "spec.completions" in done.stderr
    done = cluster.shell("sed 's/runAsNonRoot/runAsNoRoot/' job.yaml | kubectl apply --dry-run=server -f -")
    assert 'unknown field "spec.template.spec.securityContext.runAsNoRoot"' in done.stderr
