"""Checkpoints: save and load, restore a model, write files, read untrusted files.

The file is an uncompressed .npz, which numpy.load can open, too. Each array is a member, such as
`model/layers.0.kernel.npy`. The last member is the index, `checkpoint.json`: it holds the plain
values and, instead of each array, the CRC-32 of its member. Nothing is pickled.
"""

import glob
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import numpy as np

from .layer import Layer
from .utils import mismatches, positive_int

if POSIX := os.name == "posix":
    import fcntl

FORMAT = 1
INDEX = "checkpoint.json"
CRC = "crc-32"  # the only key of an array's entry in the index
NUMERIC_KINDS = "fbiu"  # kinds of dtypes: floating-point, bool, signed and unsigned integer
PATTERN = "checkpoint-????????-????????.npz"  # epoch and batch: names sort by age
Rng = np.random.Generator | None
Content = dict[str, Any]  # model, optimizer, …: nested dicts and lists of arrays and plain values


class CheckpointError(ValueError):
    """The file is damaged or does not fit the model; nothing was changed."""


def save(path: str | Path, model: Layer, optimizer: Any = None, rng: Rng = None, *,
         callbacks: Any = None, keep: int = 3, content: Content | None = None,
         **progress: Any) -> Path:  # fmt: skip
    """Save all that a training needs to resume; return the path of the file.

    path: a file such as run.npz, or a folder (an existing one, or a path without a suffix). A
    folder gets a file for each epoch= and batch=; the newest `keep` files stay.
    rng: the generator of your training loop. Those of the model's layers are always saved.
    content: further sections of the file.
    progress: plain values (numbers, strings, lists, dicts) such as epoch=3; `load` returns them.

    The old file stays until the new one is complete and on the disk, even if the power fails.
    torch.save does not guarantee that. If several processes save to one path at once, the last one
    wins.

    >>> import tempfile
    >>> from minigrad.layers import Dense
    >>> model = Dense(2, input_shape=(3,))
    >>> y = model(np.ones((1, 3)))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = save(folder, model, epoch=4)
    ...     file.name, load(folder, model)
    ('checkpoint-00000004-00000000.npz', {'epoch': 4})
    """
    keep = positive_int("checkpoint.save: keep", keep)
    parts = {"model": model, "optimizer": optimizer, "callbacks": callbacks}
    states = {k: part.state_dict() for k, part in parts.items() if part is not None}
    content = (content or {}) | states
    if optimizer is not None and optimizer.has_evaluation_weights:
        with optimizer.evaluating():
            content["evaluation"] = model.state_dict()
    content["generators"] = [g.bit_generator.state for g in generators(model, rng)]
    if not is_writer(optimizer):
        return Path(path)
    file = checkpoint_path(path, progress.get("epoch", 0), progress.get("batch", 0))
    write(file, content | {"progress": progress})
    pattern = glob.escape(file.name) if file == Path(path) else PATTERN
    for surplus in sorted(file.parent.glob(pattern))[:-keep]:
        surplus.unlink(missing_ok=True)
    if POSIX:
        # A killed process leaves a .part file. Remove it, unless another process is saving
        with suppress(OSError), locked_folder(file.parent, exclusive=True):
            for leftover in file.parent.glob(f"{pattern}.*.part"):
                leftover.unlink(missing_ok=True)
    return file


def is_writer(optimizer: Any) -> bool:
    """Return whether this process writes files. In a training on many ranks only rank 0 does."""
    return getattr(optimizer, "rank", 0) == 0  # see minigrad.distributed


def load(path: str | Path, model: Layer, optimizer: Any = None, rng: Rng = None) -> dict[str, Any]:
    """Load what `save` wrote, from a file or the newest in a folder; return the progress.

    A damaged file, or another name, shape or dtype, raises CheckpointError and changes nothing.
    """
    content = read(path)
    restore(content, model, optimizer, rng)
    return content["progress"]


def weights_to_evaluate(content: Content) -> dict[str, Any]:
    """Return the averaged weights if the optimizer kept some, as EMA does; else the weights."""
    return content.get("evaluation") or content["model"]


def latest(folder: str | Path) -> Path | None:
    """Return the newest checkpoint in a folder, or None."""
    return max(Path(folder).glob(PATTERN), default=None)


def checkpoint_path(path: str | Path, epoch: int, batch: int) -> Path:
    """Return the file to save to; raise if its folder holds a later checkpoint."""
    refuse_other_format(path)
    if Path(path).suffix and not Path(path).is_dir():
        return Path(path)
    file, newest = Path(path) / f"checkpoint-{epoch:08d}-{batch:08d}.npz", latest(path)
    if not file.match(PATTERN):
        raise ValueError(f"checkpoint: epoch and batch must have up to 8 digits, not {file.stem!r}")
    if newest and newest > file:
        held = f"the folder {path} holds a later checkpoint of another training, {newest.name}"
        raise FileExistsError(f"{held}; resume that training or choose another folder")
    return file


def refuse_other_format(path: str | Path) -> None:
    """Raise ValueError for a suffix of Keras's formats."""
    if Path(path).suffix in (".h5", ".hdf5", ".keras"):
        raise ValueError(f"{path}: files in Keras's format are not supported; use the suffix .npz")


def restore(content: Content, model: Layer, optimizer: Any = None, rng: Rng = None,
            callbacks: Any = None) -> None:  # fmt: skip
    """Load the content of a checkpoint: check all of it first, then write."""
    weights = weights_to_evaluate(content) if optimizer is None else content["model"]
    if problems := "; ".join(mismatches(weights, model.state_dict())):
        advice = "First build a model with the same layers (give input_shape=…)"
        who = type(model).__name__
        raise CheckpointError(f"this checkpoint does not fit {who}: {problems}. {advice}")
    states = content.get("generators", [])
    own = generators(model, rng) if states else []  # a file of weights has no generators
    if len(own) != len(states):
        have = f"the checkpoint has {len(states)} random generators, the model {len(own)}"
        raise CheckpointError(f"{have}; give the same rng=… as to save")
    with checkpoint_errors("the random generators of this checkpoint"):
        for generator, state in zip(own, states):
            type(generator.bit_generator)().state = state  # raises for an invalid state
    if optimizer is not None and "optimizer" not in content:
        raise CheckpointError("this checkpoint holds no optimizer; use load_weights")
    for name, part in {"callbacks": callbacks, "optimizer": optimizer}.items():
        if part is not None:  # without a saved state, callbacks begin anew
            with checkpoint_errors(f"the {name} of this checkpoint"):
                part.load_state_dict(content.get(name, {}))
    model.load_state_dict(weights)
    if optimizer is not None and optimizer.has_evaluation_weights:
        optimizer.load_state_dict(content["optimizer"])  # model.load_state_dict reset its averages
    for generator, state in zip(own, states):
        generator.bit_generator.state = state


def generators(model: Layer, rng: Rng) -> list[np.random.Generator]:
    """Return the random generators of a training, each once."""
    found = [rng, *(layer.rng for layer in model.sublayers())]
    return list({id(g): g for g in found if g is not None}.values())


@contextmanager
def checkpoint_errors(subject: str) -> Iterator[None]:
    """Re-raise any exception as a CheckpointError that names the subject."""
    try:
        yield
    except Exception as error:
        reason = str(error) if isinstance(error, CheckpointError) else repr(error)
        raise CheckpointError(f"cannot use {subject}: {reason}") from error


def map_leaves(function: Callable[[Any, str], Any], value: Any, *keys: str) -> Any:
    """Apply function(leaf, name) to the leaves of nested lists and dicts."""
    if isinstance(value, (list, tuple)):
        return [map_leaves(function, item, *keys, str(i)) for i, item in enumerate(value)]
    if isinstance(value, dict) and all(isinstance(k, str) and k != CRC for k in value):
        return {key: map_leaves(function, item, *keys, key) for key, item in value.items()}
    return function(value, "/".join(keys))


def write(path: Path, content: Content) -> None:
    """Write a checkpoint. Equal content gives equal bytes, because no date is stored."""
    with atomic_write(path) as file, ZipFile(file, "w", ZIP_STORED) as archive:

        def store(value: Any, name: str) -> Any:
            value = value.item() if isinstance(value, np.generic) else value
            if value is None or isinstance(value, (bool, int, float, str)):
                return value
            if not isinstance(value, np.ndarray) or value.dtype.kind not in NUMERIC_KINDS:
                raise TypeError(
                    f"checkpoint: {name} must be a plain value, an array of numbers, or a list or "
                    f"dict of them (its keys strings, not {CRC!r}); received {value!r:.80}"
                )
            member = ZipInfo(name + ".npy")
            is_text = "\0" not in name and name.encode(errors="ignore").decode() == name
            if not is_text or member.filename in archive.namelist():
                raise ValueError(f"checkpoint: {name!r} cannot be the name of an array; rename it")
            with archive.open(member, "w", force_zip64=True) as npy:
                np.lib.format.write_array(npy, value, (1, 0), allow_pickle=False)
            return {CRC: member.CRC}

        index = {"format": FORMAT} | map_leaves(store, content)
        archive.writestr(ZipInfo(INDEX), json.dumps(index))


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a file that replaces `path` once it is complete and on the disk."""
    path = Path(os.path.realpath(path))  # a symbolic link stays a link
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise FileExistsError(f"{path} is a folder, device or loop of links; a file is required")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.urandom(4).hex()}.part")
    with locked_folder(path.parent) if POSIX else nullcontext() as folder:
        try:
            with open(part, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        if folder is not None:  # Windows cannot open a folder; there the rename must suffice
            os.fsync(folder)


@contextmanager
def locked_folder(folder: Path, exclusive: bool = False) -> Iterator[int]:
    """Yield the descriptor of a folder, with a shared lock or an exclusive one.

    A process that saves holds a shared lock. It ends with the process, even after a SIGKILL.
    exclusive: raise OSError if another process holds a lock.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with nullcontext() if exclusive else suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB if exclusive else fcntl.LOCK_SH)
        yield descriptor
    finally:
        os.close(descriptor)


def read(path: str | Path) -> Content:
    """Read and verify a checkpoint, or the newest one of a folder."""
    files = sorted(Path(path).glob(PATTERN)) if Path(path).is_dir() else [Path(path)]
    if not files:
        raise FileNotFoundError(f"no checkpoint ({PATTERN}) in the folder {path}")
    *older, newest = files
    if newest.exists() and not newest.is_file():  # a device has no end, a pipe waits
        raise CheckpointError(f"{newest} is a folder, device or pipe; a file is required")
    advice = f" (delete it to resume from {older[-1].name})" if older else ""
    with open(newest, "rb") as file, checkpoint_errors(f"the checkpoint {newest}{advice}"):
        return unpack(file, os.fstat(file.fileno()).st_size)


def unpack(file: BinaryIO, size: int) -> Content:
    """Parse an untrusted checkpoint: execute nothing, and use no more memory than its size."""
    with ZipFile(file) as archive:
        members = {info.filename: info for info in archive.infolist()}
        if len(members) < len(archive.infolist()):
            raise CheckpointError("two of its members have the same name")
        if any(member.compress_type != ZIP_STORED for member in members.values()):
            raise CheckpointError("its members must be stored, not compressed")
        if sum(max(m.file_size, m.compress_size) for m in members.values()) > size:
            raise CheckpointError("its members claim to be larger than the file")
        if INDEX not in members:
            raise CheckpointError(f"it has no member {INDEX}; was it written by save?")

        def fetch(entry: Any, name: str) -> Any:
            if not isinstance(entry, dict):
                return entry
            member = members.pop(f"{name}.npy", None)  # so that each is read once
            if member is None or entry != {CRC: member.CRC}:
                differs = "is missing, or its checksum differs from the index"
                raise CheckpointError(f"the array {name} {differs}")
            return parse_npy(archive.read(member))

        content = map_leaves(fetch, json.loads(archive.read(INDEX)))
    if unknown := members.keys() - {INDEX}:
        raise CheckpointError(f"its index does not mention the members {sorted(unknown)}")
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"its index must have the format {FORMAT}")
    sections = {"model": dict, "generators": list, "progress": dict}
    sections |= {name: dict for name in ("evaluation", "architecture") if name in content}
    for section, kind in sections.items():
        if not isinstance(content.setdefault(section, kind()), kind):
            raise CheckpointError(f"its section {section} must be a {kind.__name__}")
    return content


def parse_npy(raw: bytes) -> np.ndarray:
    """Parse a .npy file; frombuffer and reshape refuse a header that its bytes contradict."""
    file = BytesIO(raw)
    if np.lib.format.read_magic(file) != (1, 0):
        raise CheckpointError("its arrays must be of the .npy version 1.0")
    shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype.kind not in NUMERIC_KINDS or any(n < 0 for n in shape):
        raise CheckpointError(f"it holds an array of {dtype} {shape}; numbers are required")
    flat = np.frombuffer(raw, dtype, offset=file.tell())
    return flat.reshape(shape, order="F" if fortran_order else "C")
