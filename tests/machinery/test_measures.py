"""Quantities and durations."""

import pytest

from kubesim.machinery import durations, quantities


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("1", "1"),
        ("0", "0"),
        ("0.5", "500m"),
        ("1500m", "1500m"),
        ("1000m", "1"),
        ("2000", "2k"),
        ("1e3", "1e3"),
        ("1024Ki", "1Mi"),
        ("1.5Gi", "1536Mi"),
        ("500Ki", "500Ki"),
        ("512", "512"),
        ("-1.5", "-1500m"),
        (".5", "500m"),
        ("0.0000000001", "1n"),
        ("110", "110"),
    ],
)
def test_canonical_quantities(text, canonical):
    assert quantities.canonical(text) == canonical


def test_quantities_compare_and_add():
    assert quantities.compare("1Gi", "1000Mi") == 1
    assert quantities.compare("1000m", 1) == 0
    assert str(quantities.parse("100m") + quantities.parse("900m")) == "1"
    assert quantities.parse("1.5").whole() == 2
    assert quantities.parse("1500m").milli() == 1500


@pytest.mark.parametrize(
    ("text", "message"),
    [("abc", quantities.FORMAT), ("1x", "unable to parse quantity's suffix"), ("", quantities.FORMAT)],
)
def test_no_quantity(text, message):
    with pytest.raises(quantities.QuantityError) as raised:
        quantities.parse(text)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (303, "5m3s"),
        (600, "10m"),
        (3 * 3600 - 1, "179m"),
        (3 * 3600 + 240, "3h4m"),
        (8 * 3600, "8h"),
        (3 * 86400 + 4 * 3600, "3d4h"),
        (9 * 86400, "9d"),
        (2 * 365 * 86400 + 86400, "2y1d"),
        (9 * 365 * 86400 + 86400, "9y"),
        (-5, "<invalid>"),
    ],
)
def test_ages(seconds, text):
    assert durations.human(seconds) == text


@pytest.mark.parametrize(
    ("text", "seconds", "back"),
    [("1h2m3s", 3723, "1h2m3s"), ("90s", 90, "1m30s"), ("1.5s", 1.5, "1.5s"), ("300ms", 0.3, "300ms"), ("0", 0, "0s")],
)
def test_go_durations(text, seconds, back):
    assert durations.parse(text) == pytest.approx(seconds)
    assert durations.format(seconds) == back


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5", 'time: missing unit in duration "5"'),
        ("x", 'time: invalid duration "x"'),
        ("5y", 'time: unknown unit "y" in duration "5y"'),
    ],
)
def test_no_duration(text, message):
    with pytest.raises(durations.DurationError) as raised:
        durations.parse(text)
    assert str(raised.value) == message
