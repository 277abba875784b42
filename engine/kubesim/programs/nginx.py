"""nginx: the default page of its image, files of the container's disk, and proxying where its configuration says so.

It reads /etc/nginx/conf.d/*.conf (`nginx_conf`), which a ConfigMap may replace.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping

from kubesim import ids
from kubesim.errors import LearnerError, NotSimulated
from kubesim.net import errors as net_errors
from kubesim.programs import disks, fetch, http, nginx_conf
from kubesim.programs.image import Image, Process
from kubesim.world import Cancelled

NEWEST = "1.29.3"
ROOT = "/usr/share/nginx/html"

PAGE = """\
<!DOCTYPE html>
<html>
<head>
<title>Welcome to nginx!</title>
<meta charset="utf-8">
<style>
  html { color-scheme: light dark; }
  body { max-width: 36em; margin: 2em auto; font-family: sans-serif; }
</style>
</head>
<body>
<h1>Welcome to nginx!</h1>
<p>This page comes from the file /usr/share/nginx/html/index.html in the container that answered you.
Change the file, ask again, and you will see which pod you have reached.</p>
</body>
</html>
"""
ERROR_PAGE = """\
<!DOCTYPE html>
<html>
<head><title>Error</title></head>
<body>
<h1>An error occurred.</h1>
<p>The page is not available at the moment; the error log says why.</p>
</body>
</html>
"""
DEFAULT_CONF = """\
server {
    listen       80;
    listen  [::]:80;
    server_name  localhost;

    location / {
        root   /usr/share/nginx/html;
        index  index.html index.htm;
    }

    error_page   500 502 503 504  /50x.html;
    location = /50x.html {
        root   /usr/share/nginx/html;
    }
}
"""
TYPES = {
    "html": "text/html", "htm": "text/html", "css": "text/css", "xml": "text/xml", "gif": "image/gif", "jpeg": "image/jpeg",
    "jpg": "image/jpeg", "js": "application/javascript", "txt": "text/plain", "png": "image/png", "svg": "image/svg+xml",
    "ico": "image/x-icon", "json": "application/json", "pdf": "application/pdf", "zip": "application/zip",
}  # fmt: skip


# nginx -h
OPTIONS = "?hvVtTqspecg"


def version(tag: str) -> str:
    """The release that a tag means: "1.27-alpine" is some 1.27."""
    match = re.match(r"(\d+\.\d+)(\.\d+)?", tag)
    return NEWEST if match is None else match[1] + (match[2] or ".0")


class Style(http.Style):
    """nginx's own pages and headers."""

    idle = 75.0  # keepalive_timeout's default
    # src/http/ngx_http_header_filter_module.c
    reasons = http.REASONS | {
        302: "Moved Temporarily", 405: "Not Allowed", 408: "Request Time-out", 416: "Requested Range Not Satisfiable",
        503: "Service Temporarily Unavailable", 504: "Gateway Time-out",
    }  # fmt: skip

    def __init__(self, release: str) -> None:
        self.release = release

    def headers(self, now: float, response: http.Response) -> http.Headers:
        connection: http.Headers = [] if response.close else [("Connection", "keep-alive")]
        return [("Server", f"nginx/{self.release}"), ("Date", http.date(now)), *connection]

    def page(self, status: int, heading: str = "") -> http.Response:
        """The built-in page for a status (src/http/ngx_http_special_response.c)."""
        title = heading or ("302 Found" if status == 302 else f"{status} {self.reasons[status]}")
        body = (
            f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
            f"<hr><center>nginx/{self.release}</center>\r\n</body>\r\n</html>\r\n"
        )
        return http.Response(status=status, headers=[("Content-Type", "text/html")], body=body.encode())

    def malformed(self, status: int) -> http.Response:
        return self.page(status)

    def plain(self) -> bytes:
        title = "400 The plain HTTP request was sent to HTTPS port"
        response = self.page(400, title)
        body = response.body.replace(title.encode() + b"</h1></center>", b"400 Bad Request</h1></center>\r\n"
                                     b"<center>The plain HTTP request was sent to HTTPS port</center>")  # fmt: skip
        head = f"HTTP/1.1 400 Bad Request\r\nServer: nginx/{self.release}\r\nContent-Type: text/html\r\n"
        return f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body


class Nginx:
    """One running server."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.machine = process.machine
        self.style = Style(version(process.tag))

    def notice(self, words: str, level: str = "notice") -> None:
        """A line of the error log, which the image sends to stderr."""
        self.process.log(f"{ids.utc(self.process.world.now):%Y/%m/%d %H:%M:%S} [{level}] 1#1: {words}")

    def access(self, request: http.Request, response: http.Response, sent: int) -> None:
        """The image's log_format main: combined, and X-Forwarded-For."""
        stamp = ids.utc(self.process.world.now)
        when = f"{stamp.day:02d}/{http.MONTHS[stamp.month - 1]}/{stamp:%Y:%H:%M:%S} +0000"
        line = f"{request.method} {request.target} HTTP/{request.version}" if request.method else ""
        agent, referer = request.header("user-agent") or "-", request.header("referer") or "-"
        forwarded = request.header("x-forwarded-for") or "-"
        peer = request.peer[0].removeprefix("::ffff:")
        self.process.log(f'{peer} - - [{when}] "{line}" {response.status} {sent} "{referer}" "{agent}" "{forwarded}"')

    async def run(self) -> int:
        try:
            servers = nginx_conf.load(self.machine.files)
        except nginx_conf.ConfError as error:
            self.process.log(f"{ids.utc(self.process.world.now):%Y/%m/%d %H:%M:%S} [emerg] 1#1: {error}")
            self.process.log(f"nginx: [emerg] {error}")
            return 1
        listening = _sockets(servers)
        self.notice('using the "epoll" event method')
        self.notice(f"nginx/{self.style.release}")
        self.notice("start worker processes")
        tasks = []
        for (address, port), there in listening.items():
            try:
                listener = self.machine.net.listen("tcp", address, port)
            except net_errors.NetError as error:
                self.notice(f"bind() to {address or '0.0.0.0'}:{port} failed (98: {error})", "emerg")
                return 1
            web = http.Server(self.process.world, self._handler(there), self.style, self.access)
            tasks.append(self.process.world.spawn(web.serve(listener), f"nginx {address}:{port}"))
        try:
            for task in tasks:
                await task
        except Cancelled:
            # SIGQUIT, which the image names as its STOPSIGNAL: workers finish what they are at, then it ends.
            self.notice("signal 3 (SIGQUIT) received, shutting down")
            for task in tasks:
                task.cancel()
            self.notice("exit")
        return 0

    def _handler(self, servers: list[nginx_conf.Server]) -> http.Handler:
        async def handle(request: http.Request) -> http.Response:
            server = next((each for each in servers if each.serves(request.host)), servers[0])
            path = _normal(request.path)
            response = await self._respond(server, request, path) if path else self.style.page(400)
            page = server.error_pages.get(response.status)
            if page:
                status = response.status
                found = await self._respond(server, request, page)
                if found.status == 200:
                    found.status = status
                    response = found
            return response

        return handle

    async def _respond(self, server: nginx_conf.Server, request: http.Request, path: str) -> http.Response:
        location = server.location(path)
        if location.answer is not None:
            status, words = location.answer
            response = self._return(status, self._expand(words, server, request), location)
        elif location.upstream:
            response = await self._proxy(location, server, request)
        else:
            response = self._file(location, request, path)
        if response.status < 400:
            response.headers += [(name, self._expand(value, server, request)) for name, value in location.headers]
        return response

    def _return(self, status: int, words: str, location: nginx_conf.Location) -> http.Response:
        if status in (301, 302, 303, 307, 308):
            response = self.style.page(status)
            response.headers.append(("Location", words))
            return response
        if not words and status >= 400:
            return self.style.page(status)
        return http.Response(status=status, headers=[("Content-Type", location.default_type)], body=words.encode())

    def _expand(self, words: str, server: nginx_conf.Server, request: http.Request) -> str:
        """nginx's variables; an unknown one was refused when the configuration was read."""
        values: Mapping[str, str] = {
            "host": request.host or server.names[0],
            "http_host": request.header("host"),
            "hostname": self.machine.hostname,
            "proxy_add_x_forwarded_for": ", ".join(filter(None, (request.header("x-forwarded-for"), request.peer[0]))),
            "remote_addr": request.peer[0],
            "remote_port": str(request.peer[1]),
            "request_method": request.method,
            "request_uri": request.target,
            "scheme": "http",
            "server_addr": request.local[0],
            "server_name": server.names[0],
            "server_port": str(request.local[1]),
            "uri": request.path,
        }
        return nginx_conf.VARIABLE.sub(lambda match: values[match[1] or match[2]], words)

    def _file(self, location: nginx_conf.Location, request: http.Request, path: str) -> http.Response:
        files = self.machine.files
        if request.method not in ("GET", "HEAD"):
            # The static module takes these two only.
            return self.style.page(405)
        name = posixpath.normpath(location.file(path))
        if files.is_dir(name):
            if not path.endswith("/"):
                response = self.style.page(301)
                response.headers.append(("Location", f"http://{request.header('host')}{path}/"))
                return response
            for index in location.index:
                if files.is_file(posixpath.join(name, index)):
                    name = posixpath.join(name, index)
                    break
            else:
                self.notice(f'directory index of "{name}/" is forbidden', "error")
                return self.style.page(403)
        if not files.is_file(name):
            if name.rpartition("/")[2] != "favicon.ico":
                self.notice(f'open() "{name}" failed (2: No such file or directory)', "error")
            return self.style.page(404)
        data = files.read_bytes(name)
        mtime = int(getattr(files.node(name), "mtime", 0.0))
        kind = TYPES.get(name.rpartition(".")[2], location.default_type)
        headers = [
            ("Content-Type", kind),
            ("Content-Length", str(len(data))),
            ("Last-Modified", http.date(mtime)),
            ("ETag", f'"{mtime:x}-{len(data):x}"'),
            ("Accept-Ranges", "bytes"),
        ]
        if request.header("if-none-match") == headers[3][1]:
            return http.Response(status=304, headers=headers[2:4])
        return http.Response(headers=headers, body=data)

    async def _proxy(self, location: nginx_conf.Location, server: nginx_conf.Server, request: http.Request) -> http.Response:
        url, target = location.target(request.target)
        headers = [
            (key, value)
            for key, value in request.headers
            if key.lower() not in ("host", "connection", "content-length", "transfer-encoding", "keep-alive")
        ]
        sent = {"Host": fetch.authority(url), "Connection": "close"}
        sent |= {name: self._expand(value, server, request) for name, value in location.proxy_headers}
        merged = [*sent.items(), *((key, value) for key, value in headers if key.lower() not in {k.lower() for k in sent})]
        try:
            reply = await fetch.send(self.machine, request.method, url, target, merged, request.body, timeout=60.0)
        except fetch.Failed as error:
            self.notice(f'connect() failed ({error}) while connecting to upstream, upstream: "{url}"', "error")
            return self.style.page(504 if error.timed_out else 502)
        except (http.HttpError, net_errors.NetError) as error:
            self.notice(f'upstream prematurely closed connection ({error}), upstream: "{url}"', "error")
            return self.style.page(502)
        hidden = ("connection", "date", "server", "transfer-encoding", "content-length", "keep-alive")
        passed = [(key, value) for key, value in reply.headers if key.lower() not in hidden]
        return http.Response(status=reply.status, headers=passed, body=reply.body)


def _normal(path: str) -> str:
    """The path without "." and "..", as nginx compares it; "" for one that climbs above the root (400)."""
    depth = 0
    for part in path.split("/"):
        depth += {"..": -1, ".": 0, "": 0}.get(part, 1)
        if depth < 0:
            return ""
    found = "/" + posixpath.normpath(path).lstrip("/")
    return f"{found}/" if path.endswith("/") and found != "/" else found


def _sockets(servers: list[nginx_conf.Server]) -> dict[tuple[str, int], list[nginx_conf.Server]]:
    """The servers by the socket that they listen on; `listen 80` with `listen [::]:80` is one socket for both families."""
    asked = {each for server in servers for each in server.listen}
    found: dict[tuple[str, int], list[nginx_conf.Server]] = {}
    for server in servers:
        for address, port in server.listen:
            both = {("0.0.0.0", port), ("::", port)} <= asked
            there = found.setdefault(("", port) if both else (address, port), [])
            if server not in there:
                there.append(server)
    return found


def _options(args: list[str]) -> dict[str, str]:
    """nginx's command line: letters, of which some take a value."""
    found: dict[str, str] = {}
    words = iter(args)
    for word in words:
        letter = word[1:2]
        if not word.startswith("-") or letter not in OPTIONS:
            raise LearnerError(f'nginx: invalid option: "{word.lstrip("-")}"')
        found[letter] = (word[2:] or next(words, "")) if letter in "gcpes" else ""
    return found


async def main(process: Process) -> int:
    options = _options(process.args[1:])
    if "v" in options or "V" in options:
        process.log(f"nginx version: nginx/{version(process.tag)}")
        return 0
    if "t" in options or "T" in options:
        try:
            nginx_conf.load(process.machine.files)
        except nginx_conf.ConfError as error:
            process.log(f"nginx: [emerg] {error}")
            process.log("nginx: configuration file /etc/nginx/nginx.conf test failed")
            return 1
        process.log("nginx: the configuration file /etc/nginx/nginx.conf syntax is ok")
        process.log("nginx: configuration file /etc/nginx/nginx.conf test is successful")
        return 0
    for letter, what in (("s", f"nginx -s {options.get('s')}"), ("c", "nginx -c"), ("p", "nginx -p")):
        if letter in options:
            raise NotSimulated(what, "Delete the pod: the next one reads the configuration anew.")
    if "daemon off" not in options.get("g", ""):
        raise NotSimulated("nginx as a daemon", "Run it as the image does: nginx -g 'daemon off;'")
    return await Nginx(process).run()


IMAGES = [
    Image(
        names=("nginx",),
        program=main,
        programs=("nginx", "nginx-debug"),
        entrypoint=("/docker-entrypoint.sh",),
        command=("nginx", "-g", "daemon off;"),
        wrapper="docker-entrypoint.sh",
        tools=disks.DEBIAN | {"curl"},
        files={
            **disks.CERTIFICATES,
            f"{ROOT}/index.html": PAGE,
            f"{ROOT}/50x.html": ERROR_PAGE,
            "/etc/nginx/conf.d/default.conf": DEFAULT_CONF,
        },
        env={"NGINX_VERSION": NEWEST, "PKG_RELEASE": "1~bookworm"},
    )
]
