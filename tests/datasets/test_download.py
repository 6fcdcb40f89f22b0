"""Downloads against a server of our own that does everything wrong, on the loopback address."""

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


class Handler(BaseHTTPRequestHandler):
    """The path names the behaviour; `server.log` keeps (path, headers) of every request."""

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
        self.server.over.wait(5)

    def answer_drip(self):
        self.send(content=b"", length=len(CONTENT))
        for byte in CONTENT[:100]:
            if self.server.over.wait(0.02):
                break
            self.wfile.write(bytes([byte]))

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
    monkeypatch.setattr(download, "BACK_OFF", 0.0)
    monkeypatch.setattr(download, "TIMEOUT", 5.0)
    monkeypatch.setattr(download, "SLOWEST", 1e9)  # so that the drip need not last
    monkeypatch.setenv("MINIGRAD_DATA", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # a client that hangs up is what we test
    server.log, server.over = [], threading.Event()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()
    thread.join()


def url(server, behaviour):
    return f"http://127.0.0.1:{server.server_port}/{behaviour}"


def fetch(server, *behaviours):
    return download.fetch(NAME, [url(server, name) for name in behaviours], DIGESTS)


def files(tmp_path):
    return sorted(path.name for path in (tmp_path / "cache").iterdir())


SLOW = ("silence", "drip")
RETRIED, FINAL = download.TRIES, 1
FAULTS = {
    "forbidden": (FINAL, "HTTP 403 Forbidden"),
    "absent": (FINAL, "HTTP 404 Not Found"),
    "busy": (RETRIED, "HTTP 503 Service Unavailable"),
    "cut": (RETRIED, "cut off after 5000 of 102400 bytes"),
    "cut_without_a_length": (FINAL, "5000 bytes, but with another digest"),
    "cut_chunk": (RETRIED, "IncompleteRead"),
    "hang_up": (RETRIED, "Remote end closed connection"),
    "not_http": (RETRIED, "220 this is another service"),
    "silence": (RETRIED, "timed out"),
    "drip": (RETRIED, "too slow: "),
    "wrong_length": (FINAL, "offers 102401 bytes instead of 102400"),
    "endless": (FINAL, "sent more than 102400 bytes"),
    "wrong_bytes": (FINAL, "102400 bytes, but with another digest than sha256:"),
    "web_page": (FINAL, "offers 34 bytes instead of 102400, text/html"),
    "round": (FINAL, "infinite loop"),
    "ever_further": (FINAL, "HTTP 302"),
    "to_a_file": (FINAL, "HTTP 302"),
    "nowhere": (RETRIED, "Connection refused"),
    "malformed": (FINAL, "Invalid IPv6 URL"),
    "no_port": (RETRIED, "port"),
}


def test_every_wrong_answer_of_the_server_is_tried():
    wrong = {name.removeprefix("answer_") for name in vars(Handler) if name.startswith("answer_")}
    assert wrong - set(FAULTS) == {
        "good", "good_without_a_length", "slow_but_good", "moved",
        "busy_once", "too_many_once", "cut_once",
    }  # fmt: skip


@pytest.mark.parametrize("behaviour", FAULTS)
def test_a_faulty_mirror_is_left_for_the_next(server, tmp_path, monkeypatch, behaviour):
    if behaviour in SLOW:
        monkeypatch.setattr(download, "TIMEOUT", 0.3)
    assert fetch(server, behaviour, "good").read_bytes() == CONTENT
    assert files(tmp_path) == [".lock", NAME]


@pytest.mark.parametrize("behaviour, tries, words", [(name, *FAULTS[name]) for name in FAULTS])
def test_when_all_fail_the_error_says_why(server, tmp_path, monkeypatch, behaviour, tries, words):
    if behaviour in SLOW:
        monkeypatch.setattr(download, "TIMEOUT", 0.3)
    with pytest.raises(download.DownloadError) as caught:
        fetch(server, "absent", behaviour)
    message = str(caught.value)
    assert message.startswith(f"{NAME} could not be had:")
    assert f"{tmp_path / 'cache' / NAME}: No such file" in message
    assert re.search(
        f"/absent: HTTP 404.*tries: 1\\)\n.*/{behaviour}: .*{re.escape(words)}", message
    )
    assert f"(tries: {tries})" in message.splitlines()[-2]
    assert "by hand" in message and "MINIGRAD_DATA" in message
    assert files(tmp_path) == [".lock"]


@pytest.mark.parametrize("behaviour", ["busy_once", "too_many_once", "cut_once"])
def test_a_passing_fault_is_tried_again(server, behaviour):
    assert fetch(server, behaviour).read_bytes() == CONTENT
    assert len(server.log) == 2


def test_the_pauses_double(server, monkeypatch):
    pauses = []
    monkeypatch.setattr(download, "BACK_OFF", 1.0)
    monkeypatch.setattr(download.time, "sleep", pauses.append)
    with pytest.raises(download.DownloadError):
        fetch(server, "busy")
    assert pauses == [1.0, 2.0]


@pytest.mark.parametrize("behaviour", ["good", "good_without_a_length", "moved"])
def test_a_file_is_fetched_once_and_we_say_who_we_are(server, behaviour):
    path = fetch(server, behaviour)
    assert path.read_bytes() == CONTENT
    assert fetch(server, behaviour) == path
    asked = [headers["User-Agent"] for place, headers in server.log if place != "/good"]
    assert len(asked) <= 1 and "minigrad" in server.log[0][1]["User-Agent"]


def test_either_form_of_a_file_will_do(server):
    backwards = "md5:" + hashlib.md5(CONTENT[::-1]).hexdigest()
    digests = {**DIGESTS, backwards: len(CONTENT)}
    path = download.fetch(NAME, [url(server, "wrong_bytes")], digests)
    assert path.read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize("wrong", [b"", b"short", CONTENT[::-1]])
def test_a_wrong_file_in_the_cache_is_replaced_not_used(server, tmp_path, wrong):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / NAME).write_bytes(wrong)
    with pytest.raises(download.DownloadError, match=f"{NAME}: "):
        fetch(server, "absent")
    assert (tmp_path / "cache" / NAME).read_bytes() == wrong  # nothing better yet: left as it was
    assert fetch(server, "good").read_bytes() == CONTENT


def test_what_a_killed_process_left_is_in_nobodys_way(server, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / (NAME + ".part")).write_bytes(b"half")
    (tmp_path / "cache" / ".lock").write_bytes(b"")
    assert fetch(server, "good").read_bytes() == CONTENT
    assert files(tmp_path) == [".lock", NAME]


def test_two_processes_download_once(server):
    code = (
        "from minigrad.datasets import download\n"
        f"path = download.fetch({NAME!r}, [{url(server, 'slow_but_good')!r}], {DIGESTS!r})\n"
        "print(len(path.read_bytes()))"
    )
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", code]
    both = [subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE) for _ in range(2)]
    assert [process.communicate(timeout=30)[0].split() for process in both] == [[b"102400"]] * 2
    assert len(server.log) == 1


def test_a_full_disk(server, tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(download.os, "fsync", full)
    with pytest.raises(download.DownloadError, match=r"cannot write .*No space left on device"):
        fetch(server, "good", "good")
    assert len(server.log) == 1  # another mirror would not help
    assert files(tmp_path) == [".lock"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_device_without_room(server, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / (NAME + ".part")).symlink_to("/dev/full")
    with pytest.raises(download.DownloadError, match=r"cannot write .*No space left on device"):
        fetch(server, "good")
    assert files(tmp_path) == [".lock"]


@pytest.mark.skipif(not Path("/sys/kernel").exists(), reason="needs Linux's /sys")
def test_a_folder_that_cannot_be_written(server, monkeypatch):
    """Not even root may create files in /sys. Nothing is asked of the network."""
    monkeypatch.setenv("MINIGRAD_DATA", "/sys/kernel")
    with pytest.raises(download.DownloadError, match=r"cannot write /sys/.*MINIGRAD_DATA"):
        fetch(server, "good")
    assert not server.log


def test_a_read_only_folder_that_holds_the_file_is_enough(server, tmp_path):
    fetch(server, "good")
    (tmp_path / "cache" / ".lock").unlink()
    (tmp_path / "cache").chmod(0o500)
    assert fetch(server, "absent").read_bytes() == CONTENT
    assert files(tmp_path) == [NAME]
    (tmp_path / "cache").chmod(0o700)


def test_a_proxy_is_taken_from_the_environment(server, monkeypatch):
    """The proxy sees the whole address; here it is the server itself, which finds no such path."""
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(Handler, "answer_http://data.invalid/good", Handler.answer_good, False)
    assert download.fetch(NAME, ["http://data.invalid/good"], DIGESTS).read_bytes() == CONTENT
    assert server.log[0][0] == "http://data.invalid/good"


def test_progress_is_shown_on_a_terminal_only(server, monkeypatch, capsys):
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
@pytest.mark.skipif(os.name == "nt", reason="the paths are written as on POSIX")
def test_the_folder_follows_the_platform(monkeypatch, platform, environment, expected):
    for name in ("MINIGRAD_DATA", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/me", **environment}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(download.sys, "platform", platform)
    assert download.folder() == Path(expected)


def test_a_user_without_a_home_is_told_what_to_do(monkeypatch):
    """As in a container, whose user is a mere number."""
    for name in ("MINIGRAD_DATA", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(download.sys, "platform", "linux")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # it does not know better
    with pytest.raises(download.DownloadError, match=r"home directory\. Name a folder .*MINIGRAD_"):
        download.folder()


def test_a_file_where_the_folder_should_be(server, tmp_path):
    (tmp_path / "cache").write_bytes(b"precious")
    with pytest.raises(download.DownloadError, match=r"cannot write .*MINIGRAD_DATA"):
        fetch(server, "good")
    assert (tmp_path / "cache").read_bytes() == b"precious" and not server.log
