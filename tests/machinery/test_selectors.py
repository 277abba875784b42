"""Label and field selectors, in apimachinery's words."""

import pytest

from kubesim.machinery import selectors

LABELS = {"app": "web", "tier": "front", "n": "5"}


@pytest.mark.parametrize(
    ("text", "matches", "canonical"),
    [
        ("", True, ""),
        ("app=web", True, "app=web"),
        ("app==web", True, "app==web"),
        ("app!=web", False, "app!=web"),
        ("other!=web", True, "other!=web"),
        ("app in (web, api)", True, "app in (api,web)"),
        ("app notin (web)", False, "app notin (web)"),
        ("app", True, "app"),
        ("!app", False, "!app"),
        ("!other,app", True, "app,!other"),
        ("n>4", True, "n>4"),
        ("n<5", False, "n<5"),
        ("app>4", False, "app>4"),
        ("app=", False, "app="),
        ("tier=front,app in (ms-hello-dep, other)", False, "app in (ms-hello-dep,other),tier=front"),
    ],
)
def test_text_form(text, matches, canonical):
    selector = selectors.parse(text)
    assert selector.matches(LABELS) is matches
    assert str(selector) == canonical


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("app in web", "unable to parse requirement: found 'web' expected: '('"),
        ("=web", "unable to parse requirement: found '=', expected: !, identifier, or 'end of string'"),
        ("a,", "unable to parse requirement: found '', expected: identifier after ','"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a=b c", "unable to parse requirement: found 'c', expected: ',' or 'end of string'"),
        (
            "a=-",
            'unable to parse requirement: values[0][a]: Invalid value: "-": a valid label must be an empty string or '
            "consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
            "(e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
            "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
        ),
    ],
)
def test_what_is_no_selector(text, message):
    with pytest.raises(selectors.SelectorError) as raised:
        selectors.parse(text)
    assert str(raised.value) == message


def test_object_form():
    assert not selectors.from_label_selector(None).matches(LABELS)
    assert selectors.from_label_selector({}).matches(LABELS)
    selector = selectors.from_label_selector(
        {
            "matchLabels": {"app": "web"},
            "matchExpressions": [
                {"key": "tier", "operator": "In", "values": ["front", "back"]},
                {"key": "gone", "operator": "DoesNotExist"},
            ],
        }
    )
    assert str(selector) == "app=web,!gone,tier in (back,front)"
    assert selector.matches(LABELS)
    with pytest.raises(selectors.SelectorError, match='"Like" is not a valid label selector operator'):
        selectors.from_label_selector({"matchExpressions": [{"key": "a", "operator": "Like"}]})


def test_from_map():
    assert str(selectors.from_map({"b": "2", "a": "1"})) == "a=1,b=2"
    assert selectors.from_map(None).empty


def test_fields():
    pod = {"metadata": {"name": "a"}, "spec": {"nodeName": "n1", "hostNetwork": True}}
    assert selectors.fields_match(pod, selectors.parse_fields("spec.nodeName=n1,metadata.name!=b"))
    assert not selectors.fields_match(pod, selectors.parse_fields("spec.nodeName!=n1"))
    assert selectors.fields_match(pod, selectors.parse_fields("spec.hostNetwork=true"))
    assert selectors.fields_match(pod, selectors.parse_fields("status.phase="))
    assert [str(each) for each in selectors.parse_fields(r"a==x\,y,b=c")] == [r"a=x\,y", "b=c"]
    with pytest.raises(selectors.SelectorError, match="invalid selector: 'foo'; can't understand 'foo'"):
        selectors.parse_fields("foo")
