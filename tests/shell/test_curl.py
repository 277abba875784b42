"""curl's output, messages and exit statuses."""

from __future__ import annotations

import pytest

from kubesim.programs import tls
from kubesim.programs.http import Request, Server, text
from kubesim.shell.curl import meter, urls

HINT = "curl: try 'curl --help' or 'curl --manual' for more information\n"


@pytest.mark.parametrize(
    ("command", "stdout"),
    [
        ("curl -s web", "GET / for web: \n"),
        ("curl -s http://web:80/a/../b?x=1#frag", "GET /b?x=1 for web: \n"),
        ("curl -s web -H 'Host: shop'", "GET / for shop: \n"),
        ("curl -s -X DELETE web/x", "DELETE /x for web: \n"),
        ("curl -s -d a=1 --data b=2 web", "POST / for web: a=1&b=2\n"),
        ("curl -s -G -d a=1 web", "GET /?a=1 for web: \n"),
        ("curl -s --data-urlencode 'q=a b' web", "POST / for web: q=a%20b\n"),
        ("echo -n body > f; curl -s -d @f web", "POST / for web: body\n"),
        ("curl -s web/1 web/2", "GET /1 for web: \nGET /2 for web: \n"),
        ("curl -s 'web/[1-3]' | wc -l", "3\n"),
        ("curl -sL web/moved", "GET /there for web: \n"),
        ("curl -s --resolve shop:80:10.0.0.2 http://shop/", "GET / for shop: \n"),
        ("curl -s -o out web; cat out", "GET / for web: \n"),
        ("curl -s -O web/file; cat file", "GET /file for web: \n"),
        ("curl -s -o /dev/null -w '%{http_code} %{remote_ip}:%{remote_port}\\n' web/missing", "404 10.0.0.2:80\n"),
        ("curl -sL -o /dev/null -w '%{num_redirects} %{url_effective}' web/moved", "1 http://web/there"),
        ("curl -s -o /dev/null -w '%{time_total}' web", "0.000000"),
        ("curl -sI web | head -1", "HTTP/1.1 200 OK\r\n"),
        ("curl -si web | tail -1", "GET / for web: \n"),
    ],
)
def test_what_comes_back(lan, command, stdout):
    assert lan.out(command) == stdout


@pytest.mark.parametrize(
    ("command", "stderr", "status"),
    [
        ("curl", f"curl: (2) no URL specified\n{HINT}", 2),
        ("curl --nope web", f"curl: option --nope: is unknown\n{HINT}", 2),
        ("curl ftp://web", 'curl: (1) Protocol "ftp" not supported\n', 1),
        ("curl 'http://a b'", "curl: (3) URL using bad/illegal format or missing URL\n", 3),
        ("curl web:99999", "curl: (3) URL using bad/illegal format or missing URL\n", 3),
        ("curl nosuch", "curl: (6) Could not resolve host: nosuch\n", 6),
        ("curl 10.0.0.2:99", "curl: (7) Failed to connect to 10.0.0.2 port 99 after 0 ms: Couldn't connect to server\n", 7),
        ("curl -f web/missing", "curl: (22) The requested URL returned error: 404\n", 22),
        ("curl -m 3 web/slow", "curl: (28) Operation timed out after 3001 milliseconds with 0 bytes received\n", 28),
        ("curl -m 2 10.0.0.77", "curl: (28) Connection timed out after 2001 milliseconds\n", 28),
        ("curl --connect-timeout 2 10.0.0.77", "curl: (28) Connection timed out after 2001 milliseconds\n", 28),
        ("curl https://web:80", "curl: (35) error:0A00010B:SSL routines::wrong version number\n", 35),
        ("curl --max-redirs 0 -L web/moved", "curl: (47) Maximum (0) redirects followed\n", 47),
        ("curl 10.0.0.2:82", "curl: (52) Empty reply from server\n", 52),
        ("curl -x proxy:3128 web", "curl: not simulated: curl --proxy\n", 1),
        ("curl -s 10.0.0.2:99", "", 7),
        ("curl -sS 10.0.0.2:99 | cat; (exit ${PIPESTATUS[0]})",
         "curl: (7) Failed to connect to 10.0.0.2 port 99 after 0 ms: Couldn't connect to server\n", 7),
    ],
)  # fmt: skip
def test_what_goes_wrong(lan, command, stderr, status):
    assert lan.err(command) == (stderr, status)


def test_a_dropped_packet_is_a_timeout_and_a_rejected_one_a_refusal(lan):
    lan.run("sudo iptables -A OUTPUT -p tcp --dport 80 -j DROP")
    assert lan.err("curl -m 2 web") == ("curl: (28) Connection timed out after 2001 milliseconds\n", 28)
    lan.run("sudo iptables -R OUTPUT 1 -p tcp --dport 80 -j REJECT")
    assert lan.err("curl -s web")[1] == 7
    lan.run("sudo iptables -F OUTPUT")
    assert lan.err("curl -s web")[1] == 0


def test_verbose(lan):
    assert lan.run("curl -v -s web/x").stderr == (
        "*   Trying 10.0.0.2:80...\n* Connected to web (10.0.0.2) port 80\n> GET /x HTTP/1.1\n> Host: web\n"
        "> User-Agent: curl/8.5.0\n> Accept: */*\n> \n< HTTP/1.1 200 OK\n< Date: Sun, 13 Sep 2020 12:26:40 GMT\n"
        "< Content-Type: text/plain; charset=utf-8\n< Content-Length: 17\n< \n{ [17 bytes data]\n"
        "* Connection #0 to host web left intact\n"
    )


def test_the_meter_shows_when_the_output_is_no_terminal(lan):
    assert "% Total" not in lan.run("curl web").stderr
    stderr = lan.run("curl web | cat").stderr
    assert stderr.startswith(
        meter.HEAD + "\r  0     0    0     0    0     0      0      0 --:--:-- --:--:-- --:--:--     0"
    )
    assert "\r100    16  100    16" in stderr


def test_retry_waits_longer_each_time(lan):
    before = lan.world.now
    assert lan.err("curl -s --retry 2 --retry-connrefused 10.0.0.2:99")[1] == 7
    assert lan.world.now == before + 3


def test_a_transfer_that_is_given_up_closes_its_connection(lan):
    lan.run("curl -s -m 1 10.0.0.2:81")
    assert "ESTAB" not in lan.out("ss -tn")


def test_https(lan):
    root = tls.Certificate(
        subject="CN=root", issuer="CN=root", not_before=0, not_after=2e9, key="r", issuer_key="r", authority=True
    )
    own = tls.Certificate(subject="CN=web", issuer="CN=root", not_before=0, not_after=2e9, key="w", issuer_key="r")
    web = lan.machine.net.network.owner("10.0.0.2")
    assert web is not None

    async def hello(request: Request):
        return text(f"secret for {request.tls.server_name}\n")

    server = Server(lan.world, hello, context=tls.context(own))
    lan.world.spawn(server.serve(web.listen("tcp", "0.0.0.0", 443)))
    stderr, status = lan.err("curl -s -S https://web")
    assert stderr.startswith(
        "curl: (60) SSL certificate problem: unable to get local issuer certificate\nMore details here:"
    )
    assert status == 60
    assert lan.out("curl -sk https://web") == "secret for web\n"
    assert "*  subject: CN=web\n" in lan.run("curl -skv https://web").stderr
    lan.machine.files.write("/desk/ca.pem", root.pem())
    assert lan.out("curl -s --cacert ca.pem https://web") == "secret for web\n"
    assert lan.err("curl -s -S --cacert ca.pem https://web.example")[0].startswith(
        "curl: (60) SSL: no alternative certificate subject name matches target host name 'web.example'"
    )


def test_globs_and_numbers():
    assert urls.globbed("http://{a,b}/[01-03]") == [f"http://{a}/{n}" for a in "ab" for n in ("01", "02", "03")]
    assert [meter.size(each) for each in (0, 615, 123456, 12345678)] == ["    0", "  615", " 120k", "11.7M"]
