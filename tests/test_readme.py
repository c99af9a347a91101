"""The README's example runs as it stands and prints what stands below it."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

from sharpkit.lab.experiments import outcomes
from sharpkit.lab.outcome import HOLDS, OPEN
from sharpkit.lab.store import Store

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
NUMBER = re.compile(r"\d[\d.e-]*\d|\d")
DECIMAL = re.compile(r"\d+\.\d+")


def blocks(kind):
    return re.findall(rf"```{kind}\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.slow
def test_the_examples_print_what_the_readme_says(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    codes, texts = blocks("python"), blocks("text")
    assert len(codes) == len(texts) == 8
    namespace = {}  # each one goes on from those before
    for code, shown in zip(codes, texts, strict=True):
        if any(missing(name) for name in re.findall(r"^import (\w+)", code, re.M)):
            continue
        exec(compile(code, "README.md", "exec"), namespace)
        printed = capsys.readouterr().out
        assert outline(printed) == outline(shown)
        values = [float(DECIMAL.search(text)[0]) for text in (printed, shown)]
        assert values[0] == pytest.approx(values[1], rel=1e-3)


def missing(library):
    return importlib.util.find_spec(library) is None


def outline(text):
    """The text without its numbers: other processors round otherwise, and no two runs
    take the same time, whose length decides where lines are broken.
    """
    text = re.sub(r" (m?s|h)\b", " s", NUMBER.sub("#", text))
    return " ".join(text.split())


def test_its_files_and_commands_exist():
    for path in re.findall(r"\]\((docs/[^)]+)\)", README):
        assert (ROOT / path).is_file()
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"(?:`|^)make (\w+)", README, flags=re.MULTILINE):
        assert f"\n{target}:" in makefile
    cases = re.findall(r"bench/run.py (\w+)", README)
    assert cases
    for case in cases:
        assert (ROOT / "bench" / "cases" / f"{case}.py").is_file()
    for path in re.findall(r"`((?:sharpkit|tests|bench)/[\w/]+(?:\.py|/))`", README):
        assert (ROOT / path).exists()


@pytest.mark.parametrize("data", ["glyphs", "digits"])
def test_the_demonstration_is_the_committed_one(data):
    with Store(ROOT / "docs" / "demo", create=False) as store:
        found = {
            each.experiment: each
            for each in outcomes(store)
            if each.data.startswith(data)
        }
    for name in ("table3", "table4"):
        for _, solver, small, large, ratio, *_ in found[name].tables[0].rows:
            if solver == "auto":
                assert f"{small} / {large} (ratio {ratio})" in README
    small, large, *_ = found["curvature"].tables[0].rows
    assert all(f"{small[column]} / {large[column]}" in README for column in (1, 3))
    # what the README makes of them
    decisions = [claim.decision for claim in found["curvature"].claims]
    assert decisions == [OPEN, HOLDS, OPEN, OPEN, HOLDS, HOLDS]
    sharper = [
        claim.decision == HOLDS
        for name in ("table3", "table4")
        for claim in found[name].claims
        if not claim.text.startswith("...")
    ]
    assert f"sharper in {sum(sharper)} of {len(sharper)} measures" in README


def test_the_bench_figures_are_those_of_the_committed_runs():
    (solvers,) = sorted((ROOT / "bench" / "results").glob("*-solvers.jsonl"))[-1:]
    families = json.loads(solvers.read_text())["data"]["summary"]["families"]
    for name, found in families["all networks"].items():
        shown = [f"{found[of]:.3f}" for of in ("worst", "5th", "median", "mean")]
        row = " | ".join([*shown, f"{found['below 0.95']:.0%}"])
        assert name == "lbfgsb 10" or f"| {row} |" in README
    (trainer,) = sorted((ROOT / "bench" / "results").glob("*-trainer.jsonl"))[-1:]
    record = json.loads(trainer.read_text())
    ours, fused = (record["columns"].index(name) for name in ("of torch", "of fused"))
    for row in record["rows"]:
        assert f"| {row[0]} | {row[ours]} | {row[fused]} |" in README


def test_what_searches_miss_is_what_was_measured():
    (file,) = sorted((ROOT / "bench" / "results").glob("*-missing.jsonl"))[-1:]
    data = json.loads(file.read_text())["data"]
    place = ROOT / "sharpkit" / "_diagnosis" / "missing.json"
    assert json.loads(place.read_text(encoding="utf-8")) == data["table"]
    boxes = len({run["case"] for run in data["runs"]})
    assert f"measured on {boxes} boxes and held" in " ".join(README.split())
    for group in data["checked"]:
        if group["space"] == "full":  # of subspaces there were too few
            for name in ("within_95", "within_80"):
                assert abs(group[f"stated {name}"] - group[f"found {name}"]) < 0.07


def test_the_engine_figures_are_those_of_the_committed_runs():
    results = ROOT / "bench" / "results"
    (file,) = sorted(results.glob("*-sharpness.jsonl"))[-1:]
    data = json.loads(file.read_text())["data"]
    largest = [each for each in data["quadratics"] if each["n"] == 10**7]
    memory = {each["method"]: each["bytes_per_weight"] for each in data["memory"]}
    for method, name in (("lbfgsb", "`lbfgsb`"), ("auto", "`auto`, per evaluation")):
        shares = (
            f"1/{1 / each['of_scipy']:.0f}" for each in largest
            if each["method"] == method
        )  # fmt: skip
        row = " | ".join([name, *shares, f"{memory[method]:.0f} B per weight"])
        assert f"| {row} |" in README
    for each in data["network"]:
        if each["method"] != "auto":
            assert f"{each['own_share']:.0%}" in README
    (file,) = sorted(results.glob("*-kernels.jsonl"))[-1:]
    records = json.loads(file.read_text())["data"]["kernels"]
    shares = {}
    for each in records:
        if each["dtype"] == "float32" and "share" in each:
            shares.setdefault(each["kernel"], {})[each["threads"]] = each["share"]
    section = README.split("| kernel, float32 |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| (\w.*?) \| (\d+)% \| (\d+)% \|$", section, re.MULTILINE)
    assert len(rows) >= 8
    for name, *shown in rows:
        found = [f"{shares[name][threads]:.0%}" for threads in sorted(shares[name])]
        assert [f"{each}%" for each in shown] == found


def test_the_share_of_a_profile_is_that_of_the_committed_run():
    (file,) = sorted((ROOT / "bench" / "results").glob("*-profile.jsonl"))[-1:]
    record = json.loads(file.read_text(encoding="utf-8"))
    assert f"the profile takes {record['data']['ratio']:.2f} of the CPU" in README


def test_the_spectrum_figures_are_those_of_the_committed_run():
    (file,) = sorted((ROOT / "bench" / "results").glob("*-spectrum.jsonl"))[-1:]
    data = json.loads(file.read_text())["data"]
    for each in data["eigenvalues"]:
        row = f"{each['products']} | {each['cpu']:.1f} s | {each['outside']:.1%}"
        assert f"| {each['method']} | {row} | {each['residual']:.0e} |" in README
    for each in data["density"]:
        memory = f"{each['bytes'] / 2**20:.0f} MiB"
        row = f"{each['cpu']:.1f} s | {each['outside']:.1%} | {memory}"
        assert f"| {each['method']} | {row} |" in README
    needed = {each["method"]: each["products"] for each in data["trace"]["needed"]}
    assert (
        f"takes {needed['hutchinson']} products and XTrace\n{needed['xtrace']}"
        in README
    )
    with_60 = {
        each["method"]: f"{each['reported']:.2%}".replace("%", " %")
        for each in data["trace"]["curve"]
        if each["products"] == 60
    }
    assert f"{with_60['hutchinson']} and {with_60['xtrace']}" in README


def test_the_figures_of_the_torch_model_are_those_of_the_committed_run():
    (file,) = sorted((ROOT / "bench" / "results").glob("*-torch_model.jsonl"))[-1:]
    data = json.loads(file.read_text())["data"]
    values = {}
    for each in data["records"]:
        row = f"{each['value']:.1f} | {each['evaluations']} | {each['wall']:.1f} s"
        share = f"{each['of_script']:.2f}"
        where = f"{each['method']}, {each['epochs']} epochs"
        assert f"| {where} | {row} | {share} |" in README
        values.setdefault(each["epochs"], []).append(each["value"])
    # what the README makes of them: script, recipe, as many evaluations, default
    for script, recipe, *others in values.values():
        assert script == recipe
        assert all(0.995 < other / script < 1.012 for other in others)
