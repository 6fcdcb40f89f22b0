"""Download a data file once, and verify its digest at every use.

    cached? → lock → each mirror, a few tries → check size and digest → .part → rename → cached

A file is identified by its digests, `{"sha256:…": size in bytes}`, one for each published form.
Proxies are read from the environment variables `http_proxy`, `https_proxy` and `no_proxy`.
"""

import hashlib
import os
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from http.client import HTTPException
from pathlib import Path
from typing import Any

CACHES = {"win32": ("LOCALAPPDATA", "~/AppData/Local"), "darwin": ("", "~/Library/Caches")}
PAUSES = (0.0, 1.0, 2.0)  # seconds before each try of a mirror
TIMEOUT = 20.0  # seconds without data
MIN_SPEED = 10_000  # bytes per second, on average


class DownloadError(OSError):
    """A file could not be downloaded or stored; the message says what failed and what to do."""


def folder() -> Path:
    """Return the folder of data files: `MINIGRAD_DATA`, or `minigrad` in the user's cache."""
    variable, default = CACHES.get(sys.platform, ("XDG_CACHE_HOME", "~/.cache"))
    cache = os.environ.get(variable, "")
    cache = cache if os.path.isabs(cache) else default  # XDG: ignore a relative path
    try:
        return Path(os.environ.get("MINIGRAD_DATA") or f"{cache}/minigrad").expanduser()
    except RuntimeError as error:
        raise DownloadError(f"{error} Set MINIGRAD_DATA to a folder for data files.") from error


def fetch(name: str, mirrors: Sequence[str], digests: Mapping[str, int]) -> Path:
    """Return the path of the verified file `name` in `folder()`; download it if necessary.

    A cached file with the right digest is used without network access. Otherwise the mirrors are
    tried in order. If several processes call `fetch`, one downloads and the others wait for it.
    A file with a wrong digest is replaced. Raises DownloadError if every mirror fails or the
    folder cannot be written.
    """
    path = folder() / name
    part = path.with_name(path.name + ".part")
    if not _cache_error(path, digests):
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path.parent / ".lock", "wb") as lock:
            _acquire(lock.fileno())
            if _cache_error(path, digests):  # no other process downloaded it meanwhile
                try:
                    part.write_bytes(_download(path, mirrors, digests))
                    part.replace(path)
                finally:
                    part.unlink(missing_ok=True)
        return path
    except DownloadError:
        raise
    except OSError as error:
        advice = "Set MINIGRAD_DATA to a writable folder with enough space."
        raise DownloadError(f"cannot write {path}: {error}. {advice}") from error


def _cache_error(path: Path, digests: Mapping[str, int]) -> str:
    """Return why the cached file cannot be used; an empty string if it can."""
    try:
        if (size := path.stat().st_size) not in digests.values():
            return f"wrong content: {size} bytes; required: {list(digests.values())}"
        return _content_error(path.read_bytes(), digests)
    except OSError as error:
        return error.strerror or str(error)


def _content_error(content: bytes | bytearray, digests: Mapping[str, int]) -> str:
    for digest, size in digests.items():
        algorithm, _, expected = digest.partition(":")
        actual = hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()
        if len(content) == size and actual == expected:
            return ""
    required = " or ".join(f"{size} bytes with {digest}" for digest, size in digests.items())
    return f"wrong content: {len(content)} bytes; required: {required}"


def _download(path: Path, mirrors: Sequence[str], digests: Mapping[str, int]) -> bytearray:
    """Return the content from the first mirror that delivers it; raise DownloadError if none."""
    failures = [f"{path}: {_cache_error(path, digests)}"]
    for url in mirrors:
        for pause in PAUSES:
            time.sleep(pause)
            try:
                return _request(url, digests)
            except urllib.error.HTTPError as error:
                error.close()
                failures.append(f"{url}: {error}")
                if error.code < 500 and error.code not in (408, 429):  # timeout, too many requests
                    break
            except ValueError as error:  # wrong content, or a redirect to an invalid URL
                failures.append(f"{url}: {error}")
                break
            except (OSError, HTTPException) as error:
                failures.append(f"{url}: {error!r}")
    advice = f"Copy the file by hand to {path}, or set MINIGRAD_DATA to the folder that holds it."
    raise DownloadError("\n  ".join([f"cannot download {path.name}:", *failures]) + f"\n{advice}")


class _NoFTP(urllib.request.FTPHandler):
    def ftp_open(self, req: Any) -> Any:
        raise ValueError(f"redirects to {req.full_url}; http or https is required")


def _request(url: str, digests: Mapping[str, int]) -> bytearray:
    """Run _receive in a thread; raise TimeoutError at the limit, whatever the server does.

    A socket's own timeout starts again with each byte. A thread that still runs ends when the
    connection ends.
    """
    limit = TIMEOUT + max(digests.values()) / MIN_SPEED
    future: Future[bytearray] = Future()
    threading.Thread(target=_receive, args=(future, url, digests, limit), daemon=True).start()
    try:
        return future.result(limit)
    except TimeoutError:
        raise TimeoutError(f"timed out: not complete after {limit:.0f} s") from None
    finally:
        del future  # its exception refers to this frame; a cycle would keep the socket open


def _receive(future: Future[bytearray], url: str, digests: Mapping[str, int], limit: float) -> None:
    try:
        future.set_result(_read(url, digests, time.monotonic() + limit))
    except Exception as error:
        future.set_exception(error)
    finally:
        del future


def _read(url: str, digests: Mapping[str, int], deadline: float) -> bytearray:
    sizes = list(digests.values())
    request = urllib.request.Request(url, headers={"User-Agent": "minigrad"})
    content = bytearray()
    with urllib.request.build_opener(_NoFTP).open(request, timeout=TIMEOUT) as response:
        declared, kind = response.length, response.headers.get_content_type()
        if declared not in (None, *sizes):
            raise ValueError(f"offers {declared} bytes of {kind}; required: {sizes}")
        while chunk := response.read1(1 << 16):
            content += chunk
            if len(content) > max(sizes):
                raise ValueError(f"sent more than {max(sizes)} bytes")
            if time.monotonic() > deadline:
                raise TimeoutError(f"too slow: {len(content)} bytes before the deadline")
            _show_progress(url, len(content), declared or max(sizes))
    if len(content) < (declared or 0):
        raise ConnectionError(f"connection closed after {len(content)} of {declared} bytes")
    if reason := _content_error(content, digests):
        raise ValueError(reason)
    return content


def _show_progress(url: str, done: int, total: int) -> None:
    if sys.stderr is not None and sys.stderr.isatty():
        bar = "#" * (30 * done // total)
        line = f"\r{url.rpartition('/')[2]} [{bar:30}] {done / 1e6:.1f} of {total / 1e6:.1f} MB"
        print(line, end="\n" if done == total else "", file=sys.stderr, flush=True)


def _acquire(lock: int) -> None:
    """Wait for the lock; the system releases it when the file is closed or the process ends."""
    if sys.platform != "win32":
        import fcntl

        fcntl.flock(lock, fcntl.LOCK_EX)
        return
    import msvcrt

    while True:
        try:
            return msvcrt.locking(lock, msvcrt.LK_NBLCK, 1)
        except OSError:  # another process holds the lock
            time.sleep(0.1)
