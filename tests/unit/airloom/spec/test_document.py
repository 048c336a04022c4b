"""YAML text → plain data: what is read, what is refused, and where it is said to be."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airloom.errors import Finding, SpecError
from airloom.spec.document import load_document, parse_document
from airloom.spec.file_reading import MAX_BYTES

TEXT = st.text(st.characters(min_codepoint=1, max_codepoint=0xD7FF))
KEY = TEXT.filter(lambda text: len(json.dumps(text)) <= 1024)  # YAML's own limit for a key of this form
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEY, inner, max_size=4),
    max_leaves=20,
)


def refused(text: str | bytes) -> Finding:
    """The one finding that a text is refused with."""
    with pytest.raises(SpecError) as caught:
        parse_document(text if isinstance(text, bytes) else text.encode(), "p.yaml")
    (finding,) = caught.value.findings
    return finding


def test_values_are_read_as_yaml_1_2() -> None:
    text = (
        "{text: no, on: off, day: 2013-01-01, time: 12:30:00, int: -7, hex: 0x1F, octal: 0o17, leading: 010, "
        "float: 1.5, exponent: 1e3, half: .5, yes: true, none: null, empty: , quoted: '7', tagged: !!str 7, inf: .inf}"
    )
    assert parse_document(text.encode(), "p.yaml").data == {
        "text": "no",
        "on": "off",
        "day": "2013-01-01",
        "time": "12:30:00",
        "int": -7,
        "hex": 31,
        "octal": 15,
        "leading": 10,
        "float": 1.5,
        "exponent": 1000.0,
        "half": 0.5,
        "yes": True,
        "none": None,
        "empty": None,
        "quoted": "7",
        "tagged": "7",
        "inf": ".inf",
    }


def test_aliases_repeat_a_value_and_its_place() -> None:
    document = parse_document(b"a: &x\n  b: 1\nc: *x\n", "p.yaml")
    assert document.data == {"a": {"b": 1}, "c": {"b": 1}}
    assert document.find(("c", "b")) == (2, (2, 6))


def test_every_key_and_value_has_its_line_and_column() -> None:
    document = parse_document("a:\n  ü: [10, {b: 2}]\n".encode(), "p.yaml")
    assert document.find(("a", "ü"), of_key=True) == (2, (2, 3))
    assert document.find(("a", "ü", 0)) == (3, (2, 7))
    assert document.find(("a", "ü", 1, "b")) == (4, (2, 15))
    assert document.find(("a", "z", "y")) == (1, (2, 3))


@given(JSON)
@example({"": {"a\nb": [1e300, -0.0, "\x85\u2028", 2**80]}})
def test_json_is_read_as_it_is(value: object) -> None:
    assert parse_document(json.dumps(value).encode(), "p.yaml").data == value


@given(st.binary(max_size=300) | st.text(alphabet="[]{}:,-?&*!|>'\"%@` \n\tab01#\0", max_size=200).map(str.encode))
def test_any_bytes_are_data_or_are_told(text: bytes) -> None:
    findings: tuple[Finding, ...] = ()
    try:
        parse_document(text, "p.yaml")
    except SpecError as error:
        findings = error.findings or (Finding("untold", 0, 0, "", ""),)
    assert all(finding.file == "p.yaml" and finding.line >= 0 and finding.message for finding in findings)


def test_a_megabyte_of_nesting_is_refused_in_a_process_that_lives() -> None:
    code = """
from airloom.errors import SpecError
from airloom.spec.document import parse_document
for opening in ("[", "{a: ", "- ", "? ", "[[{a: "):
    try:
        parse_document((opening * 1_000_000).encode()[:1_000_000], "p.yaml")
    except SpecError as error:
        print(error)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    told = ended.stdout.splitlines()
    assert ["nested deeper than 50 levels" in line for line in told] == [True, True, True, False, True]
    assert "a key must be text" in told[3]


def test_fifty_levels_are_read() -> None:
    assert parse_document(b"[" * 50 + b"]" * 50, "p.yaml").data
    assert "nested deeper" in refused("[" * 51 + "]" * 51).message


def test_an_alias_bomb_is_refused() -> None:
    levels = [f"l{index}: &l{index} [{', '.join([f'*l{index - 1}'] * 9)}]" for index in range(1, 10)]
    assert "more than 100,000 values" in refused("\n".join(["l0: &l0 [x, x]", *levels])).message


def test_a_value_that_holds_itself_is_refused() -> None:
    assert refused("a: &x [*x]") == Finding(
        "p.yaml", 1, 8, "a", "*x names no finished anchor above; write &x there first"
    )


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("a: [1,\nb: 2", 2, 5, "begun in line 1"),
        ("a: 'open", 1, 9, "not YAML"),
        ("a:\n\tb: 1", 2, 1, "spaces, not tabs"),
        (b"ok: 1\nn\xc3\xbc: \xff", 2, 5, "byte 0xff at offset 11 is not UTF-8"),
        ("a: \x01", 1, 4, "control characters"),
        ('a: "\\0"', 1, 4, "NUL"),
        ("a: 1\nb: 2\na: 3", 3, 1, "'a' is here twice, first in line 1"),
        ("a: 1\n---\nb: 2", 2, 1, "second document"),
        ("a: !!python/object/apply:os.system [ls]", 1, 4, "the tag !!python/object/apply:os.system is not allowed"),
        ("a: !!python/name:os.system", 1, 4, "the tag !!python/name:os.system is not allowed"),
        ("a: !vault x", 1, 4, "the tag !vault is not allowed"),
        ("a: !!int 3", 1, 4, "the tag !!int is not allowed"),
        ("? [a]\n: b", 1, 3, "a key must be text"),
        ("a: 1e999", 1, 4, "too large"),
        ("a: *nowhere", 1, 4, "names no finished anchor"),
    ],
)
def test_what_is_no_plain_yaml_is_told_with_its_place(text: str | bytes, line: int, column: int, words: str) -> None:
    finding = refused(text)
    assert (finding.line, finding.column) == (line, column)
    assert words in finding.message


def test_all_faults_of_form_are_told_at_once() -> None:
    with pytest.raises(SpecError) as caught:
        parse_document(b"a: !x 1\nb: !y 2\na: 3\n", "p.yaml")
    assert [finding.line for finding in caught.value.findings] == [1, 2, 3]
    assert str(caught.value).count("\n") == 2


def test_a_tag_runs_nothing(tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    refused(f"a: !!python/object/apply:os.mkdir ['{trace}']")
    assert not trace.exists()


def test_a_large_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    path.write_bytes(b"a" * (MAX_BYTES + 1))
    with pytest.raises(SpecError, match=r"large.yaml: is larger than 1,000,000 bytes"):
        load_document(path)


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be read: No such file"):
        load_document(tmp_path / "absent.yaml")
    with pytest.raises(SpecError, match="cannot be read: Is a directory"):
        load_document(tmp_path)
