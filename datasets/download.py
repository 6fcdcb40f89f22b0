"""Fetch a file once, and use it only if it is the right one.

    cached? → lock → each mirror, a few tries → size and digest → .part → rename → cached

A file is known by its digests, `{"sha256:…": size in bytes}`: more than one where it is published
in several forms. Proxies are taken from the environment (`http_proxy`, `https_proxy`, `no_proxy`).
"""

import hashlib
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path

TRIES = 3  # of one mirror
BACK_OFF = 1.0  # seconds before the second try; twice as long before each later one
TIMEOUT = 20.0  # seconds of silence
SLOWEST = 10_000  # bytes a second


class DownloadError(OSError):
    """A file could not be had; the message says what was tried and what to do by hand."""


class _Refused(Exception):
    """An answer that would be the same at the next try."""


def folder() -> Path:
    """Where data is looked for and kept: `MINIGRAD_DATA`, or the cache folder of the platform."""
    path = os.environ.get("MINIGRAD_DATA")
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA", "~/AppData/Local")
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME", "")
        if not os.path.isabs(base):  # the XDG specification: relative paths are to be ignored
            base = "~/.cache"
    try:
        return Path(path or f"{base}/minigrad").expanduser()
    except RuntimeError as error:
        raise DownloadError(f"{error} Name a folder for data in MINIGRAD_DATA") from error


def fetch(name: str, mirrors: Sequence[str], digests: Mapping[str, int]) -> Path:
    """The path of the file `name` in `folder()`, downloaded from the first mirror that has it.

    What is already there is used if its digest is right, without asking the network. Several
    processes may call this at once: one downloads, the others wait and use its file. A file with
    the wrong content is never used, and is replaced only once the right one is complete.
    Raises DownloadError when every mirror fails, or when the folder cannot be written.
    """
    path = folder() / name
    if not (flaw := _cached_flaw(path, digests)):
        return path
    failures = [f"{path}: {flaw}"]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _lock(path.parent / ".lock"):
            if not _cached_flaw(path, digests):  # another process was faster
                return path
            for url in mirrors:
                content = _from_mirror(url, digests, failures)
                if content is not None:
                    _store(path, content)
                    return path
    except OSError as error:
        advice = "Name a folder with room in MINIGRAD_DATA"
        raise DownloadError(f"cannot write {path}: {error}. {advice}") from error
    raise DownloadError(
        f"{name} could not be had:\n  " + "\n  ".join(failures) + "\nPut the file there by hand, "
        "or name the folder that holds it in the environment variable MINIGRAD_DATA"
    )


def _cached_flaw(path: Path, digests: Mapping[str, int]) -> str:
    try:
        if (size := path.stat().st_size) not in digests.values():
            return f"has {_sizes(digests, size)}"
        return _flaw(path.read_bytes(), digests)
    except OSError as error:
        return error.strerror or str(error)


def _flaw(content: bytes, digests: Mapping[str, int]) -> str:
    """Why this is not the wanted file; empty if it is."""
    for digest, size in digests.items():
        algorithm, _, expected = digest.partition(":")
        found = hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()
        if len(content) == size and found == expected:
            return ""
    return f"{len(content)} bytes, but with another digest than {' or '.join(digests)}"


def _sizes(digests: Mapping[str, int], size: int) -> str:
    return f"{size} bytes instead of {' or '.join(str(size) for size in digests.values())}"


def _from_mirror(url: str, digests: Mapping[str, int], failures: list[str]) -> bytes | None:
    """The file; or None, and why not among the failures."""
    for attempt in range(1, TRIES + 1):
        try:
            content = _get(url, digests)
            if flaw := _flaw(content, digests):
                raise _Refused(flaw)
            return content
        except urllib.error.HTTPError as error:
            reason = f"HTTP {error.code} {error.reason}"
            final = error.code < 500 and error.code not in (408, 429)  # time-out, too many requests
            error.close()
        except (_Refused, ValueError) as error:  # ValueError: a redirection to no address
            reason, final = str(error), True
        except (OSError, HTTPException) as error:
            reason, final = str(error) or type(error).__name__, False
        if final:
            break
        if attempt < TRIES:
            time.sleep(BACK_OFF * 2 ** (attempt - 1))
    failures.append(f"{url}: {' '.join(reason.split())} (tries: {attempt})")
    return None


def _get(url: str, digests: Mapping[str, int]) -> bytes:
    largest = max(digests.values())
    start = time.monotonic()
    request = urllib.request.Request(url, headers={"User-Agent": "minigrad"})
    content = bytearray()
    with urllib.request.build_opener().open(request, timeout=TIMEOUT) as response:
        declared = response.length
        if declared is not None and declared not in digests.values():
            kind = response.headers["Content-Type"]
            raise _Refused(f"offers {_sizes(digests, declared)}, {kind}")
        while chunk := response.read1(1 << 16):
            content += chunk
            if len(content) > largest:
                raise _Refused(f"sent more than {largest} bytes")
            if (seconds := time.monotonic() - start) > TIMEOUT + largest / SLOWEST:
                raise TimeoutError(f"too slow: {len(content)} bytes in {seconds:.0f} s")
            _progress(url, len(content), declared or largest)
    if declared is not None and len(content) < declared:
        raise ConnectionError(f"cut off after {len(content)} of {declared} bytes")
    return bytes(content)


def _progress(url: str, done: int, total: int) -> None:
    if sys.stderr is not None and sys.stderr.isatty():
        bar = "#" * (30 * done // total)
        line = f"\r{url.rpartition('/')[2]} [{bar:30}] {done / 1e6:.1f} of {total / 1e6:.1f} MB"
        print(line, end="\n" if done == total else "", file=sys.stderr, flush=True)


def _store(path: Path, content: bytes) -> None:
    part = path.with_name(path.name + ".part")
    try:
        with open(part, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """One process at a time. The system frees the lock when its holder ends, however it ends."""
    with open(path, "wb") as file:
        if sys.platform == "win32":
            import msvcrt

            while True:
                try:
                    msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
                    break
                except OSError:
                    time.sleep(0.1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield
