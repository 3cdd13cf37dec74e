"""The catalogue of this home: what Corral ships, and what the Python files in $CORRAL_HOME/extensions add (docs/extensions.md).

    extensions/*.py, by name -> each file's extend(catalogue) -> checked after each, so that an error names its file
"""

from __future__ import annotations

import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

from commands.catalogue.builtin import CATALOGUE
from commands.catalogue.catalogue import Catalogue
from commands.catalogue.extend import Extending
from commands.catalogue.model import CatalogueError
from commands.catalogue.shapes import uncallable

FOLDER = "extensions"
ENTRY = "extend"
STRANGE = (Exception, SystemExit)
"""It is a stranger's code: whatever it raises is told with its place, also where it would end the process without a word."""


class ExtensionFailed(Exception):
    """A file of $CORRAL_HOME/extensions can't be used: mend it, or take it out of the folder."""

    def __init__(self, file: Path, line: int | None, why: str) -> None:
        where = f"{file}, line {line}" if line else str(file)
        super().__init__(f"the extension {where}: {why}. Mend it, or take the file out of {file.parent}")


def catalogue_of(home: Path) -> Catalogue:
    """Raises ExtensionFailed. Without extensions it is the built-in one itself."""
    files = sorted(each for each in (home / FOLDER).glob("*.py") if each.is_file() and not each.name.startswith("_"))
    catalogue = CATALOGUE
    for file in files:
        catalogue = _extended(catalogue, file)
    return catalogue


def _extended(catalogue: Catalogue, file: Path) -> Catalogue:
    module = _loaded(file)
    entry = getattr(module, ENTRY, None)
    if not callable(entry):
        raise ExtensionFailed(file, None, f"it has no function {ENTRY}(catalogue), which is what is called to add to the catalogue")
    if why := uncallable(entry, 1):
        raise ExtensionFailed(file, _first_line(entry), f"its {ENTRY} {why}: write def {ENTRY}(catalogue)")
    extending = Extending(catalogue)
    try:
        entry(extending)
        return extending.build()
    except CatalogueError as error:
        added_in, line = extending.places.get(error.about, ("", 0))
        added = line if Path(added_in) == file else _first_line(entry)
        raise ExtensionFailed(file, _line_in(file, error) or added, str(error)) from error
    except STRANGE as error:
        raise ExtensionFailed(file, _line_in(file, error) or _first_line(entry), _said(error)) from error


def _loaded(file: Path) -> ModuleType:
    name = f"corral_extensions.{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None, f"{file} ends in .py"
    assert spec.loader is not None, f"{file} ends in .py"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses of its own look themselves up there
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise ExtensionFailed(file, error.lineno, f"it is no Python: {error.msg}") from error
    except STRANGE as error:
        raise ExtensionFailed(file, _line_in(file, error), _said(error)) from error
    return module


def _line_in(file: Path, error: BaseException) -> int | None:
    """The line of the file that led to the error, the innermost of them."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == file]
    return lines[-1] if lines else None


def _first_line(entry: object) -> int | None:
    code = getattr(entry, "__code__", None)
    return code.co_firstlineno if code is not None else None


def _said(error: BaseException) -> str:
    return f"it raises {type(error).__name__}: {error}" if str(error) else f"it raises {type(error).__name__}"
