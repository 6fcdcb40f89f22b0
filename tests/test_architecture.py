"""Which file may import which, and how many lines files and the library may have."""

import ast
import graphlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# docstrings included
MOST_LINES = {
    "file": 400, "library": 12_700, "faces": 2_100, "many processes": 1_330, "grader": 970,
    "reading path": 1_600,
}  # fmt: skip

# What the files of a room may import: packages of others, and rooms of ours besides their own.
MAY_IMPORT = {
    "minigrad": {"numpy", "scipy", "tqdm", "minigrad/autograd"},
    "minigrad/autograd": {"numpy", "scipy"},
    "minigrad/keras": {"numpy", "scipy", "minigrad", "minigrad/autograd", "optimizers", "datasets"},
    "optimizers": {"numpy"},
    "datasets": {"numpy"},
}
# What a single file may import beyond that.
MAY_ALSO_IMPORT = {
    "minigrad/__main__.py": {"optimizers"},
    "minigrad/keras/wrappers/scikit_learn.py": {"sklearn"},
    "minigrad/model.py": {"optimizers", "datasets"},
    "minigrad/models.py": {"optimizers"},
    "minigrad/distributed.py": {"optimizers", "datasets"},
    "minigrad/race.py": {"optimizers", "datasets"},
    "minigrad/sklearn.py": {"optimizers", "datasets", "sklearn"},
}
# What a single file may import only inside a function, so that importing the file does not need it.
WHEN_CALLED = {
    "minigrad/distributed.py": {"mpi4py"},
    "minigrad/plotting.py": {"matplotlib", "PIL"},  # PIL comes with matplotlib
    "minigrad/race_workers.py": {"dask", "distributed", "mpi4py", "threadpoolctl"},
    "optimizers/compiled.py": {"numba"},
}

APART = {  # counted apart from the library
    "faces": ("minigrad/keras/", "minigrad/sklearn.py"),
    "many processes": ("minigrad/distributed.py", "minigrad/exchange.py", "minigrad/race"),
    "grader": tuple(
        f"optimizers/tools/{name}.py" for name in ("grade", "mistakes", "submission", "task_rules")
    ),
}

# The README's reading path, in this order.
READING_PATH = [
    "minigrad/autograd/tensor.py",
    "minigrad/autograd/numpy_vjps.py",
    "minigrad/functional.py",
    "minigrad/layer.py",
    "optimizers/optimizer.py",
    "optimizers/sgd.py",
    "optimizers/formulas.py",
    "optimizers/rmsprop.py",
    "examples/mnist_mlp.py",
]
# Of these files a reader reads the part above the marker line. The limit counts optimizer.py whole.
READ_TO_THE_MARKER = {
    "minigrad/autograd/numpy_vjps.py",
    "minigrad/functional.py",
    "minigrad/layer.py",
    "optimizers/optimizer.py",
    "examples/mnist_mlp.py",
}
COUNTED_WHOLE = {"optimizers/optimizer.py"}
MARKER = "# ---- For advanced readers ----"

# Modules, classes or functions whose public signatures may say Any, each with the reason.
OPERANDS = "takes whatever NumPy's functions take: tensors, arrays, lists, numbers"
CHECKS = "checks what a user passed, whatever it is"
FIGURE = "a figure is matplotlib's, which is not imported for its types"
MAY_SAY_ANY = {
    "minigrad.anomaly": OPERANDS,
    "minigrad.autograd": OPERANDS,
    "minigrad.callback_list.CallbackList.call_with_note": "returns what the callback returns",
    "minigrad.checkpoint": "saves plain values of any kind, and whatever has a state_dict",
    "minigrad.distributed": "an optimizer, a communicator, a batch of whatever arrays",
    "minigrad.exchange": "a closure returns whatever a user computes",
    "minigrad.functional": OPERANDS,
    "minigrad.graph": OPERANDS,
    "minigrad.keras": "the signatures are Keras's: names, objects and functions alike",
    "minigrad.layer": "a container is a layer, a list or a dict; inputs are what users pass",
    "minigrad.layer_state": OPERANDS,
    "minigrad.losses": OPERANDS,
    "minigrad.race": "a training, its data and its optimizers are the user's",
    "minigrad.race_result": FIGURE,
    "minigrad.race_workers": "an executor is anything with submit",
    "minigrad.saving": "saves the arguments of layers, whatever they are",
    "minigrad.training_data": CHECKS,
    "minigrad.model.Model": CHECKS,
    "minigrad.models.load_model": "returns the model of the file, of whatever class",
    "minigrad.optimizers": "hyperparameters are numbers, schedules, flags or words",
    "minigrad.plotting": FIGURE,
    "minigrad.second_order.minimize": "a result is SciPy's, which is not imported for its types",
    "minigrad.trainer.History.plot": FIGURE,
    "minigrad.utils": CHECKS,
}


def name_of(path):
    """Return 'optimizers/sgd.py'."""
    return path.relative_to(ROOT).as_posix()


def module_of(name):
    """Return 'minigrad.optimizers.sgd' for 'optimizers/sgd.py'."""
    module = name.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
    return module if name.startswith("minigrad/") else f"minigrad.{module}"


def room_of(name):
    """Return the innermost room of a file: 'optimizers' for 'optimizers/tools/explain.py'."""
    return max((room for room in MAY_IMPORT if name.startswith(f"{room}/")), key=len)


LINKS = {ROOT / "minigrad" / "optimizers", ROOT / "minigrad" / "datasets"}
FILES = {
    name_of(path): path
    for folder in ("minigrad", "optimizers", "datasets")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if not LINKS & {*path.parents}  # a second way to the same files
}
MODULES = {module_of(name): name for name in FILES}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items()}
every_file = pytest.mark.parametrize("name", FILES)


def is_function(node):
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def is_for_type_checkers(node):
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def nodes_inside(tree, is_block):
    """Collect the ids of all nodes in the bodies of such blocks; an else is not in the body."""
    bodies = [node.body for node in ast.walk(tree) if is_block(node)]
    return {id(inner) for body in bodies for node in body for inner in ast.walk(node)}


def imports(name):
    """Yield (module, whether a function must be called first) for each import that ever runs."""
    tree, module = TREES[name], module_of(name)
    package = module if name.endswith("__init__.py") else module.rpartition(".")[0]
    lazy, never = nodes_inside(tree, is_function), nodes_inside(tree, is_for_type_checkers)
    for node in ast.walk(tree):
        if id(node) in never:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) in lazy
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            parts = parts[: len(parts) - node.level + 1] if node.level else []
            source = ".".join(parts + ([node.module] if node.module else []))
            for alias in node.names:  # a file of the package, or a name inside its __init__.py
                file = f"{source}.{alias.name}"
                yield file if file in MODULES else source, id(node) in lazy


def arrows():
    """Map each file to the files of ours that it imports, inside functions too."""
    return {
        name: {MODULES[module] for module, _ in imports(name) if module in MODULES}
        for name in FILES
    }


@every_file
def test_a_file_imports_only_what_its_room_may(name):
    allowed = MAY_IMPORT[room_of(name)] | MAY_ALSO_IMPORT.get(name, set()) | {room_of(name)}
    for module, lazy in imports(name):
        package = module.split(".")[0]
        target = room_of(MODULES[module]) if package == "minigrad" else package
        if target not in sys.stdlib_module_names | allowed:
            assert target in WHEN_CALLED.get(name, ()), f"{name} imports {module}"
            assert lazy, f"{name} imports {module} before it is needed"


def test_no_permission_is_left_over():
    for name, targets in (MAY_ALSO_IMPORT | WHEN_CALLED).items():
        used = {module.split(".")[0] for module, _ in imports(name)}
        used |= {room_of(MODULES[module]) for module, _ in imports(name) if module in MODULES}
        assert targets <= used, f"{name} no longer imports {targets - used}"


@every_file
def test_no_import_is_hidden_in_a_string(name):
    words = {getattr(n, "id", getattr(n, "attr", None)) for n in ast.walk(TREES[name])}
    assert not words & {"import_module", "__import__"}


def test_imports_have_no_cycle():
    """Arrows between files run one way; an import inside a function is an arrow, too."""
    try:
        order = list(graphlib.TopologicalSorter(arrows()).static_order())
    except graphlib.CycleError as error:
        pytest.fail(" ← ".join(error.args[1]))
    assert sorted(order) == sorted(FILES)


def test_nothing_outside_the_faces_imports_them():
    faces = {name for name in FILES if name.startswith(APART["faces"])}
    for name, imported in arrows().items():
        assert name in faces or not imported & faces, f"{name} imports {imported & faces}"


def test_importing_every_file_needs_no_extra():
    extras = set.union(*WHEN_CALLED.values()) | {"pytest", "hypothesis", "sklearn"}
    modules = [m for m, name in MODULES.items() if "sklearn" not in MAY_ALSO_IMPORT.get(name, ())]
    code = f"import sys, {', '.join(modules)}; print({extras} & set(sys.modules))"
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout == "set()\n", done.stderr


@every_file
def test_every_file_has_a_docstring(name):
    assert ast.get_docstring(TREES[name]), "the first line says what the file is"


@every_file
def test_the_library_has_no_assert_statement(name):
    """`python -O` removes assert statements."""
    asserts = [node.lineno for node in ast.walk(TREES[name]) if isinstance(node, ast.Assert)]
    assert not asserts


# ---- sizes ----


def lines_of(name):
    return (ROOT / name).read_text(encoding="utf-8").splitlines()


def lines_to_read(name):
    """Count the lines of a file that are on the reading path."""
    lines = [line.strip() for line in lines_of(name)]
    if name not in READ_TO_THE_MARKER:
        return len(lines)
    assert lines.count(MARKER) == 1, f"{name} needs one line {MARKER}"
    return lines.index(MARKER)


@every_file
def test_a_file_has_at_most_400_lines(name):
    assert len(lines_of(name)) <= MOST_LINES["file"]


def test_a_test_file_has_at_most_600_lines():
    programs = {"golden", "benchmarks"}
    files = [p for p in (ROOT / "tests").rglob("*.py") if not programs & {*p.parts}]
    lengths = {name_of(p): len(p.read_text(encoding="utf-8").splitlines()) for p in files}
    assert {name: n for name, n in lengths.items() if n > 600} == {}


def part_of(name):
    """Return the part whose size limit a file counts towards."""
    return next((part for part, starts in APART.items() if name.startswith(starts)), "library")


@pytest.mark.parametrize("part", ["library", *APART])
def test_each_part_is_within_its_size_limit(part):
    sizes = {name: len(lines_of(name)) for name in FILES if part_of(name) == part}
    assert sum(sizes.values()) <= MOST_LINES[part], (sum(sizes.values()), sizes)


def test_the_reading_path_is_within_its_limit():
    sizes = {
        name: len(lines_of(name)) if name in COUNTED_WHOLE else lines_to_read(name)
        for name in READING_PATH
    }
    assert sum(sizes.values()) <= MOST_LINES["reading path"], sizes


def test_the_readme_tells_the_reading_path_and_its_sizes():
    """A row a file: | `minigrad/autograd/tensor.py` | 380 | what to look for |"""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w/]+\.py)` \| (\d+) \|", readme, re.M)
    assert rows == [(name, str(lines_to_read(name))) for name in READING_PATH]


# ---- types ----


def public_functions(name):
    """Yield (qualified name, node) for functions and methods without a leading underscore."""
    pending = [(module_of(name), TREES[name])]
    while pending:
        owner, block = pending.pop()
        for node in block.body:
            qualified = f"{owner}.{getattr(node, 'name', '_')}"
            if qualified.rpartition(".")[2].startswith("_"):
                continue
            if isinstance(node, ast.ClassDef):
                pending.append((qualified, node))
            elif isinstance(node, ast.FunctionDef):
                yield qualified, node


def says_any(annotation):
    """Tell whether an annotation is Any, or a union with it, such as Any | None."""
    text = "" if annotation is None else ast.unparse(annotation).strip("'\"")
    return "Any" in [part.removeprefix("typing.") for part in text.split(" | ")]


def functions_that_say_any():
    found = set()
    for name in FILES:
        for qualified, node in public_functions(name):
            every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            annotations = [parameter.annotation for parameter in every] + [node.returns]
            if any(map(says_any, annotations)):
                found.add(qualified)
    return found


def test_public_signatures_say_more_than_any():
    """*args and **options may be Any: their types belong to the function that receives them."""
    found = functions_that_say_any()
    excused = {
        entry: {name for name in found if f"{name}.".startswith(f"{entry}.")}
        for entry in MAY_SAY_ANY
    }
    assert sorted(found - set().union(*excused.values())) == []
    assert [entry for entry, names in excused.items() if not names] == [], "no longer needed"
