"""Digest of the code that a module reaches, for Snakemake's rerun decision.

Only modules of this package count: the versions of libraries are pinned by the environments. Each
module enters as its syntax tree without comments, docstrings and positions, so that an edited
comment makes nothing stale.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

_ROOT = Path(__file__).resolve().parent

# What each digest that this process was asked for is made of: module -> its tree's digest.
PARTS: dict[str, dict[str, str]] = {}


@cache
def code_digest(module: str, root: Path = _ROOT) -> str:
    """Return 16 hexadecimal digits over ``module`` and all that it imports, directly or not.

    Args:
        module: dotted name such as ``balign.kg.build``.
        root: the package's folder; its name is the package's name.

    Raises:
        ModuleNotFoundError: if ``module`` is not in the package.
    """
    if _module_file(module, root) is None:
        raise ModuleNotFoundError(f"no module {module} under {root}")
    parts = {name: _tree_digest(name, root) for name in sorted(reached_modules(module, root))}
    text = "".join(f"{name}:{tree};" for name, tree in parts.items())
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    PARTS[digest] = {name: tree[:16] for name, tree in parts.items()}
    return digest


def reached_modules(module: str, root: Path = _ROOT) -> set[str]:
    """Return the names of the package's modules that ``module`` imports, itself included."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(_imports(name, root))
    return found


def _module_file(name: str, root: Path) -> Path | None:
    parts = name.split(".")
    if parts[0] != root.name:
        return None
    base = root.joinpath(*parts[1:])
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


@cache
def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


@cache
def _imports(name: str, root: Path) -> tuple[str, ...]:
    path = _module_file(name, root)
    assert path is not None
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    targets: list[str] = []
    for node in ast.walk(_parse(path)):
        if isinstance(node, ast.Import):
            targets += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                parents = parents[: len(parents) - node.level + 1]
                base = ".".join([*parents, base] if base else parents)
            targets.append(base)
            targets += [f"{base}.{alias.name}" for alias in node.names]  # from . import module
    found = []
    for target in targets:
        parts = target.split(".")
        # Importing a.b.c runs a and a.b too.
        for end in range(1, len(parts) + 1):
            candidate = ".".join(parts[:end])
            if candidate != root.name and _module_file(candidate, root) is not None:
                found.append(candidate)
    return tuple(dict.fromkeys(found))


@cache
def _tree_digest(name: str, root: Path) -> str:
    path = _module_file(name, root)
    assert path is not None
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            match first:
                case ast.Expr(value=ast.Constant(value=str())):
                    node.body = node.body[1:]
    dump = ast.dump(tree, annotate_fields=False, include_attributes=False)
    return hashlib.sha256(dump.encode()).hexdigest()
