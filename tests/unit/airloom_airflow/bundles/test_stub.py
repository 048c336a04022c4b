"""The DAG file of a pipeline file is valid Python whatever the pipeline file is called and holds."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airloom_airflow.bundles.stub import MARK, Stub, build_refusal, build_stub

COOKIE = "target-encoding=v2.yaml"
"""By PEP 263 a comment like this, in a file's first or second line, names the file's encoding."""


@pytest.mark.parametrize(
    "text",
    [
        build_stub(Stub(f"ops/{COOKIE}", b"# coding: v3", "0" * 16, "coding:v4")),
        build_refusal(COOKIE, "its name will not do"),
    ],
)
def test_a_name_that_python_would_read_as_an_encoding_is_a_name(text):
    ast.parse(text.encode())
    assert text.startswith(MARK)
    assert COOKIE in text


@given(file=st.text(), text=st.binary(), environment=st.none() | st.text(), owner=st.none() | st.text())
def test_a_dag_file_is_python_whatever_it_stands_for(file, text, environment, owner):
    ast.parse(build_stub(Stub(file, text, "0" * 16, environment, owner)).encode())
