"""The two READMEs have the same programs, commands and pictures; the files they name exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ENGLISH, CHINESE = (
    (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-CN.md")
)


@pytest.mark.parametrize(
    "pattern",
    [
        r"```\w+\n.*?```",  # programs, commands and their output
        r"^\| `[\w/]+\.py` \| \d+ \|",  # the reading path
        r"^\| `\w+/` \| (?:`[\w.]+` )?\|",  # the folders and their import names
        r"examples/gallery/\w+\.png",
        r"`(?:python|minigrad|marimo|pip|mpiexec) [^`]*`",
        r"^#+(?= )",
    ],
)
def test_both_languages_have_the_same(pattern):
    english, chinese = (re.findall(pattern, text, re.M | re.S) for text in (ENGLISH, CHINESE))
    assert english == chinese != []


@pytest.mark.parametrize("text", [ENGLISH, CHINESE], ids=["English", "Chinese"])
def test_the_files_that_the_readmes_name_exist(text):
    names = re.findall(r"`((?:minigrad|optimizers|datasets|examples|tests)/[\w/.-]*)`", text)
    names += re.findall(r"((?:examples)/[\w/]+\.(?:py|png|md))", text)
    missing = [name for name in names if not (ROOT / name).exists()]
    assert len(names) > 30 and missing == []


def test_links_inside_the_page_lead_to_headings():
    for text in (ENGLISH, CHINESE):
        headings = {h.lower().replace(" ", "-") for h in re.findall(r"^#+ (.*)$", text, re.M)}
        assert {*re.findall(r"\]\(#([^)]*)\)", text)} <= headings
