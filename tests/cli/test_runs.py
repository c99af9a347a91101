import csv
import io
import subprocess
import sys

import pytest
from stored_runs import run_of
from typer.testing import CliRunner

from sharpkit.cli.app import app
from sharpkit.lab.store import Store

# -P: the installed package, not the sources that tests may be started from
COMMAND = [sys.executable, "-P", "-c", "from sharpkit.cli import main; main()"]


@pytest.fixture
def folder(tmp_path):
    with Store(tmp_path / "store") as store:
        for seed in range(4):
            store.put(run_of(seed))
        network = {"network": {"name": "C3[b]", "width": None}}
        metrics = {"sharpness": [{"epsilon": 1e-3, "value": 12.345678}]}
        config = run_of(4).config | network
        store.put(run_of(4, kind="sharpness", config=config, metrics=metrics))
    return tmp_path / "store"


@pytest.fixture
def run(folder):
    return lambda *arguments: CliRunner().invoke(app, ["runs", str(folder), *arguments])


def test_a_row_for_every_run(run, folder):
    found = run()
    assert found.exit_code == 0, found.output
    header, _, *rows, count = [
        line for line in found.output.splitlines() if line.strip()
    ]
    names = "key kind network data batch seed seconds created metrics"
    assert header.split() == names.split()
    assert count.strip() == "5 of 5 runs match."
    with Store(folder) as store:
        created = [each.created[:16].replace("T", " ") for each in store.runs()]
    assert [" ".join(row.split()) for row in rows] == [
        *(
            f"{run_of(seed).key[:8]} train F1 glyphs 32 {seed} 1.5 {created[seed]} "
            "train loss 0.125, train accuracy 1, test accuracy 0.9375, "
            f"epochs {40 + seed}"
            for seed in range(4)
        ),
        f"{run_of(4).key[:8]} sharpness C3[b] glyphs 32 4 1.5 {created[4]} "
        "sharpness at 0.001 12.35",
    ]


def test_nothing_is_broken_in_80_columns(run, folder, monkeypatch):
    whole = run().output
    monkeypatch.setattr("sharpkit.cli.runs._UNLIMITED", 80)
    found = run().output
    lines = found.splitlines()
    assert max(map(len, lines)) <= 80 < max(map(len, whole.splitlines()))
    for seed in range(4):
        key = run_of(seed).key[:8]
        assert sum(line.strip().startswith(key) for line in lines) == 2
        assert f"test accuracy 0.9375, epochs {40 + seed}" in found


@pytest.mark.parametrize(
    ("arguments", "seeds"),
    [
        (["--where", "network=F1"], "0123"),
        (["--where", "network=C3[b]"], "4"),
        (["--kind", "train", "--where", "regime.batch_size=32", "--limit", "2"], "23"),
        (["--where", "seed=3", "--where", "network.name=F1"], "3"),
        (["--where", "seed=9"], ""),
        (["--limit", "9"], "01234"),
    ],
)
def test_filters(run, arguments, seeds):
    found = run(*arguments, "--csv", "-")
    assert found.exit_code == 0, found.output
    rows = list(csv.DictReader(io.StringIO(found.stdout)))
    assert [row["seed"] for row in rows] == list(seeds)
    listed = run(*arguments)
    assert listed.exit_code == 0, listed.output
    for seed in range(5):
        assert (run_of(seed).key[:8] in listed.output) == (str(seed) in seeds)


def test_counts(run, tmp_path):
    assert "4 of 5 runs match; the latest 3 are shown." in run(
        *("--kind", "train", "--limit", "3")
    ).output.replace("\n", " ")
    assert run("--where", "seed=9").output == "0 of 5 runs match.\n"
    Store(tmp_path / "empty").close()
    found = CliRunner().invoke(app, ["runs", str(tmp_path / "empty"), "--kind", "a"])
    assert (found.exit_code, found.output) == (0, "The store holds no runs.\n")


def test_a_file_of_all_fields(run, tmp_path):
    path = tmp_path / "runs.csv"
    found = run("--csv", str(path))
    assert found.output == f"5 runs written to {path}.\n"
    assert path.read_text() == run("--csv", "-").stdout
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["metrics.epochs"] for row in rows] == ["40", "41", "42", "43", ""]
    assert rows[0]["metrics.losses"] == "[2.5, 0.125]"
    assert rows[0]["metrics.sharpness"] == ""
    assert rows[4]["config.network.name"] == "C3[b]"
    assert rows[4]["config.network.width"] == "null"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--where", "bach_size=3"], "no run has a field bach_size; the nearest are "),
        (["--where", "seed"], "--where seed; give NAME=VALUE"),
        (["--where", "loss=1"], "loss may mean metrics.train.loss, metrics.test.loss"),
        (
            ["--kind", "trian"],
            "no run is of the kind trian; there are sharpness, train",
        ),
        (
            ["--csv", "/nowhere/runs.csv"],
            "/nowhere/runs.csv: No such file or directory",
        ),
    ],
)
def test_what_cannot_be_answered(run, arguments, message):
    found = run(*arguments)
    assert (found.exit_code, found.stdout) == (2, "")
    assert f"Error: {message}" in found.stderr


def test_no_store(tmp_path):
    found = CliRunner().invoke(app, ["runs", str(tmp_path / "none")])
    assert (found.exit_code, found.stdout) == (2, "")
    assert f"Error: {tmp_path / 'none'} holds no store" in found.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.process
def test_the_command_itself(folder):
    found = subprocess.run(
        [*COMMAND, "runs", str(folder), "--where", "network=F1"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert len([line for line in found.stdout.splitlines() if "glyphs" in line]) == 4


def test_records_alone(run, tmp_path):
    copy = tmp_path / "copy"
    result = run("--records", str(copy))
    assert result.exit_code == 0, result.output
    assert "runs copied to" in " ".join(result.output.split())
    with Store(copy, create=False) as store:
        assert store.runs()
    again = run("--records", str(copy))
    assert again.exit_code == 2
