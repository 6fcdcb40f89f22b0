"""One import name for three folders, and one command, however minigrad is installed.

The tests marked `network` build and install: `python -m pytest -m network` runs them.
"""

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

import minigrad

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FOLDERS = PROJECT["tool"]["setuptools"]["package-dir"]
USE = """
import minigrad, minigrad.optimizers, sys
from minigrad.datasets import mnist
from minigrad.optimizers import get
from minigrad.optimizers.tools import explain, identify
(x, y), _ = mnist.load_data()
print(x.shape, get("rmsprop").__class__.__module__, minigrad.__file__)
"""
COMMANDS = ("gradcheck", "conformance")


def run_program(*command, cwd, check=True):
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, capture_output=True, text=True, timeout=300
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def shipped_files():
    """List what a wheel holds: the Python files of each folder, and its package data."""
    files = []
    for package, folder in FOLDERS.items():
        target = package.replace(".", "/")
        files += [f"{target}/{path.name}" for path in (ROOT / folder).glob("*.py")]
        for pattern in PROJECT["tool"]["setuptools"]["package-data"].get(package, []):
            found = list((ROOT / folder).glob(pattern))
            assert found, f"{pattern} matches nothing in {folder}"
            files += [f"{target}/{path.relative_to(ROOT / folder)}" for path in found]
    return sorted(files)


def test_the_links_lead_to_the_folders():
    for name in ("optimizers", "datasets"):
        link = ROOT / "minigrad" / name
        assert link.resolve() == ROOT / name
        assert not link.is_symlink() or link.readlink() == Path("..") / name


def test_every_folder_of_python_files_is_declared():
    declared = {(ROOT / folder).resolve() for folder in FOLDERS.values()}
    for top in ("minigrad", "optimizers", "datasets"):
        for path in (ROOT / top).rglob("*.py"):
            assert path.parent.resolve() in declared, f"pyproject.toml lacks {path.parent}"
    assert set(FOLDERS) == set(PROJECT["tool"]["setuptools"]["packages"])


def test_every_tracked_file_ships():
    tracked = run_program("git", "ls-files", *FOLDERS.values(), cwd=ROOT, check=False)
    if tracked.returncode:
        pytest.skip("not a git clone")
    links = {"minigrad/optimizers", "minigrad/datasets"}
    here = [name for name in tracked.stdout.splitlines() if name not in links]
    moved = [name if name.startswith("minigrad/") else f"minigrad/{name}" for name in here]
    assert set(moved) <= set(shipped_files())


def test_the_script_and_the_module_run_the_same_function():
    """`minigrad` and `python -m minigrad` run the same function."""
    assert PROJECT["project"]["scripts"] == {"minigrad": "minigrad.__main__:main"}


@pytest.mark.parametrize("name", ["optimizers", "datasets"])
def test_the_bare_name_says_which_to_use(name):
    done = run_program(sys.executable, "-c", f"import {name}", cwd=ROOT, check=False)
    assert "ImportError" in done.stderr and f"minigrad.{name}" in done.stderr.splitlines()[-1]


def run_in_clone(code):
    """Run code in the repository's root; -S hides an editable install of this same folder."""
    path = [str(Path(metadata.distribution("numpy").locate_file("")))]
    return run_program(
        sys.executable, "-S", "-c", f"import sys; sys.path += {path}; {code}", cwd=ROOT
    )


def test_a_clone_works_from_its_root():
    code = "import minigrad.datasets.mnist as m, minigrad.optimizers.tools as t; print(t.__file__)"
    file = Path(run_in_clone(code).stdout.strip())
    assert file == ROOT / "minigrad" / "optimizers" / "tools" / "__init__.py"


def test_a_clone_has_the_command():
    out = run_in_clone("from minigrad.__main__ import main; main(['--help'])").stdout
    assert all(name in out for name in COMMANDS)


def test_the_version_is_written_once():
    """pyproject.toml reads it from minigrad/__init__.py."""
    source = "from minigrad import __version__; print(__version__)"
    version = run_program(sys.executable, "-c", source, cwd=ROOT).stdout.strip()
    assert "version" in PROJECT["project"]["dynamic"]
    files = [path for folder in FOLDERS.values() for path in (ROOT / folder).glob("*.py")]
    written = [path for path in files if f'"{version}"' in path.read_text(encoding="utf-8")]
    assert written == [ROOT / "minigrad" / "__init__.py"]


def test_the_newest_section_of_the_changelog_is_this_version():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## (\S+)", changelog, re.MULTILINE)[1] == minigrad.__version__


# ---- Builds and installs ----


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """Clone the repository, so that only committed files are built."""
    folder = tmp_path_factory.mktemp("clone")
    run_program("git", "clone", "--quiet", ROOT, folder / "minigrad", cwd=folder)
    return folder / "minigrad"


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """Make a new environment with the dependencies, without minigrad; return its interpreter."""
    folder = tmp_path_factory.mktemp("environment")
    run_program(sys.executable, "-m", "venv", folder, cwd=folder)
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    build = PROJECT["build-system"]["requires"]
    run_program(
        python, "-m", "pip", "install", *PROJECT["project"]["dependencies"], *build, cwd=folder
    )
    return python


@pytest.fixture(scope="module")
def archives(clone, python):
    """Build (sdist, wheel, wheel made from the sdist)."""
    code = "import setuptools.build_meta as b; print(b.build_sdist('dist'))"
    name = run_program(python, "-c", code, cwd=clone).stdout.split()[-1]
    sdist = clone / "dist" / name
    wheels = []
    for source in (clone, sdist):
        folder = clone / "dist" / f"from-{source.name}"
        run_program(python, "-m", "pip", "wheel", "--no-deps", "-w", folder, source, cwd=clone)
        wheels += folder.glob("*.whl")
    return sdist, *wheels


def assert_command_works(*command, cwd):
    out = run_program(*command, "--help", cwd=cwd).stdout
    assert all(name in out for name in COMMANDS)
    out = run_program(*command, "gradcheck", "np.matmul", "--shapes", "3,4", "4", cwd=cwd).stdout
    assert out.startswith("np.matmul")


def assert_installed_library_works(python, cwd):
    """Use the installed library and its command; return what USE prints."""
    out = run_program(python, "-W", "error", "-c", USE, cwd=cwd).stdout
    assert out.startswith("(60000, 28, 28) minigrad.optimizers.rmsprop")
    assert_command_works(python, "-W", "error", "-m", "minigrad", cwd=cwd)
    assert_command_works(python.with_name("minigrad"), cwd=cwd)
    for name in ("optimizers", "datasets"):
        done = run_program(python, "-c", f"import {name}", cwd=cwd, check=False)
        assert f"No module named '{name}'" in done.stderr
    return out


@pytest.fixture
def install(python, tmp_path):
    def install(*what):
        run_program(python, "-m", "pip", "install", "--no-deps", *what, cwd=tmp_path)
        return python

    yield install
    run_program(python, "-m", "pip", "uninstall", "--yes", "minigrad", cwd=tmp_path)


@pytest.mark.network
def test_each_wheel_holds_each_file_once(archives):
    for wheel in archives[1:]:
        with zipfile.ZipFile(wheel) as archive:
            names = [name for name in archive.namelist() if ".dist-info/" not in name]
            assert sorted(names) == shipped_files()
            assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())


@pytest.mark.network
def test_the_sdist_holds_each_file_once(archives):
    with tarfile.open(archives[0]) as archive:
        files = [member.name for member in archive.getmembers() if member.isfile()]
    here = [name.split("/", 1)[1] for name in files]
    assert not any(name.startswith(("minigrad/optimizers", "minigrad/datasets")) for name in here)
    moved = [name if name.startswith("minigrad/") else f"minigrad/{name}" for name in here]
    assert {name: moved.count(name) for name in shipped_files()} == dict.fromkeys(
        shipped_files(), 1
    )


@pytest.mark.network
@pytest.mark.parametrize("which", [1, 2], ids=["wheel", "wheel from sdist"])
def test_an_installed_wheel_works(archives, install, tmp_path, which):
    assert "site-packages" in assert_installed_library_works(install(archives[which]), tmp_path)


@pytest.mark.network
def test_an_editable_installation_works(clone, install, tmp_path):
    out = assert_installed_library_works(install("-e", clone), tmp_path)
    assert str(clone) in out


@pytest.mark.network
def test_a_clone_needs_only_the_dependencies(clone, python):
    assert str(clone) in run_program(python, "-W", "error", "-c", USE, cwd=clone).stdout
    assert_command_works(python, "-W", "error", "-m", "minigrad", cwd=clone)


@pytest.mark.network
def test_a_package_named_datasets_is_left_alone(archives, clone, python, tmp_path):
    """Install both in either order: theirs stays, also after ours is uninstalled."""
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "__init__.py").write_text("whose = 'theirs'\n")
    (tmp_path / "setup.py").write_text(
        "from setuptools import setup\nsetup(name='theirs', version='1', packages=['datasets'])\n"
    )
    both = "import datasets; print(datasets.whose);" + USE
    pip = (python, "-m", "pip")
    for order in (archives[1], tmp_path), (tmp_path, archives[1]), (tmp_path, "-e", clone):
        for what in [order[:1], order[1:]]:
            run_program(*pip, "install", "--no-deps", *what, cwd=tmp_path.parent)
        assert run_program(python, "-c", both, cwd=tmp_path.parent).stdout.startswith(
            "theirs\n(60000,"
        )
        run_program(*pip, "uninstall", "--yes", "minigrad", cwd=tmp_path.parent)
        assert run_program(
            python, "-c", "import datasets; print(datasets.whose)", cwd=tmp_path.parent
        ).stdout.startswith("theirs")
        run_program(*pip, "uninstall", "--yes", "theirs", cwd=tmp_path.parent)
