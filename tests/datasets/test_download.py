"""Download from a local server that answers with every kind of fault."""

import errno
import hashlib
import os
import re
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from minigrad.datasets import download

CONTENT = bytes(range(256)) * 400  # 100 kB
DIGESTS = {"sha256:" + hashlib.sha256(CONTENT).hexdigest(): len(CONTENT)}
NAME = "things.gz"
PAUSES = download.PAUSES


class Handler(BaseHTTPRequestHandler):
    """Answer a request as its path says, and add its (path, headers) to `server.log`."""

    timeout = 5

    def do_GET(self):
        self.server.log.append((self.path, self.headers))
        behaviour = self.path.removeprefix("/").partition("?")[0]
        getattr(self, "answer_" + behaviour)()

    def log_message(self, *_):
        pass

    def send(self, code=200, content=CONTENT, length=None, **headers):
        self.send_response(code)
        self.send_header("Content-Length", len(content) if length is None else length)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def answer_good(self):
        self.send()

    def answer_good_without_a_length(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(CONTENT)

    def answer_forbidden(self):
        self.send(403, b"no")

    def answer_absent(self):
        self.send(404, b"no")

    def answer_busy(self):
        self.send(503, b"later")

    def answer_busy_once(self):
        self.send(500 if len(self.server.log) == 1 else 200)

    def answer_too_many_once(self):
        self.send(429 if len(self.server.log) == 1 else 200)

    def answer_cut(self):
        self.send(content=CONTENT[:5000], length=len(CONTENT))

    def answer_cut_once(self):
        self.send(
            content=CONTENT[: 5000 if len(self.server.log) == 1 else None], length=len(CONTENT)
        )

    def answer_cut_without_a_length(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(CONTENT[:5000])

    def answer_cut_chunk(self):
        self.protocol_version = "HTTP/1.1"
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"2000\r\n" + CONTENT[:5000])
        self.close_connection = True

    def answer_hang_up(self):
        self.close_connection = True

    def answer_not_http(self):
        self.wfile.write(b"220 this is another service\r\n")
        self.close_connection = True

    def answer_silence(self):
        self.server.stopped.wait(5)

    def answer_drip(self):
        self.send(content=b"", length=len(CONTENT))
        for byte in CONTENT[:100]:
            if self.server.stopped.wait(0.01):
                break
            self.wfile.write(bytes([byte]))

    def endless(self, data):
        while not self.server.stopped.wait(0.01):
            self.wfile.write(data)

    def answer_drip_headers(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        self.endless(b"a")

    def answer_continue_for_ever(self):
        self.endless(b"HTTP/1.1 100 Continue\r\n\r\n")

    def answer_endless_trailers(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        self.wfile.write(b"%x\r\n%s\r\n0\r\n" % (len(CONTENT), CONTENT))
        self.endless(b"X-More: 1\r\n")

    def answer_to_ftp(self):
        self.send(302, b"", Location=f"FTP://127.0.0.1:{self.server.server_port}/things.gz")

    def answer_slow_but_good(self):
        time.sleep(0.5)
        self.send()

    def answer_wrong_length(self):
        self.send(content=CONTENT + b"!")

    def answer_endless(self):
        self.send_response(200)
        self.end_headers()
        for _ in range(1000):
            self.wfile.write(CONTENT)

    def answer_wrong_bytes(self):
        self.send(content=CONTENT[::-1])

    def answer_web_page(self):
        self.send(content=b"<!DOCTYPE html><p>Accept our terms", **{"Content-Type": "text/html"})

    def answer_round(self):
        self.send(302, b"", Location="/round")

    def answer_ever_further(self):
        self.send(302, b"", Location=f"/ever_further?{len(self.server.log)}")

    def answer_to_a_file(self):
        self.send(302, b"", Location="file:///etc/hostname")

    def answer_nowhere(self):
        self.send(302, b"", Location="http://127.0.0.1:1/")

    def answer_malformed(self):
        self.send(302, b"", Location="http://[127.0.0.1/")

    def answer_no_port(self):
        self.send(302, b"", Location="http://127.0.0.1:port/")

    def answer_moved(self):
        self.send(301, b"", Location="/good")


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.setattr(download, "PAUSES", (0.0, 0.0))
    monkeypatch.setattr(download, "TIMEOUT", 5.0)
    monkeypatch.setattr(download, "MIN_SPEED", 1e9)  # the deadline is TIMEOUT
    monkeypatch.setenv("MINIGRAD_DATA", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # clients close the connection on purpose
    server.log, server.stopped = [], threading.Event()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.stopped.set()
    server.shutdown()
    server.server_close()
    thread.join()


def url(server, behaviour):
    return f"http://127.0.0.1:{server.server_port}/{behaviour}"


def fetch(server, *behaviours):
    return download.fetch(NAME, [url(server, name) for name in behaviours], DIGESTS)


def files(tmp_path):
    return sorted(path.name for path in (tmp_path / "cache").iterdir())


SLOW = ("silence", "drip", "drip_headers", "continue_for_ever", "endless_trailers")
RETRIED, FINAL = 2, 1  # tries
FAULTS = {
    "forbidden": (FINAL, "HTTP Error 403: Forbidden"),
    "absent": (FINAL, "HTTP Error 404: Not Found"),
    "busy": (RETRIED, "HTTP Error 503: Service Unavailable"),
    "cut": (RETRIED, "connection closed after 5000 of 102400 bytes"),
    "cut_without_a_length": (FINAL, "wrong content: 5000 bytes; required: 102400 bytes"),
    "cut_chunk": (RETRIED, "IncompleteRead"),
    "hang_up": (RETRIED, "Remote end closed connection"),
    "not_http": (RETRIED, "220 this is another service"),
    "silence": (RETRIED, "timed out"),
    **dict.fromkeys(SLOW[1:], (RETRIED, "timed out: not complete after 0 s")),
    "to_ftp": (FINAL, "redirects to ftp://127.0.0.1"),
    "wrong_length": (FINAL, "offers 102401 bytes of text/plain; required: [102400]"),
    "endless": (FINAL, "sent more than 102400 bytes"),
    "wrong_bytes": (FINAL, "wrong content: 102400 bytes; required: 102400 bytes with sha256:"),
    "web_page": (FINAL, "offers 34 bytes of text/html; required: [102400]"),
    "round": (FINAL, "infinite loop"),
    "ever_further": (FINAL, "HTTP Error 302: "),
    "to_a_file": (FINAL, "HTTP Error 302: "),
    "nowhere": (RETRIED, "Connection refused"),
    "malformed": (FINAL, "Invalid IPv6 URL"),
    "no_port": (RETRIED, "port"),
}


def test_every_fault_of_the_server_is_listed():
    answers = {name.removeprefix("answer_") for name in vars(Handler) if name.startswith("answer_")}
    assert answers - set(FAULTS) == {
        "good", "good_without_a_length", "slow_but_good", "moved",
        "busy_once", "too_many_once", "cut_once",
    }  # fmt: skip


@pytest.mark.parametrize("behaviour", FAULTS)
def test_the_next_mirror_is_used_after_a_fault(server, tmp_path, monkeypatch, behaviour):
    if behaviour in SLOW:
        monkeypatch.setattr(download, "TIMEOUT", 0.2)
    assert fetch(server, behaviour, "good").read_bytes() == CONTENT
    assert files(tmp_path) == [".lock", NAME]


@pytest.mark.parametrize("behaviour, tries, words", [(name, *FAULTS[name]) for name in FAULTS])
def test_the_error_lists_every_failure(server, tmp_path, monkeypatch, behaviour, tries, words):
    if behaviour in SLOW:
        monkeypatch.setattr(download, "TIMEOUT", 0.2)
    with pytest.raises(download.DownloadError) as caught:
        fetch(server, "absent", behaviour)
    message = str(caught.value)
    assert message.startswith(f"cannot download {NAME}:")
    assert f"{tmp_path / 'cache' / NAME}: No such file" in message
    failure = f"  {url(server, behaviour)}: "
    assert re.search(f"/absent: HTTP Error 404: .*\n{failure}.*{re.escape(words)}", message)
    assert message.count(failure) == tries + (behaviour == "absent")
    assert "by hand" in message and "MINIGRAD_DATA" in message
    assert files(tmp_path) == [".lock"]


@pytest.mark.parametrize("behaviour", ["busy_once", "too_many_once", "cut_once"])
def test_a_temporary_fault_is_retried(server, behaviour):
    assert fetch(server, behaviour).read_bytes() == CONTENT
    assert len(server.log) == 2


def test_the_pause_between_tries_doubles(server, monkeypatch):
    pauses = []
    monkeypatch.setattr(download, "PAUSES", PAUSES)
    monkeypatch.setattr(download.time, "sleep", pauses.append)
    with pytest.raises(download.DownloadError):
        fetch(server, "busy")
    assert pauses == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("behaviour", ["good", "good_without_a_length", "moved"])
def test_a_file_is_downloaded_once_and_the_user_agent_is_minigrad(server, behaviour):
    path = fetch(server, behaviour)
    assert path.read_bytes() == CONTENT
    assert fetch(server, behaviour) == path
    expected = ["/moved", "/good"] if behaviour == "moved" else [f"/{behaviour}"]
    assert [path for path, _ in server.log] == expected
    assert {headers["User-Agent"] for _, headers in server.log} == {"minigrad"}


def test_every_published_form_of_a_file_is_accepted(server):
    backwards = "md5:" + hashlib.md5(CONTENT[::-1]).hexdigest()
    digests = {**DIGESTS, backwards: len(CONTENT)}
    path = download.fetch(NAME, [url(server, "wrong_bytes")], digests)
    assert path.read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize("wrong", [b"", b"short", CONTENT[::-1]])
def test_a_wrong_file_in_the_cache_is_replaced(server, tmp_path, wrong):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / NAME).write_bytes(wrong)
    with pytest.raises(download.DownloadError, match=f"{NAME}: wrong content: {len(wrong)} bytes"):
        fetch(server, "absent")
    assert (tmp_path / "cache" / NAME).read_bytes() == wrong  # kept until it can be replaced
    assert fetch(server, "good").read_bytes() == CONTENT


def test_files_of_a_killed_process_do_no_harm(server, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / (NAME + ".part")).write_bytes(b"half")
    (tmp_path / "cache" / ".lock").write_bytes(b"")
    assert fetch(server, "good").read_bytes() == CONTENT
    assert files(tmp_path) == [".lock", NAME]


def test_two_processes_download_once(server):
    code = (  # run the file alone: importing NumPy takes longer than the download
        f"import runpy; fetch = runpy.run_path({download.__file__!r})['fetch']\n"
        f"path = fetch({NAME!r}, [{url(server, 'slow_but_good')!r}], {DIGESTS!r})\n"
        "print(len(path.read_bytes()))"
    )
    command = [sys.executable, "-c", code]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    assert [process.communicate(timeout=30)[0].split() for process in both] == [[b"102400"]] * 2
    assert len(server.log) == 1


def test_a_full_disk_is_reported(server, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(download.Path, "write_bytes", full)
    with pytest.raises(download.DownloadError, match=r"cannot write .*No space left on device"):
        fetch(server, "good", "good")
    assert len(server.log) == 1  # another mirror would not help
    assert files(tmp_path) == [".lock"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_device_is_reported(server, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / (NAME + ".part")).symlink_to("/dev/full")
    with pytest.raises(download.DownloadError, match=r"cannot write .*No space left on device"):
        fetch(server, "good")
    assert files(tmp_path) == [".lock"]


@pytest.mark.skipif(not Path("/sys/kernel").exists(), reason="needs Linux's /sys")
def test_a_read_only_folder_is_reported(server, monkeypatch):
    """Not even root may create files in /sys. The network is not used."""
    monkeypatch.setenv("MINIGRAD_DATA", "/sys/kernel")
    with pytest.raises(download.DownloadError, match=r"cannot write /sys/.*MINIGRAD_DATA"):
        fetch(server, "good")
    assert not server.log


def test_a_read_only_folder_with_the_file_is_enough(server, tmp_path):
    fetch(server, "good")
    (tmp_path / "cache" / ".lock").unlink()
    (tmp_path / "cache").chmod(0o500)
    assert fetch(server, "absent").read_bytes() == CONTENT
    assert files(tmp_path) == [NAME]
    (tmp_path / "cache").chmod(0o700)


def test_the_proxy_comes_from_the_environment(server, monkeypatch):
    """The test server is the proxy: it receives the whole URL as the path."""
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(Handler, "answer_http://data.invalid/good", Handler.answer_good, False)
    assert download.fetch(NAME, ["http://data.invalid/good"], DIGESTS).read_bytes() == CONTENT
    assert server.log[0][0] == "http://data.invalid/good"


def test_progress_is_shown_only_on_a_terminal(server, monkeypatch, capsys):
    fetch(server, "good").unlink()
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    fetch(server, "good")
    shown = capsys.readouterr().err
    assert shown.endswith(f"good [{'#' * 30}] 0.1 of 0.1 MB\n") and "\r" in shown


@pytest.mark.parametrize(
    "platform, environment, expected",
    [
        ("linux", {"MINIGRAD_DATA": "/data"}, "/data"),
        ("linux", {"MINIGRAD_DATA": "~/data"}, "/home/me/data"),
        ("linux", {"XDG_CACHE_HOME": "/cache"}, "/cache/minigrad"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "/home/me/.cache/minigrad"),
        ("linux", {}, "/home/me/.cache/minigrad"),
        ("darwin", {"XDG_CACHE_HOME": "/cache"}, "/home/me/Library/Caches/minigrad"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/minigrad"),
        ("win32", {}, "/home/me/AppData/Local/minigrad"),
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="the expected paths are POSIX paths")
def test_the_default_folder_depends_on_the_platform(monkeypatch, platform, environment, expected):
    for name in ("MINIGRAD_DATA", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/me", **environment}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(download.sys, "platform", platform)
    assert download.folder() == Path(expected)


def test_a_user_without_a_home_directory_is_told_what_to_do(monkeypatch):
    """In some containers the user has a number, but no name and no home."""
    for name in ("MINIGRAD_DATA", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(download.sys, "platform", "linux")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # no home directory found
    with pytest.raises(download.DownloadError, match=r"home directory\. Set MINIGRAD_DATA"):
        download.folder()


def test_a_file_in_place_of_the_folder_is_kept(server, tmp_path):
    (tmp_path / "cache").write_bytes(b"a file")
    with pytest.raises(download.DownloadError, match=r"cannot write .*MINIGRAD_DATA"):
        fetch(server, "good")
    assert (tmp_path / "cache").read_bytes() == b"a file" and not server.log
