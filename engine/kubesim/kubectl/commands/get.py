"""kubectl get: tables, objects, watches.

Source: kubectl `pkg/cmd/get/get.go`.
"""

from __future__ import annotations

from typing import Any

from kubesim.kubectl import builder, columns, discovery, fail, flags, printers, rest, session, tables
from kubesim.kubectl.command import Command

Object = dict[str, Any]

_TYPE_MISSING = (
    'You must specify the type of resource to get. Use "kubectl api-resources" for a complete list of supported '
    "resources.\n"
)


async def run(of: session.Session) -> None:
    if of.flags["raw"]:
        of.io.out(of.rest.text(of.flags["raw"]))
        return
    if not of.args and not builder.filenames(of):
        of.io.complain(_TYPE_MISSING)
        raise fail.Failed(
            'error: Required resource not specified.\nUse "kubectl explain <resource>" for a detailed description of that '
            "resource (e.g. kubectl explain pods).\nSee 'kubectl get -h' for help and examples"
        )
    output = of.flags["output"]
    if output not in ("", "wide"):
        await _objects(of, output)
        return
    wanted = await _requests(of)
    if of.flags["watch"] or of.flags["watch-only"]:
        await _watch_table(of, wanted)
    else:
        _table(of, wanted)


async def _requests(of: session.Session) -> builder.Wanted:
    if builder.filenames(of):
        infos = await builder.from_files(of)
        requests = [builder.Request(info.mapping, (info.name,)) for info in infos]
        return builder.Wanted(requests, len({request.mapping for request in requests}) > 1)
    return builder.resolve(of, of.args, bool(of.flags["selector"]))


def _namespace(of: session.Session, mapping: discovery.Mapping) -> str:
    return "" if of.flags["all-namespaces"] or not mapping.namespaced else of.namespace


def _query(of: session.Session) -> list[tuple[str, str]]:
    query = []
    if of.flags["field-selector"]:
        query.append(("fieldSelector", of.flags["field-selector"]))
    if of.flags["selector"]:
        query.append(("labelSelector", of.flags["selector"]))
    return query


def _check_names(of: session.Session, request: builder.Request) -> None:
    if request.names and of.flags["all-namespaces"] and request.mapping.namespaced:
        raise fail.Failed("error: a resource cannot be retrieved by name across all namespaces")


def _style(of: session.Session, several: bool) -> tables.Style:
    return tables.Style(
        wide=of.flags["output"] == "wide",
        namespace=of.flags["all-namespaces"],
        kind=several or of.flags["show-kind"],
        headings=not of.flags["no-headers"],
        labels=of.flags["show-labels"],
        label_columns=tuple(of.flags["label-columns"]),
    )


def _fetch(of: session.Session, request: builder.Request, errors: list[fail.Failed]) -> list[Object]:
    """The tables of one request: one for a list (its pages joined), one for each name.  What is missing goes to `errors`."""
    _check_names(of, request)
    mapping = request.mapping
    namespace = _namespace(of, mapping)
    extra = [("includeObject", "Object")] if of.flags["sort-by"] else []
    if not request.names:
        query = [*_query(of), *extra]
        if of.flags["chunk-size"]:
            query.append(("limit", str(of.flags["chunk-size"])))
        try:
            return [_pages(of, mapping.path(namespace), query)]
        except fail.StatusError as error:
            raise session.enhanced(error, mapping, of.flags["selector"], of.flags["field-selector"]) from None
    found = []
    for name in request.names:
        try:
            path = mapping.path(namespace, name, of.flags["subresource"])
            found.append(_tabular(of, of.rest.ask("GET", path, query=extra, accept=rest.TABLE)))
        except fail.StatusError as error:
            if not (error.not_found and of.flags["ignore-not-found"]):
                errors.append(error)
    return found


def _pages(of: session.Session, path: str, query: list[tuple[str, str]]) -> Object:
    table = _tabular(of, of.rest.ask("GET", path, query=query, accept=rest.TABLE))
    rows = list(table.get("rows") or ())
    page = table
    while token := (page.get("metadata") or {}).get("continue"):
        page = _tabular(of, of.rest.ask("GET", path, query=[*query, ("continue", token)], accept=rest.TABLE))
        rows += page.get("rows") or ()
    return {**table, "rows": rows}


def _tabular(of: session.Session, answer: Object) -> Object:
    if answer.get("kind") == "Table":
        return answer
    made: Object = {"columnDefinitions": [], "rows": [], "metadata": answer.get("metadata")}
    for obj in answer["items"] if isinstance(answer.get("items"), list) else [answer]:
        table = tables.as_table(obj, of.age((obj.get("metadata") or {}).get("creationTimestamp")))
        made["columnDefinitions"] = table["columnDefinitions"]
        made["rows"] += table["rows"]
    return made


def _table(of: session.Session, wanted: builder.Wanted) -> None:
    errors: list[fail.Failed] = []
    found: list[tuple[discovery.Mapping, Object]] = []
    for request in wanted.requests:
        try:
            found += [(request.mapping, table) for table in _fetch(of, request, errors)]
        except fail.StatusError as error:
            errors.append(error)
    style = _style(of, len({mapping.title for mapping, _ in found}) > 1)
    blocks: list[tuple[discovery.Mapping, list[list[str]]]] = []
    for mapping, table in found:
        if of.flags["sort-by"]:
            rows = tables.sort(table.get("rows") or [], of.flags["sort-by"], lambda row: row["object"])
            table = {**table, "rows": rows}
        if not table.get("rows"):
            continue
        follows = bool(blocks) and blocks[-1][0] == mapping
        rows = tables.rows_of(table, mapping, style, headings=not follows)
        if follows:
            blocks[-1][1].extend(rows)
        else:
            blocks.append((mapping, rows))
    of.io.print("\n".join(printers.columns_of(rows) for _, rows in blocks), end="")
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise fail.Many(errors)
    if not blocks and not of.flags["ignore-not-found"]:
        local = not of.flags["all-namespaces"] and all(request.mapping.namespaced for request in wanted.requests)
        of.io.complain(f"No resources found in {of.namespace} namespace." if local else "No resources found")


# -- watching -----------------------------------------------------------------------------------------------------


def _one_to_watch(wanted: builder.Wanted) -> builder.Request:
    if len(wanted.requests) != 1 or len(wanted.requests[0].names) > 1:
        raise fail.Failed(
            "error: watch is only supported on individual resources and resource collections - more than 1 resource was found"
            if len(wanted.requests) == 1
            else "error: you may only specify a single resource type"
        )
    return wanted.requests[0]


async def _watch_table(of: session.Session, wanted: builder.Wanted) -> None:
    request = _one_to_watch(wanted)
    style = _style(of, False)
    sheet = tables.Sheet()
    errors: list[fail.Failed] = []
    listed = _fetch(of, request, errors)
    if errors:
        raise errors[0]
    head = True
    for table in listed:
        if table.get("rows") and not of.flags["watch-only"]:
            rows = tables.rows_of(table, request.mapping, style, head)
            of.io.print(sheet.text(_with_event(of, rows, "ADDED", head and style.headings)), end="")
            head = False
    version = _version_of(listed)
    definitions: list[Any] = []
    async for event in _events(of, request, version, rest.TABLE):
        table = event["object"]
        if table.get("kind") != "Table":
            table = _tabular(of, table)
        # Only the first event has the columns.
        definitions = table.get("columnDefinitions") or definitions
        table = {**table, "columnDefinitions": definitions or listed[0].get("columnDefinitions", [])}
        rows = tables.rows_of(table, request.mapping, style, head)
        of.io.print(sheet.text(_with_event(of, rows, event["type"], head and style.headings)), end="")
        head = False


def _with_event(of: session.Session, rows: list[list[str]], event: str, headed: bool) -> list[list[str]]:
    """--output-watch-events: what happened, before each row."""
    if not of.flags["output-watch-events"]:
        return rows
    return [["EVENT" if headed and index == 0 else event, *row] for index, row in enumerate(rows)]


def _version_of(listed: list[Object]) -> str:
    if not listed:
        return ""
    version = (listed[0].get("metadata") or {}).get("resourceVersion")
    if version:
        return str(version)
    rows = listed[0].get("rows") or []
    return str((rows[0]["object"].get("metadata") or {}).get("resourceVersion") or "") if rows else ""


async def _events(of: session.Session, request: builder.Request, version: str, accept: str) -> Any:
    """The events of a watch from `version` on, until it ends."""
    query = [("watch", "true"), *_query(of)]
    if request.names:
        query = [("watch", "true"), ("fieldSelector", f"metadata.name={request.names[0]}")]
    if version:
        query.append(("resourceVersion", version))
    path = request.mapping.path(_namespace(of, request.mapping))
    response = of.rest.send("GET", path, query=query, accept=accept)
    if response.status >= 400:
        raise rest.refusal(response)
    if response.stream is None:
        return
    watch = rest.Watch(response.stream)
    try:
        while not watch.over:
            for event in watch.events():
                if event["type"] == "ERROR":
                    raise fail.StatusError(event["object"])
                if event["type"] != "BOOKMARK":
                    yield event
            if not watch.over:
                await of.io.wait(response.stream)
    finally:
        response.stream.close()


# -- objects ------------------------------------------------------------------------------------------------------


async def _objects(of: session.Session, output: str) -> None:
    printer = printers.of_format(
        of.io, output, of.flags["template"], of.flags["allow-missing-template-keys"], tables=True
    )
    wanted = await _requests(of)
    if of.flags["watch"] or of.flags["watch-only"]:
        await _watch_objects(of, wanted, printer)
        return
    errors: list[fail.Failed] = []
    found: list[Object] = []
    single = False
    for request in wanted.requests:
        _check_names(of, request)
        namespace = _namespace(of, request.mapping)
        try:
            if not request.names:
                found += of.list(
                    request.mapping, namespace, of.flags["selector"], of.flags["field-selector"], of.flags["chunk-size"]
                )
                continue
        except fail.StatusError as error:
            errors.append(error)
            continue
        single = len(wanted.requests) == 1 and len(request.names) == 1
        for name in request.names:
            try:
                path = request.mapping.path(namespace, name, of.flags["subresource"])
                found.append(of.rest.ask("GET", path))
            except fail.StatusError as error:
                if not (error.not_found and of.flags["ignore-not-found"]):
                    errors.append(error)
    if of.flags["sort-by"]:
        found = tables.sort(found, of.flags["sort-by"])
    if found or not (errors or (single and of.flags["ignore-not-found"])):
        _print(of, printer, found[0] if single and found else _list(of, found))
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise fail.Many(errors)


def _list(of: session.Session, items: list[Object]) -> Object:
    metadata = {"resourceVersion": ""}
    if of.minor < 24:
        metadata["selfLink"] = ""
    return {"apiVersion": "v1", "items": items, "kind": "List", "metadata": metadata}


def _print(of: session.Session, printer: printers.Printer, obj: Object, headings: bool = True) -> None:
    if of.flags["output"] in ("yaml", "json") and not of.flags["show-managed-fields"]:
        obj = printers.without_managed_fields(obj)
    obj = printers.as_served(obj)
    if isinstance(printer, columns.Renderer):
        text = printer.render(obj, headings and not of.flags["no-headers"])
    else:
        text = printer(obj)
    of.io.print(text, end="")


async def _watch_objects(of: session.Session, wanted: builder.Wanted, printer: printers.Printer) -> None:
    request = _one_to_watch(wanted)
    namespace = _namespace(of, request.mapping)
    first = True
    if request.names:
        answer = of.get(request.mapping, request.names[0], namespace)
        items = [answer]
    else:
        answer = of.rest.ask("GET", request.mapping.path(namespace), query=_query(of))
        kind = str(answer.get("kind", "")).removesuffix("List")
        items = [{"apiVersion": answer["apiVersion"], "kind": kind, **item} for item in answer.get("items") or ()]

    def show(obj: Object) -> None:
        nonlocal first
        if not first and of.flags["output"] == "yaml":
            of.io.print("---")
        _print(of, printer, obj, headings=first)
        first = False

    if not of.flags["watch-only"]:
        for item in items:
            show(item)
    version = str((answer.get("metadata") or {}).get("resourceVersion") or "")
    async for event in _events(of, request, version, rest.JSON):
        show(event["object"])


FLAGS = (
    *builder.FILES,
    *printers.OUTPUT,
    *flags.define(
        "selector,l",
        "field-selector",
        "all-namespaces,A:bool",
        "watch,w:bool",
        "watch-only:bool",
        "output-watch-events:bool",
        "ignore-not-found:bool",
        "label-columns,L:list",
        "no-headers:bool",
        "raw",
        "show-kind:bool",
        "show-labels:bool",
        "sort-by",
        "chunk-size:int=500",
        "server-print:bool=true",
        "subresource",
    ),
)

COMMANDS = {
    "get": Command(
        "get",
        "Display one or many resources.",
        run,
        FLAGS,
        "TYPE[.VERSION][.GROUP] [NAME | -l label] [flags] [options]",
    )
}
