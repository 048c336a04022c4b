"""Is what the documents say there? Targets, subcommands, paths, settings, included files, the models' docstrings.

`make check` runs it; `--write` fills the included files in.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from airloom.cli import COMMANDS
from airloom.spec import cluster, pipeline, sources

ROOT = Path(__file__).parents[2]
SOURCES = ("include", "plugins", "docker", "Makefile", ".ci", "tests/cluster")
INCLUDE = re.compile(r"<!-- include: (?P<path>\S+) -->\n(?P<block>\n*```\w*\n(?P<text>.*?)```\n)?", re.DOTALL)
FENCE = re.compile(r"^```\w*\n(.*?)^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def main(arguments: list[str]) -> int:
    """Print what is not true; 1 if anything."""
    documents = [path for pattern in ("*.md", "*/README.md", "docs/**/*.md") for path in sorted(ROOT.glob(pattern))]
    if "--write" in arguments:
        for document in documents:
            text = document.read_text(encoding="utf-8")
            filled = INCLUDE.sub(_fill, text)
            if filled != text:
                document.write_text(filled, encoding="utf-8")
    faults = [
        f"{document.relative_to(ROOT)}: {fault}"
        for document in documents
        for fault in find_faults(document.read_text(encoding="utf-8"), document.parent)
    ]
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
    spans = [*re.findall(r"`([^`\n]+)`", FENCE.sub("", text)), *fenced.splitlines()]
    targets = set(re.findall(r"^([a-z][a-z-]*):", (root / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for span in spans:
        if (named := re.match(r"\s*\$?\s*make ([a-z][a-z-]*)", span)) and named[1] not in targets:
            yield f"there is no `make {named[1]}`; there are: {', '.join(sorted(targets))}"
        if (named := re.match(r"\s*\$?\s*(?:\S*/)?airloom ([a-z]+)", span)) and named[1] not in COMMANDS:
            yield f"there is no `airloom {named[1]}`; there are: {', '.join(COMMANDS)}"
        yield from _find_lost_path(span, root)
    for link in LINK.findall(text):
        path = link.partition("#")[0]
        if path and "://" not in path and not link.startswith("mailto:") and not (folder / path).exists():
            yield f"links to {path}, which is not there; put it there, or mend the link"
    source = "\n".join(_read_sources(root))
    for name in sorted(set(re.findall(r"AIRLOOM_[A-Z0-9_]+", text))):
        if name not in source:
            yield f"names {name}, which nothing reads; mend the name"
    for found in INCLUDE.finditer(text):
        path = root / found["path"]
        if path.is_file() and found["text"] != path.read_text(encoding="utf-8"):
            yield f"the copy of {found['path']} is not current; run tests/checks/docs_true.py --write"
        elif not path.is_file():
            yield f"includes {found['path']}, which is not there"


def find_undescribed() -> Iterator[str]:
    """Fields of the pipeline file's and the cluster file's models that say nothing about themselves."""
    models = {
        model
        for module in (cluster, pipeline, sources)
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
