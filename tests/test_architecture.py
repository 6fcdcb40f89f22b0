"""The house: which room may import which, and how large the files may grow."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Outside the standard library, and outside its own room.
MAY_IMPORT = {
    "minigrad": {"numpy", "scipy", "tqdm"},
    "optimizers": {"numpy"},
    "datasets": {"numpy"},
}
FILES = [path for room in MAY_IMPORT for path in (ROOT / room).glob("*.py")]
ids = [f"{path.parent.name}/{path.name}" for path in FILES]
every_file = pytest.mark.parametrize("path", FILES, ids=ids)

# The arrows between the rooms: all others are missing on purpose.
ARROWS = {("minigrad/models.py", "optimizers"), ("minigrad/models.py", "datasets")}
SUITE = "optimizers/tools/conformance.py"  # tests that ship, for authors of optimizers: run by pytest
# These may be imported only inside a function, when it is called.
WHEN_CALLED = {"minigrad/plotting.py": {"matplotlib", "PIL"}}  # PIL comes with matplotlib


def imports(path):
    """(absolute module, whether it runs when the file is imported) for each import of a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    room = "minigrad" if path.parent.name == "minigrad" else f"minigrad.{path.parent.name}"
    later = {  # run when a function is called, or never but by a type checker
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.FunctionDef)
        or (isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING")
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = room.split(".")
            base = parts[: len(parts) - node.level + 1] if node.level else []
            module = ".".join([*base, *filter(None, [node.module])])
            names = [f"{module}.{alias.name}" for alias in node.names]
        for name in names:
            yield name, id(node) not in later


def room_of(module):
    """'numpy' for numpy.random; 'optimizers' for minigrad.optimizers.sgd; 'minigrad' for ours."""
    first, *rest = module.split(".")
    return rest[0] if first == "minigrad" and rest[:1] in (["optimizers"], ["datasets"]) else first


@every_file
def test_arrows(path):
    name, room = f"{path.parent.name}/{path.name}", path.parent.name
    for module, at_top in imports(path):
        target = room_of(module)
        if target in ("minigrad", "optimizers", "datasets"):
            assert target == room or (name, target) in ARROWS, f"{name} imports {module}"
        elif target in WHEN_CALLED.get(name, ()):
            assert not at_top, f"{name} imports {module} before it is needed"
        else:
            allowed = target in MAY_IMPORT[room] or target in sys.stdlib_module_names
            allowed |= (name, target) == (SUITE, "pytest")
            assert allowed, f"{name} imports {module}"


@every_file
def test_a_file_is_short_and_says_what_it_is(path):
    source = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(source)), "the first line says what the file is"
    assert source.count("\n") <= 400


@every_file
def test_no_assert_guards_a_user(path):
    """`python -O` takes assert statements out."""
    if path == ROOT / SUITE:
        pytest.skip("its asserts are tests")
    asserts = [n for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.Assert)]
    assert not asserts, [node.lineno for node in asserts]


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_no_import_cycle(room):
    """What the files of a room import when they are imported follows one direction."""
    prefix = "minigrad." if room == "minigrad" else f"minigrad.{room}."
    files = {path.stem: path for path in FILES if path.parent.name == room}
    graph = {
        stem: {
            module.removeprefix(prefix).split(".")[0]
            for module, at_top in imports(path)
            if at_top and module.startswith(prefix)
        }
        & files.keys()
        for stem, path in files.items()
    }
    order = list(graphlib.TopologicalSorter(graph).static_order())
    assert sorted(order) == sorted(files)


def test_importing_everything_needs_neither_matplotlib_nor_pytest():
    modules = [f"minigrad.{path.stem}" for path in FILES if path.parent.name == "minigrad"]
    code = f"import sys, {', '.join(modules)}; print({{'matplotlib', 'pytest'}} & set(sys.modules))"
    code = code.replace("minigrad.__init__", "minigrad")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout == "set()\n", done.stderr
