"""What all commands share: their help, their errors, and what is not installed."""

import json
import subprocess
import sys

import fake_cupy
import pytest
import typer
from typer.testing import CliRunner

import sharpkit
from sharpkit import cli
from sharpkit._vectors.parallel import available_cores
from sharpkit.cli import reproduce
from sharpkit.cli.app import INTERRUPTED, app, reported
from sharpkit.lab import reproduction
from sharpkit.lab.experiments import study as studies
from sharpkit.lab.store import StoreError

COMMANDS = (
    *("demo", "profile", "measure", "check"),
    *("compare", "reproduce", "report", "runs"),
)


@pytest.fixture
def run():
    return lambda *arguments: CliRunner().invoke(app, list(map(str, arguments)))


def words(found):
    return " ".join(found.output.split())


def test_version(run):
    assert run("--version").output == f"sharpkit {sharpkit.__version__}\n"


def test_help_names_the_commands(run):
    shown = run("--help").output
    for command in COMMANDS:
        assert f"  {command} " in shown
    assert "...\n" not in shown.split("Commands:")[1]  # a line describes each
    assert "Commands:" in run().output


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_made_of_sentences(run, command):
    found = run(command, "--help")
    text = words(found)
    assert f"Example: sharpkit {command}" in text
    assert "<bool>" not in run("--help").output + text
    described = [
        option.help for option in typer.main.get_command(app).commands[command].params
    ]
    assert all(each[0].isupper() and each.endswith(".") for each in described)
    assert all(" ".join(each.split()) in text for each in described)


def test_help_knows_every_experiment_and_preset(run):
    from sharpkit.lab.experiments import NAMES
    from sharpkit.lab.experiments.study import DATA, PRESETS

    text = words(run("reproduce", "--help"))
    data = {name for names in DATA.values() for name in names}
    assert all(name in text for name in (*NAMES, *PRESETS, *DATA, *data))


def in_a_process(code):
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120
    )
    return done.returncode, done.stdout, done.stderr


def test_help_loads_nothing_heavy():
    code, loaded, _ = in_a_process(
        "import atexit, json, sys\n"
        "atexit.register(lambda: print(json.dumps(list(sys.modules))))\n"
        "from sharpkit.cli import main\n"
        "sys.argv = ['sharpkit', '--help']\n"
        "main()"
    )
    loaded = set(json.loads(loaded.splitlines()[-1]))
    assert code == 0
    assert loaded.isdisjoint({"numpy", "scipy", "numba", "matplotlib", "sharpkit.lab"})


MISSING = """
import sys
sys.modules[{name!r}] = None
sys.argv = ["sharpkit", *{arguments!r}]
from sharpkit.cli import main
main()
"""


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("typer", ["--help"], "sharpkit: the command needs typer: pip install "
         "'sharpkit[cli]'"),
        ("rich", ["demo"], "sharpkit: the command needs rich: pip install "
         "'sharpkit[cli]'"),
        ("threadpoolctl", ["demo"], "Error: the command needs threadpoolctl: pip "
         "install 'sharpkit[lab]'"),
        ("jinja2", ["report", "."], "Error: the command needs jinja2: pip install "
         "'sharpkit[lab]'"),
    ],
)  # fmt: skip
def test_what_is_missing_is_named_with_its_extra(name, arguments, message):
    code, printed, complaint = in_a_process(
        MISSING.format(name=name, arguments=arguments)
    )
    assert (code != 0, printed, complaint) == (True, "", f"{message}\n")


def test_other_missing_modules_are_not_hidden(monkeypatch):
    monkeypatch.setitem(sys.modules, "sharpkit.cli.app", None)
    with pytest.raises(ModuleNotFoundError, match=r"sharpkit\.cli\.app"):
        cli.main()


def failing(error):
    """A command that ends with an error of this file, which is no part of sharpkit."""

    @reported()
    def command():
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyboardInterrupt(), INTERRUPTED, "Stopped.\n"),
        (KeyboardInterrupt("It is kept."), INTERRUPTED, "Stopped. It is kept.\n"),
        (FileNotFoundError(2, "No such file", "a[b].csv"), 2,
         "Error: [Errno 2] No such file: 'a[b].csv'\n"),
        (typer.Exit(1), 1, ""),
    ],
)  # fmt: skip
def test_how_a_command_ends(capsys, error, code, message):
    with pytest.raises(typer.Exit) as exit_:
        failing(error)()
    printed, complaint = capsys.readouterr()
    assert (exit_.value.exit_code, printed, complaint) == (code, "", message)


@pytest.mark.parametrize(
    "error", [ValueError("x"), OSError("x"), KeyError("x"), StoreError("x")]
)
def test_errors_that_sharpkit_does_not_raise_come_through(error):
    with pytest.raises(type(error), match="x"):
        failing(error)()


@pytest.mark.parametrize("command", [["demo"], ["reproduce", "table2"]])
def test_without_cuda_nothing_is_begun(run, tmp_path, monkeypatch, command):
    monkeypatch.setitem(sys.modules, "cupy", None)
    store = tmp_path / "store"
    options = ["--network", "F1"] if command != ["demo"] else []
    found = run(*command, *options, "--device", "cuda", "--store", store)
    assert found.exit_code == 2
    assert "Error: device='cuda' needs CuPy" in words(found)
    assert not store.exists()


@pytest.fixture
def carried_out(monkeypatch):
    """What would be carried out: tasks, folder and options."""
    seen = []

    def carry_out(tasks, folder, *, executor, advance):
        seen.append((tasks, folder, executor))
        return []

    monkeypatch.setattr(reproduction, "carry_out", carry_out)
    return seen


@pytest.mark.parametrize(
    ("options", "device", "workers"),
    [
        ([], "cpu", available_cores()),
        (["--device", "cuda"], "cuda", 1),
        (["--device", "cuda", "--workers", "3"], "cuda", 3),
    ],
)
def test_the_device_reaches_the_tasks(
    run, tmp_path, carried_out, options, device, workers
):
    with fake_cupy.installed():
        found = run("demo", "--data", "digits", "--store", tmp_path, *options)
    assert found.exit_code == 0, found.output
    [(tasks, folder, used)] = carried_out
    trainings = [task for task in tasks if task.kind == "train"]
    assert len(trainings) == 15
    assert {task.config.get("device", "cpu") for task in trainings} == {device}
    assert (folder, used) == (tmp_path, workers)


def test_the_demonstration_is_a_preset(run, tmp_path, carried_out):
    """The same tasks, by two commands, and both data sets without a choice."""
    keys = []
    options = ["--network", "F1", "--preset", "demo", "--store", tmp_path]
    for command in (
        ["demo", "--store", tmp_path],
        ["reproduce", *reproduce._DEMO, "--data", "glyphs", *options],
        ["reproduce", *reproduce._DEMO, "--data", "digits", *options],
    ):
        assert run(*command).exit_code == 0
        keys.append({task.key for task in carried_out[-1][0]})
    assert keys[0] == keys[1] | keys[2]
    assert keys[1].isdisjoint(keys[2])


def test_the_demonstration_prints_its_tables(run, tmp_path, monkeypatch):
    sizes = (60, 50, 10, 0.02, 10, 30, 1.0, 60, 2)
    monkeypatch.setitem(studies._SIZES, ("F1", "demo"), sizes)
    found = run("demo", "--data", "glyphs", "--workers", 1, "--store", tmp_path)
    assert found.exit_code == 0, found.output
    text = words(found)
    for piece in ("Table 2", "Table 3", "Table 4", "Figure 3", "λ_max", "arXiv"):
        assert piece in text
    for once in ("Controls", "Data: glyphs"):  # and not beneath each experiment
        assert text.count(once) == 1
    for name in ("fig3", "curvature"):
        picture = tmp_path / "figures" / f"{name}-F1-demo.png"
        assert picture.read_bytes().startswith(b"\x89PNG")
