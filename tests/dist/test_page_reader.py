"""A page's commands are all found, and one that fails fails its test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.dist.page import Shell, read_sections


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path, tmp_path)
    yield shell
    shell.close()


def test_commands_are_found_by_their_section(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# Page\n\n## Say\n\n```console\ncd /tmp\n\necho a  # loudly\n```\n\nand\n\n```console\necho b\n```\n"
        "\n## Read\n\nNothing; `echo c` is no command.\n\n```text\necho d\n```\n\n## End\n\n```console\nexit\n```\n"
    )
    assert read_sections(page) == {"Say": ["cd /tmp", "echo a", "echo b"], "End": ["exit"]}


def test_one_command_goes_on_where_the_last_one_ended(shell: Shell) -> None:
    shell.run("mkdir here && cd here && export NAME=me")
    assert shell.run("echo $NAME in $(basename $PWD)").strip() == "me in here"


def test_a_command_that_fails_is_no_success(shell: Shell) -> None:
    with pytest.raises(AssertionError, match=r"false\nended with status 1"):
        shell.run("false")
    with pytest.raises(AssertionError, match=r"true\nended with status 0"):
        shell.run("true", 1)
    shell.run("(exit 3)", 3)


def test_a_command_that_reads_its_input_leaves_the_next_one(shell: Shell) -> None:
    assert shell.run("cat").strip() == ""
    assert shell.run("echo next").strip() == "next"


def test_a_shell_that_ends_is_told(shell: Shell) -> None:
    with pytest.raises(AssertionError, match="the shell has ended"):
        shell.run("exit")
