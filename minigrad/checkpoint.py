"""Checkpoints: one file with all that training needs to go on, to the bit.

In order of difficulty: save and load, what they put where, the file, and what it must withstand.

The file is an uncompressed .npz, which numpy.load opens, too: a member for each array, such as
`model/layers.0.kernel`, and after them `checkpoint.json`: the plain values, and in the arrays'
places their CRC-32. There is no pickle in it, and none is read.
"""

from __future__ import annotations

import glob
import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import numpy as np

from .layers import Layer

FORMAT = 1
INDEX = "checkpoint.json"
CRC = "crc-32"  # what stands in an array's place in the index
NUMBERS = "fbiu"  # the kinds of arrays: floating-point, truth values, integers
PATTERN = "checkpoint-????????-????????.npz"  # epoch and batch: the order of names is that of time
Content = dict[str, Any]  # model, optimizer, …: dicts and lists of arrays and plain values


class CheckpointError(ValueError):
    """A file that is no whole checkpoint, or one of another model; nothing was changed."""


def save(
    path: str | Path,
    model: Layer,
    optimizer: Any = None,
    rng: np.random.Generator | None = None,
    *,
    callbacks: Any = None,
    keep: int = 3,
    **progress: Any,
) -> Path:
    """Write all that training needs to go on; the file's path.

    path: a file such as run.npz; or a folder (no suffix, or there already), in which each epoch=
    and batch= gets its own file, and the last `keep` of them stay.
    rng: a generator of yours, beside those in the model's layers.
    progress: plain values (numbers, words, lists, dicts), such as epoch=3, which `load` gives back.

    The file takes its place when it is complete and on the disk: until then the old one stays, also
    if the power fails. PyTorch's torch.save does neither, and pickles. If two processes save to
    one place at once, each file is whole, but one of them may get an error.

    >>> import tempfile
    >>> from minigrad.layers import Dense
    >>> model = Dense(2, input_shape=(3,))
    >>> y = model(np.ones((1, 3)))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = save(folder, model, epoch=4)
    ...     file.name, load(folder, model)
    ('checkpoint-00000004-00000000.npz', {'epoch': 4})
    """
    if keep < 1:
        raise ValueError(f"checkpoint.save: keep must be at least 1, received {keep!r}")
    parts = {"model": model, "optimizer": optimizer, "callbacks": callbacks}
    content: Content = {k: part.state_dict() for k, part in parts.items() if part is not None}
    content["generators"] = [g.bit_generator.state for g in generators(model, rng)]
    content["progress"] = progress
    file = checkpoint_path(path, progress.get("epoch", 0), progress.get("batch", 0))
    write(file, content)
    pattern, old = glob.escape(file.name), []
    if file != Path(path):
        pattern, old = PATTERN, sorted(file.parent.glob(PATTERN))[:-keep]
    for useless in [*old, *file.parent.glob(f"{pattern}.*.part")]:  # the latter were broken off
        useless.unlink(missing_ok=True)
    return file


def load(
    path: str | Path, model: Layer, optimizer: Any = None, rng: np.random.Generator | None = None
) -> dict[str, Any]:
    """Put what `save` wrote into a model of the same shape (and an optimizer); the progress.

    path: a file, or a folder, of which the newest file is taken.
    Raises CheckpointError if the file is damaged, or if names, shapes or dtypes don't fit: then
    nothing was changed.
    """
    content = read(path)
    apply(content, model, optimizer, rng)
    return content["progress"]


def latest(folder: str | Path) -> Path | None:
    """The newest checkpoint in a folder, if there is one."""
    return max(Path(folder).glob(PATTERN), default=None)


def checkpoint_path(path: str | Path, epoch: int, batch: int) -> Path:
    """The file in which to save; not in a folder where it would not be the latest."""
    if Path(path).suffix and not Path(path).is_dir():
        return Path(path)
    file, newest = Path(path) / f"checkpoint-{epoch:08d}-{batch:08d}.npz", latest(path)
    if not file.match(PATTERN):
        raise ValueError(f"checkpoint.save: epoch and batch of 8 digits at most, not {file.stem!r}")
    if newest and newest > file:
        raise FileExistsError(
            f"the folder {path} holds a later checkpoint, {newest.name}, of another training; "
            "resume that one, or choose another folder"
        )
    return file


# What goes where


def generators(model: Layer, rng: np.random.Generator | None) -> list[np.random.Generator]:
    """The generators that training draws from, each once."""
    found = [rng, *(layer.rng for layer in model.sublayers())]
    return list({id(g): g for g in found if g is not None}.values())


def apply(
    content: Content,
    model: Layer,
    optimizer: Any = None,
    rng: np.random.Generator | None = None,
    callbacks: Any = None,
) -> None:
    """Put a checkpoint's content in its places: all of it is checked first, and written last."""
    wrong = mismatches(content["model"], model.state_dict())
    if wrong:
        raise CheckpointError(
            f"this checkpoint does not fit {type(model).__name__}: {'; '.join(wrong)}. The model "
            "must have its layers, and their parameters (input_shape=…), before it can be loaded"
        )
    states = content.get("generators", [])  # none are with weights alone
    mine = generators(model, rng) if states else []
    if len(mine) != len(states):
        raise CheckpointError(
            f"this checkpoint holds {len(states)} random generators, and here are {len(mine)}; "
            "give the rng=… that was given to save"
        )
    with checkpoint_errors("the random generators'"):
        for generator, state in zip(mine, states):
            type(generator.bit_generator)().state = state
    if callbacks is not None:
        with checkpoint_errors("the callbacks'"):
            callbacks.load_state_dict(content.get("callbacks", {}))
    if optimizer is not None:
        if "optimizer" not in content:
            raise CheckpointError("this checkpoint holds no optimizer; load_weights reads it")
        with checkpoint_errors("the optimizer's"):
            optimizer.load_state_dict(content["optimizer"])
    model.load_state_dict(content["model"])
    for generator, state in zip(mine, states):
        generator.bit_generator.state = state


def mismatches(saved: Mapping[str, Any], own: Mapping[str, np.ndarray]) -> list[str]:
    """What keeps saved arrays from taking the place of one's own, in words."""
    wrong = [f"{name} is missing" for name in own if name not in saved]
    for name, array in saved.items():
        if name not in own:
            wrong.append(f"{name} is unknown")
        elif kind(array) != kind(own[name]):
            wrong.append(f"{name} must be {kind(own[name])}, received {kind(array)}")
    return wrong


def kind(array: Any) -> str:
    """What an array is, in words."""
    return f"{array.dtype.name} {array.shape}" if isinstance(array, np.ndarray) else repr(array)


@contextmanager
def checkpoint_errors(what: str) -> Iterator[None]:
    """Whatever goes wrong with a file is one kind of error, and says what is wrong."""
    try:
        yield
    except Exception as error:
        reason = str(error) if isinstance(error, CheckpointError) else repr(error)
        raise CheckpointError(f"cannot use {what} checkpoint: {reason}") from error


# The file


def write(path: Path, content: Content) -> None:
    """Write nested dicts and lists of arrays and plain values as one file.

    The file has no dates in it: the same content is the same bytes.
    """
    with atomic_write(path) as file, ZipFile(file, "w", ZIP_STORED) as archive:

        def store(thing: Any, name: str) -> Any:
            thing = thing.item() if isinstance(thing, np.generic) else thing
            if thing is None or isinstance(thing, (bool, int, float, str)):
                return thing
            if isinstance(thing, (list, tuple)):
                return [store(value, f"{name}/{i}") for i, value in enumerate(thing)]
            if isinstance(thing, dict) and all(isinstance(k, str) and k != CRC for k in thing):
                return {key: store(value, f"{name}/{key}") for key, value in thing.items()}
            if not isinstance(thing, np.ndarray) or thing.dtype.kind not in NUMBERS:
                raise TypeError(
                    f"checkpoint: {name} must be a plain value, an array of numbers, or a list or "
                    f"dict (its keys words, not {CRC}) of them; received {thing!r:.80}"
                )
            member = ZipInfo(name.removeprefix("/") + ".npy")
            if "\0" in name or member.filename in archive.namelist():
                raise ValueError(f"checkpoint: {name!r} cannot be the name of an array; rename it")
            with archive.open(member, "w", force_zip64=True) as npy:
                np.lib.format.write_array(npy, thing, (1, 0), allow_pickle=False)
            return {CRC: member.CRC}

        index = {"format": FORMAT} | store(content, "")
        archive.writestr(ZipInfo(INDEX), json.dumps(index))


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which takes its place when it is whole and on the disk, and not before."""
    path = path.resolve()  # the place of a link is where it leads
    if path.exists() and not path.is_file():
        raise FileExistsError(f"{path} is a folder or device; a file is needed")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.urandom(4).hex()}.part")  # nobody else's
    try:
        with open(part, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    if os.name == "posix":  # elsewhere a folder cannot be opened, and the rename must do
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def read(path: str | Path) -> Content:
    """What a checkpoint holds, verified but not yet put anywhere."""
    files = sorted(Path(path).glob(PATTERN)) if Path(path).is_dir() else [Path(path)]
    if not files:
        raise FileNotFoundError(f"no checkpoint ({PATTERN}) in the folder {path}")
    *older, newest = files
    way_out = f" (delete it to go on from {older[-1].name})" if older else ""
    with open(newest, "rb") as file, checkpoint_errors(f"{newest}{way_out} as a"):
        return unpack(file, os.fstat(file.fileno()).st_size)


def unpack(file: BinaryIO, size: int) -> Content:
    """The content of a file that may lie.

    Nothing in it is run, extracted or decompressed, so no more memory is needed than the file is
    long; an array counts only under the name of its place in the index, with the CRC given there.
    """
    with ZipFile(file) as archive:
        members = directory(archive, size)

        def take(name: str) -> ZipInfo:
            if name not in members:
                raise CheckpointError(f"its member {name} is missing")
            return members.pop(name)

        def fetch(thing: Any, name: str) -> Any:
            if isinstance(thing, list):
                return [fetch(value, f"{name}/{i}") for i, value in enumerate(thing)]
            if not isinstance(thing, dict):
                return thing
            if thing.keys() != {CRC}:
                return {key: fetch(value, f"{name}/{key}") for key, value in thing.items()}
            member = take(name.removeprefix("/") + ".npy")
            if member.CRC != thing[CRC]:
                raise CheckpointError(f"{member.filename} is not the array that the index says")
            return parse(archive.read(member))

        content = fetch(json.loads(archive.read(take(INDEX))), "")
    if members:
        raise CheckpointError(f"these members have no place in the index: {', '.join(members)}")
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"its index is not one of format {FORMAT}")
    for section, kind in {"model": dict, "generators": list, "progress": dict}.items():
        if not isinstance(content.setdefault(section, kind()), kind):
            raise CheckpointError(f"its section {section} is no {kind.__name__}")
    return content


def directory(archive: ZipFile, size: int) -> dict[str, ZipInfo]:
    """The archive's members by name, if its directory can be believed."""
    infos = archive.infolist()
    members = {info.filename: info for info in infos}
    if len(members) < len(infos):
        raise CheckpointError("two of its members have one name")
    if any(m.compress_type != ZIP_STORED or m.compress_size != m.file_size for m in infos):
        raise CheckpointError("its members must be stored, not compressed")
    if sum(m.file_size for m in infos) > size:
        raise CheckpointError("its members claim to be larger than the file")
    return members


def parse(raw: bytes) -> np.ndarray:
    """The array of a .npy member, if its header tells the truth about its bytes."""
    file = BytesIO(raw)
    if np.lib.format.read_magic(file) != (1, 0):
        raise CheckpointError("its arrays must be of the .npy version 1.0")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    start = file.tell()
    if dtype.kind not in NUMBERS or any(n < 0 for n in shape):
        raise CheckpointError(f"it holds an array of {dtype} {shape}; numbers are required")
    if math.prod(shape) * dtype.itemsize != len(raw) - start:
        raise CheckpointError(f"it holds an array of {dtype} {shape} in {len(raw) - start} bytes")
    return np.frombuffer(raw, dtype, offset=start).reshape(shape, order="F" if fortran else "C")
