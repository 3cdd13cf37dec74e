"""The README keeps its word: each hop of "Life of a request" names a function that is there, and the targets and files it names exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
README = (CHECKOUT / "README.md").read_text()


def functions(path: Path) -> set[str]:
    """Names of the functions of a module, methods as Class.method."""
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{each.name}" for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
    return found


def test_every_hop_of_a_request_is_a_function_that_exists() -> None:
    life = README.partition("## Life of a request")[2].partition("\n## ")[0]
    hops = re.findall(r"\| ([a-z]+/[a-z_/]+\.py):([\w.]+) \|", life)
    assert len(hops) == 10
    for path, function in hops:
        assert function in functions(CHECKOUT / path), f"{path} has no {function}"


def test_every_folder_and_make_target_it_names_exists() -> None:
    folders = re.findall(r"^    ([a-z]+)/ ", README, re.MULTILINE)
    assert len(folders) == 8
    for folder in folders:
        assert (CHECKOUT / folder).is_dir()
    makefile = (CHECKOUT / "Makefile").read_text()
    for target in set(re.findall(r"`(?:LAB=1 )?make ([a-z]+)`", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
