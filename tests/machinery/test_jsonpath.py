"""kubectl's JSONPath."""

import pytest

from kubesim.machinery import jsonpath

PODS = {
    "kind": "List",
    "items": [
        {"metadata": {"name": "a", "labels": {"app.kubernetes.io/name": "x"}}, "status": {"podIP": "10.0.0.1", "n": 1}},
        {"metadata": {"name": "b"}, "status": {"podIP": "10.0.0.2", "n": 5, "ready": True}},
    ],
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{.kind}", "List"),
        ("plain", "plain"),
        ("{.items[*].metadata.name}", "a b"),
        ("{.items[0].metadata.name}", "a"),
        ("{.items[-1:].metadata.name}", "b"),
        ("{.items[-1].metadata.name}", "b"),
        ("{.items[0:1].metadata.name}", "a"),
        ("{.items[0,1].metadata.name}", "a b"),
        ("{.items[*]['metadata.name','status.podIP']}", "a b 10.0.0.1 10.0.0.2"),
        (r"{.items[0].metadata.labels.app\.kubernetes\.io/name}", "x"),
        (r"{.items[0].metadata.labels['app\.kubernetes\.io/name']}", "x"),
        ('{range .items[*]}{.metadata.name}{"\\t"}{.status.podIP}{"\\n"}{end}', "a\t10.0.0.1\nb\t10.0.0.2\n"),
        ('{.items[?(@.metadata.name=="b")].status.podIP}', "10.0.0.2"),
        ("{.items[?(@.status.n>2)].metadata.name}", "b"),
        ("{.items[?(@.status.ready)].metadata.name}", "b"),
        ("{..podIP}", "10.0.0.1 10.0.0.2"),
        ("{.items[0].status}", '{"n":1,"podIP":"10.0.0.1"}'),
        ("{.items[1].status.ready}", "true"),
        ("{.nope.at.all}", ""),
        ("{.items[0].metadata.*}", '{"app.kubernetes.io/name":"x"} a'),
        ("{$.kind} and {@.kind}", "List and List"),
        ("{range .nope[*]}x{end}y", "y"),
    ],
)
def test_templates(template, text):
    assert jsonpath.JsonPath(template).render(PODS) == text


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{.items[", "unterminated array"),
        ("{.items", "unclosed action"),
        ("{.items[x]}", "invalid array index x"),
        ("{.items[?(@.a}", "unterminated filter"),
        ('{"a}', "unterminated quoted string"),
        ("{/}", "unrecognized character in action: U+002F '/'"),
    ],
)
def test_unreadable(template, message):
    with pytest.raises(jsonpath.JsonPathError) as raised:
        jsonpath.JsonPath(template)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{.items[5]}", "array index out of bounds: index 5, length 2"),
        ("{.kind[0]}", "string is not array or slice"),
        ("{end}", "not in range, nothing to end"),
        ("{foo}", "unrecognized identifier foo"),
        ('{.items[?(@.status.n=="1")]}', "incompatible types for comparison"),
    ],
)
def test_unfit(template, message):
    with pytest.raises(jsonpath.JsonPathError) as raised:
        jsonpath.JsonPath(template).render(PODS)
    assert str(raised.value) == message


def test_relaxed():
    assert jsonpath.relaxed("metadata.name") == "{.metadata.name}"
    assert jsonpath.relaxed(".metadata.name") == "{.metadata.name}"
    assert jsonpath.relaxed("{.metadata.name}") == "{.metadata.name}"
    with pytest.raises(jsonpath.JsonPathError):
        jsonpath.relaxed("{.metadata.name")
