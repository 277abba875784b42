"""-w (src/tool_writeout.c): %{variables} and backslash escapes."""

from __future__ import annotations

import json
import re
from typing import Any

from kubesim.shell.curl.transfer import Facts

ESCAPES = {"\\n": "\n", "\\t": "\t", "\\r": "\r"}
TIMES = ("namelookup", "connect", "appconnect", "pretransfer", "starttransfer", "total")


def expand(text: str, facts: Facts, code: int, message: str, number: int) -> str:
    """The text with everything filled in; an unknown variable becomes a line on stderr in curl, nothing here."""
    known = variables(facts, code, message, number)

    def one(match: re.Match[str]) -> str:
        word = match[0]
        if word in ESCAPES:
            return ESCAPES[word]
        if word == "%%":
            return "%"
        name = match[1] or ""
        if name == "json":
            return json.dumps(known, separators=(",", ":"))
        if name.startswith("header{"):
            wanted = name[7:].rstrip("}").lower()
            return next((value for key, value in facts.headers if key.lower() == wanted), "")
        value = known.get(name, "")
        if name in ("http_code", "response_code"):
            return f"{value:03d}"
        return f"{value:.6f}" if isinstance(value, float) else str(value)

    return re.sub(r"%\{(header\{[^}]*\}|[^}]*)\}|%%|\\[ntr]", one, text)


def variables(facts: Facts, code: int, message: str, number: int) -> dict[str, Any]:
    spent = facts.times.get("total", 0.0)
    return {
        "content_type": facts.content_type,
        "errormsg": message,
        "exitcode": code,
        "http_code": facts.status,
        "http_version": facts.version,
        "local_ip": facts.local[0],
        "local_port": facts.local[1],
        "method": facts.method,
        "num_connects": facts.connects,
        "num_headers": len(facts.headers),
        "num_redirects": facts.redirects,
        "redirect_url": facts.redirect_url,
        "remote_ip": facts.remote[0],
        "remote_port": facts.remote[1],
        "response_code": facts.status,
        "scheme": facts.scheme.upper(),
        "size_download": facts.downloaded,
        "size_header": facts.headers_size,
        "size_upload": facts.uploaded,
        "speed_download": int(facts.downloaded / spent) if spent else 0,
        "ssl_verify_result": facts.verify,
        **{f"time_{name}": float(facts.times.get(name, 0.0)) for name in TIMES},
        "url": facts.url,
        "url_effective": facts.url,
        "urlnum": number,
    }
