"""Is what the documents say there? Targets, subcommands and their flags, programs, paths, settings, links and their
anchors, included files, generated tables, the models' docstrings; and is every variable that the code reads described?

`make check` runs it; `--write` fills included files and generated tables in.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

sys.path.insert(0, str(Path(__file__).parents[2]))  # `make check` starts this file by its path

from tests.checks.docs_reference import BUILDERS

from airloom.cli import COMMANDS
from airloom.spec import cluster, orchestration, parameters, pipeline, sources

ROOT = Path(__file__).parents[2]
SOURCES = ("include", "plugins", "docker", "docker-compose.yaml", "Makefile", ".ci", "tests/cluster")
INCLUDE = re.compile(r"<!-- include: (?P<path>\S+) -->\n(?P<block>\n*```\w*\n(?P<text>.*?)```\n)?", re.DOTALL)
GENERATED = re.compile(r"<!-- generated: (?P<name>\S+) -->\n(?P<text>.*?)<!-- /generated -->\n", re.DOTALL)
ENVIRONMENT = "docs/environment.md"
FENCE = re.compile(r"^```\w*\n(.*?)^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def main(arguments: list[str]) -> int:
    """Print what is not true; 1 if anything."""
    documents = [path for pattern in ("*.md", "*/README.md", "docs/**/*.md") for path in sorted(ROOT.glob(pattern))]
    if "--write" in arguments:
        for document in documents:
            text = document.read_text(encoding="utf-8")
            filled = GENERATED.sub(_generate, INCLUDE.sub(_fill, text))
            if filled != text:
                document.write_text(filled, encoding="utf-8")
    faults = [
        f"{document.relative_to(ROOT)}: {fault}"
        for document in documents
        for fault in find_faults(document.read_text(encoding="utf-8"), document.parent)
    ]
    faults += [f"{ENVIRONMENT}: {fault}" for fault in find_undescribed_variables()]
    faults += [f"{name} has no docstring; say what it means below it" for name in find_undescribed()]
    print("\n".join(faults) or f"{len(documents)} documents are true")
    return 1 if faults else 0


def find_faults(text: str, folder: Path, root: Path = ROOT) -> Iterator[str]:
    """What a document says that is not so.

    Args:
        text: Markdown.
        folder: what its links are relative to.
        root: what its paths in code are relative to.
    """
    fenced = "\n".join(FENCE.findall(text))
    targets = set(re.findall(r"^([a-z][a-z-]*):", (root / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for span in [*re.findall(r"`([^`\n]+)`", FENCE.sub("", text)), *fenced.splitlines()]:
        if (named := re.match(r"\s*\$?\s*make ([a-z][a-z-]*)", span)) and named[1] not in targets:
            yield f"there is no `make {named[1]}`; there are: {', '.join(sorted(targets))}"
        if named := re.match(r"\s*\$?\s*(?:[A-Z_]+=\S+ )*(?:\S*/)?airloom ([a-z]+)(.*)", span):
            yield from _find_lost_flags(named[1], named[2].partition("#")[0])
        yield from _find_lost_path(span, root)
        yield from _find_lost_module(span, root)
    yield from _find_lost_links(text, folder)
    source = "\n".join(_read_sources(root))
    for name in sorted(set(re.findall(r"AIRLOOM_[A-Z0-9_]+", text))):
        if name not in source:
            yield f"names {name}, which nothing reads; mend the name"
    yield from _find_old_copies(text, root)


def _find_lost_links(text: str, folder: Path) -> Iterator[str]:
    for link in LINK.findall(FENCE.sub("", text)):
        path, _, anchor = link.partition("#")
        if "://" in path or link.startswith("mailto:"):
            continue
        if path and not (folder / path).exists():
            yield f"links to {path}, which is not there; put it there, or mend the link"
        elif anchor and (not path or path.endswith(".md")):
            target = (folder / path).read_text(encoding="utf-8") if path else text
            if anchor not in map(_slug, re.findall(r"^#+ (.+)$", FENCE.sub("", target), re.MULTILINE)):
                yield f"links to {link}, where there is no such heading; mend the anchor"


def _find_old_copies(text: str, root: Path) -> Iterator[str]:
    """Included files and generated tables that are not current."""
    for found in INCLUDE.finditer(text):
        path = root / found["path"]
        if path.is_file() and found["text"] != path.read_text(encoding="utf-8"):
            yield f"the copy of {found['path']} is not current; run tests/checks/docs_true.py --write"
        elif not path.is_file():
            yield f"includes {found['path']}, which is not there"
    for found in GENERATED.finditer(text):
        if found["name"] not in BUILDERS:
            yield f"there is nothing to generate called {found['name']}; there are: {', '.join(BUILDERS)}"
        elif found[0] != _generate(found):
            yield f"the table {found['name']} is not current; run tests/checks/docs_true.py --write"


def find_undescribed_variables(root: Path = ROOT) -> Iterator[str]:
    """Variables of ours that the code reads and the page about them does not name."""
    code = "\n".join(
        path.read_text(encoding="utf-8")
        for folder in ("include", "plugins", "docker")
        for path in sorted((root / folder).rglob("*"))
        if path.suffix == ".py" or path.name == "Dockerfile"
    )
    named = (root / ENVIRONMENT).read_text(encoding="utf-8")
    known = set(re.findall(r"AIRLOOM_[A-Z0-9_]+", named))
    for name in sorted(set(re.findall(r"\bAIRLOOM_[A-Z0-9_]+", code)) - known):
        yield f"says nothing of {name}, which the code reads; describe it"


def find_undescribed() -> Iterator[str]:
    """Fields of the pipeline file's and the cluster file's models that say nothing about themselves."""
    models = {
        model
        for module in (cluster, orchestration, parameters, pipeline, sources)
        for model in vars(module).values()
        if isinstance(model, type) and issubclass(model, BaseModel) and model.__module__ == module.__name__
    }
    for model in sorted(models, key=lambda model: model.__qualname__):
        for name, field in model.model_fields.items():
            if (
                name not in ("apiVersion", "kind", "type")
                and not field.description
                and not _names_section(field.annotation)
            ):
                yield f"{model.__module__}.{model.__qualname__}.{name}"


def _names_section(annotation: object) -> bool:
    """Whether a field is one section (or none), whose own docstring then describes it."""
    options = [option for option in getattr(annotation, "__args__", (annotation,)) if option is not type(None)]
    return all(isinstance(option, type) and issubclass(option, BaseModel) and option.__doc__ for option in options)


def _find_lost_flags(command: str, arguments: str) -> Iterator[str]:
    """A subcommand that is not there, or a flag that it does not take."""
    if command not in COMMANDS:
        yield f"there is no `airloom {command}`; there are: {', '.join(COMMANDS)}"
        return
    if command == "airflow":  # its arguments are Airflow's
        return
    for flag in re.findall(r"(?<=\s)--[a-z-]+", arguments):
        if flag not in _read_flags(command):
            yield f"`airloom {command}` takes no {flag}; it takes: {', '.join(sorted(_read_flags(command)))}"


@functools.cache
def _read_flags(command: str) -> frozenset[str]:
    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.suppress(SystemExit):
        importlib.import_module(f"airloom.cli.{command}").run(["--help"])
    return frozenset(re.findall(r"--[a-z-]+", told.getvalue()))


def _find_lost_module(span: str, root: Path) -> Iterator[str]:
    """`python -m` of a module of ours that is not there."""
    for name in re.findall(r"python -m ((?:airloom|airloom_airflow|tests)[\w.]*)", span):
        path = name.replace(".", "/")
        places = [
            root / side / f"{path}{end}" for side in ("include", "plugins", ".") for end in (".py", "/__main__.py")
        ]
        if not any(place.is_file() for place in places):
            yield f"starts {name}, which is not there; mend the name"


def _slug(heading: str) -> str:
    """A heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def _find_lost_path(span: str, root: Path) -> Iterator[str]:
    """A path into the tree, recognised by its first folder; generated ones (`build`, `.venv`) and patterns are not."""
    for word in span.split():
        first = word.partition("/")[0]
        known = first not in ("", ".", "..", "build", ".venv") and (root / first).exists()
        if "/" in word and known and not re.search(r"[<>*{}$…:]", word) and not (root / word.rstrip(".,;")).exists():
            yield f"names {word}, which is not there; mend the path"


def _read_sources(root: Path) -> Iterator[str]:
    for name in SOURCES:
        place = root / name
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.is_file() and path.suffix in ("", ".py", ".sh", ".yaml"):
                yield path.read_text(encoding="utf-8", errors="ignore")


def _fill(found: re.Match[str]) -> str:
    path = ROOT / found["path"]
    if not path.is_file():
        return found[0]
    language = {".yaml": "yaml", ".py": "python"}.get(path.suffix, "")
    return f"<!-- include: {found['path']} -->\n```{language}\n{path.read_text(encoding='utf-8')}```\n"


def _generate(found: re.Match[str]) -> str:
    if found["name"] not in BUILDERS:
        return found[0]
    return f"<!-- generated: {found['name']} -->\n\n{BUILDERS[found['name']]()}\n<!-- /generated -->\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
