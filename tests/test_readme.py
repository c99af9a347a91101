"""The README's example runs as it stands and prints what stands below it."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
NUMBER = re.compile(r"\d[\d.e-]*\d|\d")


def blocks(kind):
    return re.findall(rf"```{kind}\n(.*?)```", README, flags=re.DOTALL)


def test_the_example_prints_what_the_readme_says(capsys):
    (code,), (shown,) = blocks("python"), blocks("text")
    exec(compile(code, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    # other processors round otherwise, and no two runs take the same time
    assert NUMBER.sub("#", printed) == NUMBER.sub("#", shown)
    values = [float(NUMBER.search(text)[0]) for text in (printed, shown)]
    assert values[0] == pytest.approx(values[1], rel=1e-3)


def test_its_files_and_commands_exist():
    for path in re.findall(r"\]\((docs/[^)]+)\)", README):
        assert (ROOT / path).is_file()
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"make (\w+)", README):
        assert f"\n{target}:" in makefile or target == "an"
    for case in re.findall(r"bench/run.py (\w+)", README):
        assert (ROOT / "bench" / "cases" / f"{case}.py").is_file()
    for path in re.findall(r"`((?:sharpkit|tests|bench)/[\w/]+(?:\.py|/))`", README):
        assert (ROOT / path).exists()
