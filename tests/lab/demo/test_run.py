import json
from io import StringIO

import pytest
from rich.console import Console

from sharpkit.lab.demo import run as module
from sharpkit.lab.demo.gap import STEPS
from sharpkit.lab.demo.run import DENSITY, FIGURE, RESULTS, Results, reproduce, warm_up
from sharpkit.lab.demo.settings import Setting
from sharpkit.lab.demo.tables import report
from sharpkit.lab.demo.verdict import traces
from sharpkit.lab.intervals import spread

TINY = Setting("tiny", "digits", 200, 797, 32, 20, 100, until_loss=0.1)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    steps = []
    folder = tmp_path_factory.mktemp("results") / "new"
    results = reproduce(
        [TINY],
        [3, 4],
        folder,
        workers=2,
        advance=lambda name, count: steps.append((name, count)),
    )
    return results, steps, folder


def test_all_trials_are_kept_in_the_order_of_their_seeds(finished):
    results, steps, folder = finished
    assert results.complete
    assert [trial["seed"] for trial in results.trials["tiny"]] == [3, 4]
    stored = json.loads((folder / RESULTS).read_text())
    assert stored["complete"]
    assert stored["trials"] == results.trials
    assert stored["settings"][0]["width"] == 32
    assert sum(count for _, count in steps) == 2 * STEPS


def test_workers_give_the_bits_of_this_process(finished):
    from sharpkit.lab.demo.gap import run_trial

    here = run_trial(TINY, 4)
    there = finished[0].trials["tiny"][1]
    for name, found in here["minimisers"].items():
        for ours, theirs in zip(
            found["sharpness"], there["minimisers"][name]["sharpness"], strict=True
        ):
            assert ours["value"] == theirs["value"]


def test_the_figures_are_drawn_once_a_first_trial_is_there(finished, tmp_path):
    results, _, folder = finished
    assert results.draw() == [folder / FIGURE, folder / DENSITY]
    for name in (FIGURE, DENSITY):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")
    assert Results(tmp_path, [TINY], [0]).draw() == []
    assert not list(tmp_path.iterdir())


def test_the_tables_show_what_was_measured(finished):
    results, _, _ = finished
    out = StringIO()
    Console(file=out, width=80).print(report(results.trials["tiny"]))
    text = out.getvalue()
    for piece in ("Table 2", "Table 3", "Table 4", "Controls", "LB, 8x rate", "claims"):
        assert piece in text
    for piece in ("Curvature", "λ_max", "quadratic model", "loss / model", "arXiv"):
        assert piece in text
    assert spread(traces(results.trials["tiny"], "LB fast")) in text
    values = [
        trial["minimisers"]["SB"]["sharpness"][0]["value"]
        for trial in results.trials["tiny"]
    ]
    assert spread(values) in text
    assert max(map(len, text.splitlines())) <= 80


def test_late_runs_are_reported(finished):
    trials = json.loads(json.dumps(finished[0].trials["tiny"]))
    trials[0]["minimisers"]["LB"]["reached"] = False
    out = StringIO()
    Console(file=out, width=80).print(report(trials))
    assert "losses are not matched" in " ".join(out.getvalue().split())


def test_eigenvalues_that_have_not_converged_are_reported(finished):
    trials = json.loads(json.dumps(finished[0].trials["tiny"]))
    found = trials[1]["minimisers"]["LB"]["curvature"]["eigenvalues"]
    found["converged"], found["residuals"] = [False], [0.3]
    out = StringIO()
    Console(file=out, width=80).print(report(trials))
    shown = " ".join(out.getvalue().split())
    assert "λ_max up to 0.3, 1 of 10 not converged" in shown


def test_results_survive_a_write_that_fails(finished, monkeypatch):
    results, _, folder = finished
    before = (folder / RESULTS).read_text()

    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        results.save()
    assert (folder / RESULTS).read_text() == before


def test_a_failing_trial_keeps_the_finished_ones(tmp_path):
    hopeless = Setting("late", "digits", 200, 797, 32, 20, 100, rate=1e30)
    with pytest.raises(FloatingPointError, match="lower the rate"):
        reproduce(
            [TINY, hopeless], [3], tmp_path, workers=1, advance=lambda name, count: None
        )
    stored = json.loads((tmp_path / RESULTS).read_text())
    assert list(stored["trials"]) == ["tiny"]
    assert not stored["complete"]


def test_warm_up_runs_what_a_trial_runs():
    warm_up(TINY)
