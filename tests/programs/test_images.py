"""Images by name, and what a container's command line starts."""

from __future__ import annotations

import importlib

import pytest

from kubesim.programs import entry, images, tokens
from kubesim.world import World


@pytest.mark.parametrize(
    "name",
    [
        "nginx",
        "nginx:1.27-alpine",
        "docker.io/library/nginx:latest",
        "docker.io/nginx",
        "library/nginx",
        "mirror.gcr.io/library/nginx:1.27",
        "public.ecr.aws/docker/library/nginx",
        "nginx:1.27@sha256:" + "0" * 64,
    ],
)
def test_one_image_has_many_names(name):
    assert images.find(name) is images.find("nginx")


def test_kubernetes_images_by_their_old_registry():
    assert images.find("k8s.gcr.io/kube-proxy:v1.16.1") is images.find("registry.k8s.io/kube-proxy:v1.36.2")
    assert images.find("k8s.gcr.io/coredns:1.6.2") is images.find("registry.k8s.io/coredns/coredns:v1.13.1")


@pytest.mark.parametrize("name", ["ngnix", "nginx/nginx", "example.com/nginx", "gcr.io/google-samples/hello-app:3.0"])
def test_there_is_no_such_image(name):
    assert images.find(name) is None


@pytest.mark.parametrize("name", ["", "NGINX", "nginx:", "nginx:a b", "nginx@sha256:12", "http://nginx"])
def test_what_is_no_image_name(name):
    with pytest.raises(ValueError, match="invalid reference format"):
        images.find(name)


def test_the_table_and_the_modules_agree():
    for module, names in images.MODULES.items():
        made = importlib.import_module(f"kubesim.programs.{module}").IMAGES
        assert {name for image in made for name in image.names} == set(names), module
        for image in made:
            words = image.argv({}, image.env)
            assert words, f"{image.names}: starts nothing"
    assert images.known() == sorted(images.known())


def test_command_replaces_both_and_args_only_the_image_s_command():
    agnhost = images.find("registry.k8s.io/e2e-test-images/agnhost:2.53")
    assert agnhost.argv({}, {}) == ["/agnhost", "pause"]
    assert agnhost.argv({"args": ["netexec"]}, {}) == ["/agnhost", "netexec"]
    assert agnhost.argv({"command": ["sh", "-c"], "args": ["true"]}, {}) == ["sh", "-c", "true"]
    assert agnhost.argv({"command": ["sh"]}, {}) == ["sh"]


def test_a_shell_starts_the_image_s_program_by_its_path(wire):
    script = "exec /agnhost netexec --http-port=${WORKER_PORT:-8080}"
    image = "registry.k8s.io/e2e-test-images/agnhost:2.53"
    assert "Started HTTP server on port 8080" in wire.run(image, "one", command=["sh", "-c", script]).log[0]
    # A Service named like the program sets the variable that the program reads as its own.
    other = wire.run(image, "two", command=["sh", "-c", f"export WORKER_PORT=tcp://10.96.0.7:80; {script}"])
    wire.world.advance(1)
    assert other.log == [
        'Error: invalid argument "tcp://10.96.0.7:80" for "--http-port" flag: strconv.ParseInt: parsing '
        '"tcp://10.96.0.7:80": invalid syntax'
    ]


def test_variables_in_a_command():
    env = {"NODE_NAME": "kind-worker"}
    assert entry.expand("--name=$(NODE_NAME) $$(NODE_NAME) $(OTHER) $HOME", env) == (
        "--name=kind-worker $(NODE_NAME) $(OTHER) $HOME"
    )


def test_a_command_of_the_shell_logs_line_by_line(wire):
    running = wire.run("busybox", command=["sh", "-c", "for i in 1 2; do echo line $i; sleep 1; done; printf end; exit 3"])
    assert running.log == ["line 1"]
    wire.world.advance(5)
    assert running.log == ["line 1", "line 2", "end"]
    assert running.task.result() == 3


def test_a_script_may_start_the_image_s_program(wire):
    script = "echo $HOSTNAME > /usr/share/nginx/html/index.html; exec nginx -g 'daemon off;'"
    machine = wire.machine("nginx", "web")
    machine.env["HOSTNAME"] = "web"
    running = wire.start(machine, "nginx", command=["sh", "-c", script])
    from kubesim.programs import fetch

    assert wire.world.run(fetch.get(wire.machine("alpine"), "http://10.0.0.1/")).body == b"web\n"
    assert any("GET / HTTP/1.1" in line for line in running.log)


def test_sleep_as_process_1_does_not_hear_sigterm(wire):
    running = wire.run("busybox", command=["sleep", "3600"])
    running.task.cancel()
    wire.world.advance(30)
    assert not running.task.done
    running.task.cancel()
    wire.world.drain()
    assert running.task.done


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["nosuch"], 'exec: "nosuch": executable file not found in $PATH'),
        (["/bin/nosuch"], 'exec: "/bin/nosuch": stat /bin/nosuch: no such file or directory'),
    ],
)
def test_a_command_that_is_not_there(wire, command, words):
    running = wire.run("busybox", command=command)
    with pytest.raises(entry.CannotStart) as caught:
        running.task.result()
    assert str(caught.value) == words


def test_curl_s_entrypoint_takes_options_or_a_command(wire):
    assert images.find("curlimages/curl").argv({"args": ["sleep", "1"]}, {}) == ["/entrypoint.sh", "sleep", "1"]
    running = wire.run("curlimages/curl", args=["sleep", "1"])
    wire.world.advance(2)
    assert running.task.result() == 0


def test_tokens_are_known_again_until_their_time_is_over():
    world = World(seed=3, start=1000.0)
    token = tokens.issue(world, "default", "web", seconds=60)
    found = tokens.user(world, token)
    assert found is not None
    assert found.name == "system:serviceaccount:default:web"
    assert "system:serviceaccounts:default" in found.groups
    assert tokens.user(world, token[:-2] + "xx") is None
    assert tokens.user(World(seed=4, start=1000.0), token) is None
    world.now += 61
    assert tokens.user(world, token) is None
