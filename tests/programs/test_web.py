"""HTTP servers and clients over the simulated wire: bytes in, bytes out, and how each fails."""

from __future__ import annotations

import pytest

from kubesim.errors import LearnerError
from kubesim.net import errors
from kubesim.programs import fetch, http, tls


def get(wire, client, url, **options):
    return wire.world.run(fetch.get(client, url, **options))


def raw(wire, client, address: str, port: int, sent: bytes) -> bytes:
    """Everything that a server says to these bytes until it closes."""

    async def talk() -> bytes:
        connection = await client.net.connect(address, port)
        await connection.send(sent)
        connection.send_eof()
        got = b""
        while data := await connection.recv():
            got += data
        connection.close()
        return got

    return wire.world.run(talk())


# -- nginx --------------------------------------------------------------------------------------------------


@pytest.fixture
def nginx(wire):
    wire.server = wire.run("nginx:1.27")
    wire.client = wire.machine("alpine")
    return wire


def test_nginx_serves_its_welcome_page(nginx):
    found = get(nginx, nginx.client, "http://10.0.0.1/")
    assert found.status == 200
    assert b"<title>Welcome to nginx!</title>" in found.body
    assert http.find(found.headers, "server") == "nginx/1.27.0"
    assert http.find(found.headers, "content-type") == "text/html"


def test_nginx_serves_what_the_learner_writes(nginx):
    nginx.server.machine.files.write("/usr/share/nginx/html/index.html", "web-1\n")
    nginx.server.machine.files.mkdir("/usr/share/nginx/html/sub")
    assert get(nginx, nginx.client, "http://10.0.0.1/").body == b"web-1\n"
    assert get(nginx, nginx.client, "http://10.0.0.1/sub").status == 301
    assert get(nginx, nginx.client, "http://10.0.0.1/sub/").status == 403


def test_nginx_logs_in_its_image_s_format(nginx):
    nginx.server.log.clear()
    get(nginx, nginx.client, "http://10.0.0.1/nope")
    assert nginx.server.log == [
        '2026/11/02 08:00:00 [error] 1#1: open() "/usr/share/nginx/html/nope" failed (2: No such file or directory)',
        '10.0.0.2 - - [02/Nov/2026:08:00:00 +0000] "GET /nope HTTP/1.1" 404 153 "-" "-" "-"',
    ]


def test_nginx_takes_get_and_head_for_files(nginx):
    headers = [("Host", "10.0.0.1"), ("Connection", "close")]
    found = nginx.world.run(fetch.send(nginx.client, "POST", "http://10.0.0.1", "/", headers, b"x=1"))
    assert found.status == 405
    assert b"<center><h1>405 Not Allowed</h1></center>" in found.body
    found = nginx.world.run(fetch.send(nginx.client, "HEAD", "http://10.0.0.1", "/", headers))
    assert (found.status, found.body) == (200, b"")


def test_nginx_and_bytes_that_are_no_request(nginx):
    said = raw(nginx, nginx.client, "10.0.0.1", 80, b"hello\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 400 Bad Request\r\nServer: nginx/1.27.0\r\n")
    assert b"Connection: close" in said
    said = raw(nginx, nginx.client, "10.0.0.1", 80, b"GET / HTTP/1.1\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 400 "), "HTTP/1.1 wants a Host header"


def test_nginx_stops_when_told(nginx):
    nginx.server.task.cancel()
    nginx.world.drain()
    assert nginx.server.task.result() == 0
    with pytest.raises(fetch.Failed, match="Connection refused"):
        get(nginx, nginx.client, "http://10.0.0.1/")


def test_nginx_keeps_to_its_root(nginx):
    nginx.server.machine.files.write("/etc/secret", "x")
    assert raw(nginx, nginx.client, "10.0.0.1", 80, b"GET /../../../etc/secret HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert raw(nginx, nginx.client, "10.0.0.1", 80, b"GET /a/../index.html HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (["nginx", "-t"], 0, "nginx: configuration file /etc/nginx/nginx.conf test is successful"),
        (["nginx", "-v"], 0, "nginx version: nginx/1.29.3"),
        (["nginx", "-s", "reload"], None, "not simulated: nginx -s reload"),
        (["nginx"], None, "not simulated: nginx as a daemon"),
        (["nginx", "--help"], None, 'nginx: invalid option: "help"'),
    ],
)
def test_nginx_command_lines(wire, command, code, words):
    running = wire.run("nginx", command=command)
    if code is None:
        with pytest.raises(LearnerError, match=words):
            running.task.result()
    else:
        assert (running.task.result(), running.log[-1]) == (code, words)


CONF = """\
upstream back { server 10.0.0.1:80; }
server {
    listen 8080;
    server_name a.example;
    location / { return 200 "a on $hostname\\n"; add_header X-Served-By $hostname; }
    location = /exact { return 302 http://b.example/; }
    location /api/ { proxy_pass http://back/; proxy_set_header Host $host; }
}
server { listen 8080; server_name b.example; root /srv; default_type text/plain; }
"""


def test_nginx_with_a_configuration_of_ones_own(nginx):
    machine = nginx.machine("nginx", "front", __etc__nginx__conf_d="")
    machine.files.remove("/etc/nginx/conf_d")
    machine.files.write("/etc/nginx/conf.d/default.conf", CONF)
    machine.files.mkdir("/srv")
    machine.files.write("/srv/index.html", "b's page")
    front = nginx.start(machine, "nginx")
    assert not front.task.done, front.log

    def ask(path: str, host: str):
        headers = [("Host", host), ("Connection", "close")]
        return nginx.world.run(fetch.send(nginx.client, "GET", "http://10.0.0.3:8080", path, headers))

    found = ask("/", "a.example")
    assert (found.body, http.find(found.headers, "x-served-by")) == (b"a on front\n", "front")
    assert http.find(ask("/exact", "a.example").headers, "location") == "http://b.example/"
    assert ask("/", "b.example").body == b"b's page"
    assert b"Welcome to nginx!" in ask("/api/index.html", "a.example").body
    assert nginx.server.log[-1].startswith('10.0.0.3 - - [02/Nov/2026:08:00:00 +0000] "GET /index.html HTTP/1.1" 200 ')
    nginx.server.task.cancel()
    nginx.world.drain()
    assert ask("/api/", "a.example").status == 502


@pytest.mark.parametrize(
    ("conf", "words"),
    [
        ("server { lisen 80; }", 'unknown directive "lisen" in /etc/nginx/conf.d/default.conf:1'),
        ("server {\n  rewrite a b;\n}", 'not simulated: the nginx directive "rewrite" in /etc/nginx/conf.d/default.conf:2'),
        ("server { listen 80;", 'unexpected end of file, expecting "}" in /etc/nginx/conf.d/default.conf:1'),
        ("server { location / { return 200 $hots; } }", 'unknown "hots" variable'),
    ],
)
def test_nginx_refuses_a_wrong_configuration(wire, conf, words):
    machine = wire.machine("nginx")
    machine.files.write("/etc/nginx/conf.d/default.conf", conf)
    running = wire.start(machine, "nginx")
    assert running.task.result() == 1
    assert running.log[-1] == f"nginx: [emerg] {words}"


# -- the other servers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "port", "body"),
    [
        ("gcr.io/google-samples/hello-app:1.0", 8080, "Hello, world!\nVersion: 1.0.0\nHostname: server\n"),
        (
            "us-docker.pkg.dev/google-samples/containers/gke/hello-app:2.0",
            8080,
            "Hello, world!\nVersion: 2.0.0\nHostname: server\n",
        ),
        ("luksa/kubia", 8080, "You've hit server\n"),
        ("pgolard/ms-hello:v4", 7777, "This is the hello world custom node parent"),
        ("pgolard/ms-bye:v4", 9999, "This is the test bye with custom node parent image"),
        ("pgolard/multcont-morning:v3", 1234, "This is the good morning root"),
        ("pgolard/multcont-afternoon:v3", 4321, "This is the good afternoon root"),
    ],
)
def test_what_the_documents_images_say(wire, image, port, body):
    running = wire.run(image, "server")
    found = get(wire, wire.machine("alpine"), f"http://10.0.0.1:{port}/")
    assert (found.status, found.body.decode()) == (200, body)
    assert running.log, "the pods' logs show the request"


def test_ms_hello_logs_who_asked_and_knows_one_path(wire):
    running = wire.run("pgolard/ms-hello:v4")
    client = wire.machine("alpine")
    assert get(wire, client, "http://10.0.0.1:7777/other").status == 404
    assert running.log[-1] == "GET /other from ::ffff:10.0.0.2"


def test_ms_bye_calls_ms_hello_over_the_network(wire):
    wire.run("pgolard/ms-hello:v4")
    bye = wire.machine("pgolard/ms-bye:v4")
    bye.env |= {"MS_HELLO_SVC_SERVICE_HOST": "10.0.0.1", "MS_HELLO_SVC_SERVICE_PORT": "7777"}
    wire.start(bye, "pgolard/ms-bye:v4")
    found = get(wire, wire.machine("alpine"), "http://10.0.0.2:9999/sayHelloToBye")
    assert b"This is the hello world custom node parent" in found.body
    bye.env["MS_HELLO_SVC_SERVICE_PORT"] = "1"
    assert get(wire, wire.machine("alpine"), "http://10.0.0.2:9999/sayHelloToBye").status == 500


def test_a_node_program_ignores_sigterm_as_process_1_until_it_is_killed(wire):
    running = wire.run("luksa/kubia")
    running.task.cancel()
    wire.world.drain()
    assert not running.task.done
    assert get(wire, wire.machine("alpine"), "http://10.0.0.1:8080/").status == 200
    running.task.cancel()
    wire.world.drain()
    assert running.task.done
    with pytest.raises(fetch.Failed, match="Connection refused"):
        get(wire, wire.machine("alpine"), "http://10.0.0.1:8080/")


def test_node_runs_the_image_s_script_only(wire):
    assert wire.run("luksa/kubia", command=["node", "--version"]).log == ["v7.9.0"]
    with pytest.raises(LearnerError, match="not simulated: node -e 1"):
        wire.run("luksa/kubia", command=["node", "-e", "1"]).task.result()


def test_netexec(wire):
    running = wire.run("registry.k8s.io/e2e-test-images/agnhost:2.53", "agn", args=["netexec", "--http-port=80"])
    client = wire.machine("alpine")
    assert get(wire, client, "http://10.0.0.1/hostname").body == b"agn"
    assert get(wire, client, "http://10.0.0.1/clientip").body.startswith(b"10.0.0.2:")
    assert get(wire, client, "http://10.0.0.1/echo?msg=hi&code=418").status == 418
    dial = "http://10.0.0.1/dial?host=10.0.0.1&protocol=udp&port=8081&request=hostname&tries=2"
    assert get(wire, client, dial).body == b'{"responses":["agn","agn"]}'
    dial = "http://10.0.0.1/dial?host=10.0.0.9&port=81&tries=1"
    assert get(wire, client, dial).body == b'{"errors":["No route to host"]}'
    assert get(wire, client, "http://10.0.0.1/exit?code=3").status == 200
    wire.world.drain()
    assert running.task.result() == 3


@pytest.mark.parametrize("image", ["nginx", "luksa/kubia", "registry.k8s.io/e2e-test-images/agnhost:2.53"])
def test_a_network_namespace_may_go_at_any_time(wire, image):
    args = {"args": ["netexec"]} if "agnhost" in image else {}
    running = wire.run(image, **args)
    running.machine.net.shutdown()
    wire.world.drain()
    running.task.cancel()
    running.task.cancel()
    wire.world.advance(1)
    assert running.task.done


def test_a_connection_is_kept_for_the_next_request(wire):
    wire.run("luksa/kubia", "server")
    client = wire.machine("alpine")

    async def two() -> tuple[list[bytes], int]:
        connection = await client.net.connect("10.0.0.1", 8080)
        exchange = http.Client(connection)
        bodies = []
        for _ in range(2):
            reply = await exchange.request("GET", "/", [("Host", "x")])
            bodies.append(await reply.read())
        await wire.world.sleep(4.9)
        alive = exchange.reusable
        await wire.world.sleep(0.2)  # node's five seconds are over
        assert await connection.recv() == b""
        return bodies, alive

    assert wire.world.run(two()) == ([b"You've hit server\n"] * 2, True)


def test_a_body_of_unknown_length_goes_in_chunks_and_a_cut_one_is_noticed(wire):
    server, client = wire.machine("alpine"), wire.machine("alpine")

    async def pieces():
        for piece in (b"one ", b"two"):
            yield piece

    async def handler(request: http.Request) -> http.Response:
        return http.Response(stream=pieces())

    wire.world.spawn(http.Server(wire.world, handler).serve(server.net.listen("tcp", "", 80)), "server")
    found = get(wire, client, "http://10.0.0.1/")
    assert (found.body, http.find(found.headers, "transfer-encoding")) == (b"one two", "chunked")

    async def cut() -> None:
        connection = await server.net.listen("tcp", "", 81).accept()
        await connection.recv()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        connection.close()

    wire.world.spawn(cut(), "cut")
    with pytest.raises(http.Cut):
        get(wire, client, "http://10.0.0.1:81/")


@pytest.mark.parametrize(("said", "error"), [(b"", http.EmptyReply), (b"220 smtp ready\r\n\r\n", http.NotHttp)])
def test_servers_that_do_not_speak_http(wire, said, error):
    server, client = wire.machine("alpine"), wire.machine("alpine")

    async def serve() -> None:
        connection = await server.net.listen("tcp", "", 80).accept()
        await connection.recv()
        await connection.send(said)
        connection.close()

    wire.world.spawn(serve(), "server")
    with pytest.raises(error):
        get(wire, client, "http://10.0.0.1/")


# -- TLS ----------------------------------------------------------------------------------------------------


def certificate(wire, **facts) -> tls.Certificate:
    given = {
        "subject": "CN=web.example",
        "issuer": "CN=Test CA",
        "not_before": wire.world.now - 1,
        "not_after": wire.world.now + 100,
        "key": "web",
        "issuer_key": "test-ca",
        "sans": ("DNS:web.example", "DNS:*.web.example", "IP:10.0.0.1"),
    }
    return tls.Certificate(**(given | facts))


def serve_tls(wire, chain) -> None:
    server = wire.machine("alpine")

    async def handler(request: http.Request) -> http.Response:
        return http.text(f"{request.tls.server_name} {request.tls.version}")

    web = http.Server(wire.world, handler, context=tls.context(*chain))
    wire.world.spawn(web.serve(server.net.listen("tcp", "", 443)), "server")


def handshake(wire, client, name: str, trust: tls.Trust) -> bytes:
    async def talk() -> bytes:
        connection = await tls.connect(await client.net.connect("10.0.0.1", 443), name, trust)
        reply = await http.Client(connection).request("GET", "/", [("Host", name)])
        return await reply.read()

    return wire.world.run(talk())


def test_tls_carries_the_server_name(wire):
    serve_tls(wire, [certificate(wire)])
    trust = tls.Trust(roots=frozenset(["test-ca"]), now=wire.world.now)
    assert handshake(wire, wire.machine("alpine"), "a.web.example", trust) == b"a.web.example TLSv1.3"


@pytest.mark.parametrize(
    ("facts", "name", "later", "words"),
    [
        ({"issuer_key": "other"}, "web.example", 0, "unable to get local issuer certificate"),
        ({"issuer_key": "web"}, "web.example", 0, "self-signed certificate"),
        ({}, "b.a.web.example", 0, "no alternative certificate subject name matches target host name 'b.a.web.example'"),
        ({}, "web.example", 200, "certificate has expired"),
    ],
)
def test_tls_certificates_that_are_not_believed(wire, facts, name, later, words):
    serve_tls(wire, [certificate(wire, **facts)])
    client = wire.machine("alpine")
    trust = tls.Trust(roots=frozenset(["test-ca"]), now=wire.world.now + later)
    with pytest.raises(tls.CertificateError, match=words):
        handshake(wire, client, name, trust)
    assert handshake(wire, client, name, tls.Trust(verify=False))


def test_a_chain_leads_to_the_root(wire):
    middle = certificate(wire, subject="CN=Middle", key="middle", issuer_key="root", authority=True, sans=())
    serve_tls(wire, [certificate(wire, issuer_key="middle"), middle])
    trust = tls.Trust(roots=frozenset(["root"]), now=wire.world.now)
    assert handshake(wire, wire.machine("alpine"), "web.example", trust)


def test_tls_to_a_plain_port_and_plain_to_a_tls_port(wire):
    wire.run("nginx")
    client = wire.machine("alpine")
    with pytest.raises(tls.NotTls, match="wrong version number"):
        wire.world.run(tls.connect(wire.world.run(client.net.connect("10.0.0.1", 80)), "x", tls.Trust(verify=False)))
    server = wire.machine("alpine")

    async def handler(request: http.Request) -> http.Response:
        return http.text("")

    web = http.Server(wire.world, handler, context=tls.context(certificate(wire)))
    wire.world.spawn(web.serve(server.net.listen("tcp", "", 443)), "server")
    said = raw(wire, client, "10.0.0.3", 443, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert said == b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"


def test_a_certificate_survives_its_file(wire):
    made = certificate(wire)
    text = made.pem()
    assert text.startswith("-----BEGIN CERTIFICATE-----\n")
    assert tls.certificates(text + text) == [made, made]
    with pytest.raises(ValueError, match="not a certificate"):
        tls.certificates("-----BEGIN CERTIFICATE-----\nTUlJ\n-----END CERTIFICATE-----\n")


def test_a_reset_reaches_the_client(wire):
    server, client = wire.machine("alpine"), wire.machine("alpine")

    async def serve() -> None:
        connection = await server.net.listen("tcp", "", 80).accept()
        await connection.recv()
        connection.reset()

    wire.world.spawn(serve(), "server")
    with pytest.raises(errors.Reset):
        get(wire, client, "http://10.0.0.1/")
