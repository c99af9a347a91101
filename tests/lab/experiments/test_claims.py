"""Each experiment's verdicts on made-up runs whose answer is known."""

import math

import numpy as np
import pytest

from sharpkit.lab import paper
from sharpkit.lab.experiments import NAMES, curvature, experiment, fig2
from sharpkit.lab.experiments.common import LADDER, control_table
from sharpkit.lab.experiments.fig4 import batches, slopes
from sharpkit.lab.experiments.study import study
from sharpkit.lab.intervals import paired
from sharpkit.lab.networks import NETWORKS
from sharpkit.lab.outcome import FAILS, HOLDS, OPEN


def decisions(findings):
    return [claim.decision for claim in findings.claims]


def text(findings):
    cells = [cell for table in findings.tables for row in table.rows for cell in row]
    return " | ".join([*cells, *(table.caption for table in findings.tables)])


def test_table_2(made_up):
    accuracy = {"SB": 0.9, "LB": 0.8}
    chosen, trials = made_up("table2", test=lambda task: accuracy.get(task, 0.9))
    found = experiment("table2").find(chosen, trials)
    assert decisions(found) == [HOLDS, HOLDS, OPEN]
    assert "80.00 ± 1.26" in text(found)
    assert "97.81 ± 0.07" in text(found)


@pytest.mark.parametrize(("name", "theirs"), [("table3", "205.14"), ("table4", "9.22")])
def test_sharpness_tables(made_up, name, theirs):
    def sharp(task):
        return 50.0 if task == "LB box" else 1.0

    found = experiment(name).find(*made_up(name, sharp=sharp))
    assert decisions(found) == [HOLDS] * 4
    assert theirs in text(found)
    assert "50" in text(found)
    five = experiment(name).find(*made_up(name, sharp=lambda task: sharp(task) ** 0.4))
    assert decisions(five) == [HOLDS, FAILS] * 2
    same = experiment(name).find(*made_up(name))
    # Equal to the last bit: the interval is the point 1, which decides nothing.
    assert decisions(same) == [OPEN, FAILS] * 2


def test_table_6(made_up):
    accuracy = {"SB": 0.9, "LB": 0.8, "SB augmented": 0.95, "LB augmented": 0.94}
    sharp = {"LB augmented box": 20.0}
    found = experiment("table6").find(
        *made_up(
            "table6",
            "C1",
            test=lambda task: accuracy.get(task, 0.9),
            sharp=lambda task: sharp.get(task, 1.0),
        )
    )
    assert decisions(found) == [HOLDS, HOLDS, HOLDS]
    assert "231.77 ± 30.5" in text(found)


def test_table_7(made_up):
    accuracy = {"LB": 0.8, "LB conservative": 0.85}
    sharp = {"LB conservative box": 0.1}
    found = experiment("table7").find(
        *made_up(
            "table7",
            test=lambda task: accuracy.get(task, 0.9),
            sharp=lambda task: sharp.get(task, 1.0),
        )
    )
    assert decisions(found) == [HOLDS, FAILS, FAILS]
    assert "98.12 ± 0.01" in text(found)


def test_figure_2(made_up):
    found = experiment("fig2").find(*made_up("fig2", "F2"))
    assert decisions(found) == [HOLDS, HOLDS]
    chosen, trials = made_up("fig2", "F2")
    for trial in trials:
        falling = [0.9, 0.7 + 0.001 * trial["LB"].seed]
        trial["LB"].metrics["test_halves"] = [falling, falling]
    again = experiment("fig2").find(chosen, trials)
    assert decisions(again) == [HOLDS, FAILS]
    assert again.tables[0].rows[1][2] == "19.80 ± 0.16"
    for trial in trials:  # as in an older record
        del trial["LB"].metrics["test_halves"]
    older = experiment("fig2").find(chosen, trials)
    assert decisions(older) == [HOLDS, OPEN]
    assert older.claims[1].detail == "halves of the test set not kept"
    names = [series.name for series in found.charts[0].series if series.paper]
    assert names == [
        f"paper: {b}, {p}" for b in ("SB", "LB") for p in ("train", "test")
    ]


def test_noise_is_no_gain_by_early_stopping():
    """Curves that only fluctuate: the interval of 5 trials leaves 0 out in 5 %.

    The best epoch's lead over the last, of the same samples, seems a gain each time.
    """
    random = np.random.default_rng(3)
    curves = 0.9 + 0.01 * random.standard_normal((1000, 5, 2, 30))
    found, biased = (
        [paired(np.array([rule(each) for each in trials])) for trials in curves]
        for rule in (fig2.gain, lambda each: each.mean(0).max() - each.mean(0)[-1])
    )
    assert 0.93 < np.mean([each.low < 0 < each.high for each in found]) <= 1
    assert np.mean([each.low > 0 for each in biased]) > 0.9
    assert abs(np.mean([each.mean for each in found])) < 0.05


def test_a_test_curve_that_turns_down_is_seen_through_noise():
    random = np.random.default_rng(4)
    curve = 0.9 - 0.03 * np.linspace(-1, 1, 31) ** 2  # 3 points from middle to end
    gains = [
        fig2.gain(curve + 0.002 * random.standard_normal((2, 31))) for _ in range(400)
    ]
    assert 2.8 < np.mean(gains) < 3.0


@pytest.mark.parametrize("name", ["fig3", "fig7"])
def test_paths(made_up, name):
    def steep_beyond(alpha):
        return 10 * max(alpha - 1, 0) + max(-alpha, 0)

    found = experiment(name).find(*made_up(name, path=steep_beyond))
    assert decisions(found) == [HOLDS]
    assert "2.500 ± 0.040" in text(found)
    other = experiment(name).find(*made_up(name, path=lambda a: steep_beyond(1 - a)))
    assert decisions(other) == [FAILS]
    curves = {series.name: series for series in found.charts[0].series}
    theirs = paper.figure(int(name[-1]), "F1")
    assert curves["paper: loss, train"].y == tuple(theirs["train_loss"])
    assert curves["accuracy, test"].right


def test_the_plane_of_figure_3(made_up):
    chosen, trials = made_up("fig3")
    assert ["plane" in trial for trial in trials] == [True, *[False] * 4]
    found = experiment("fig3").find(chosen, trials)
    plane, table = found.charts[1], found.tables[1]
    assert table.rows[1] == ("LB", "1.000", "0.000", "3.000", "0.000", "6.200")
    assert plane.marks["start"] == (0.5, 2.0)
    assert plane.shown == "loss, train"
    assert plane.values["loss, train"][4][3] == max(plane.values["loss, train"][4])
    assert plane.values["accuracy, train"][4][1] == 0.5
    assert "5 x 4 points in the first trial, 0.263 to 6.35; SB" in plane.alt
    assert "start at (0.50, 2.00)" in plane.alt
    del trials[0]["plane"]  # as in an older record
    without = experiment("fig3").find(chosen, trials)
    assert (len(without.tables), len(without.charts)) == (1, 1)


def test_figure_4(made_up):
    def sharp(task):
        if not task.startswith("box"):
            return 1.0
        return min(float(task.split()[1]), 80.0) ** 2

    def test(task):
        return 0.9 - 1e-4 * (float(task.split()[1]) if "batch" in task else 0)

    chosen, trials = made_up("fig4", "F2", sharp=sharp, test=test)
    found = experiment("fig4").find(chosen, trials)
    assert decisions(found) == [HOLDS, HOLDS, HOLDS]
    assert [row[0] for row in found.tables[0].rows] == list(map(str, batches(chosen)))
    rising = made_up("fig4", "F2", sharp=sharp, test=lambda task: 1.8 - test(task))
    assert decisions(experiment("fig4").find(*rising))[0] == FAILS


def test_batches_of_figure_4_have_both_ends():
    chosen = study("F2", "medium")
    assert {chosen.small, chosen.large} < set(batches(chosen))
    assert max(batches(chosen)) < 2 * chosen.large


def test_slopes_are_those_of_least_squares():
    random = np.random.default_rng(0)
    x, y = random.normal(size=6), random.normal(size=(3, 6))
    judge = [np.polyfit(x, row, 1)[0] for row in y]
    np.testing.assert_allclose(slopes(x, y), judge, rtol=1e-12)


def test_figure_5(made_up):
    def sharp(task):
        name, _, epoch = task.partition(" ")
        return 100 / (1 + float(epoch)) ** 1.5 if name == "box" and epoch else 1.0

    found = experiment("fig5").find(*made_up("fig5", "F2", sharp=sharp))
    assert decisions(found) == [HOLDS, HOLDS, HOLDS]
    assert {s.name for s in found.charts[1].series if s.paper} == {
        "paper: ε 0.001",
        "paper: ε 0.0005",
    }


def test_figure_6(made_up):
    def sharp(task):
        batch, at, loss = (*task.split(" "), "", "")[:3]
        if at != "at":
            return 1.0
        return 10 / float(loss) ** (0.5 if batch == "LB" else -0.5)

    chosen, trials = made_up("fig6", "F2", sharp=sharp)
    found = experiment("fig6").find(chosen, trials)
    assert decisions(found) == [FAILS, HOLDS, HOLDS, HOLDS]
    assert found.claims[0].detail == "ratio 0.333 [0.333, 0.333] at 90 %"
    steps = experiment("fig6").find(chosen, trials).charts[1].series
    assert [(each.name, each.right) for each in steps] == [
        (name, right) for name in ("SB", "LB") for right in (False, True)
    ]
    assert steps[3].x == (10.0, 20.0, 30.0)  # of 30 updates in 3 epochs
    assert steps[3].y == (1.0, 0.1, 1e-3)
    epochs = range(1, len(LADDER) + 1)
    assert steps[2].x == pytest.approx([10.0 * epoch for epoch in epochs])
    assert steps[2].y[-1] == pytest.approx(10 / 0.001**0.5, rel=0.1)
    trials[0]["LB at 0.001"].metrics["sharpness"] = []  # never came there
    found = experiment("fig6").find(chosen, trials)
    assert found.tables[0].rows[-1][2].endswith(" *")
    large = next(s for s in found.charts[0].series if s.name == "LB, ε 0.001")
    assert min(large.x) == 0.003
    assert found.notes == (
        "Losses that every run came to, first and last: 3 and 0.003.",
    )


def test_a_loss_that_an_epoch_passed_over_is_left_out(made_up):
    chosen, trials = made_up("fig6", "F2")
    for trial in trials:
        for snapshot in trial["SB"].metrics["snapshots"][:3]:  # 3, 1 and 0.3 in one
            snapshot["epoch"] = 1
    found = experiment("fig6").find(chosen, trials)
    assert [row[1] for row in found.tables[0].rows[:3]] == ["-", "-", "1.001 ± 0.047"]
    assert found.notes[0].endswith("first and last: 0.3 and 0.001.")


def test_sharpness_is_compared_at_equal_losses(made_up):
    """One power of the loss for both, whose epochs end at other losses: equal."""

    def sharp(task):
        batch, at, loss = (*task.split(" "), "", "")[:3]
        share = {"SB": 0.4, "LB": 0.95}.get(batch, 1.0)
        return 10 / (share * float(loss)) ** 0.5 if at == "at" else 1.0

    chosen, trials = made_up("fig6", "F2", sharp=sharp)
    for trial in trials:
        for batch, share in (("SB", 0.4), ("LB", 0.95)):
            for snapshot in trial[batch].metrics["snapshots"]:
                snapshot["loss"] *= share
    found = experiment("fig6").find(chosen, trials)
    assert found.claims[0].decision == HOLDS
    assert found.claims[0].detail == "ratio 1 [1, 1] at 90 %"
    assert "first and last: 1 and 0.001." in found.notes[0]
    for row, loss in zip(found.tables[0].rows[1:], LADDER[1:], strict=True):
        for cell in row[1:3]:
            assert float(cell.split()[0]) == pytest.approx(10 / loss**0.5, rel=0.01)
    assert found.tables[0].rows[0][1:3] == ("-", "-")


def test_losses_that_differ_are_told(made_up):
    chosen, trials = made_up("table2")
    for i, trial in enumerate(trials):
        trial["SB"].metrics["train"] = {"loss": 1e-3 * (0.6 + 0.05 * i), "accuracy": 1}
    notes = experiment("table2").find(chosen, trials).notes
    assert notes == (
        "SB: runs ended at 0.6 to 0.8 of the loss threshold; the losses are not equal.",
    )
    shares = {row[0]: row[-1] for row in control_table(trials).rows}
    assert shares["SB"] == shares["SB, equal norms"] == "0.700 ± 0.079"
    assert shares["LB"] == "1 ± 0"


def test_distance(made_up):
    for share, decision in ((5.0, HOLDS), (1.5, FAILS), (3.0, OPEN)):
        chosen, trials = made_up(
            "distance", distance=lambda task, share=share: share if task == "SB" else 1
        )
        for trial in trials:
            trial["LB"].metrics["distance"] = 1.0
        assert decisions(experiment("distance").find(chosen, trials)) == [decision]


def test_remedies(made_up):
    def test(task):
        return {"SAM": 0.9, "longer": 0.7}.get(task, 0.8)

    def sharp(task):
        return {"LB box": 10.0, "SAM box": 1.0, "longer box": 100.0}.get(task, 10.0)

    found = experiment("remedies").find(*made_up("remedies", test=test, sharp=sharp))
    by = {claim.text.split(" ")[0]: claim for claim in found.claims[::2]}
    flatter = dict(zip(by, found.claims[1::2], strict=True))
    assert (by["SAM"].decision, flatter["SAM"].decision) == (HOLDS, HOLDS)
    assert (by["Longer"].decision, flatter["Longer"].decision) == (FAILS, FAILS)
    assert "ρ = 0.05" in text(found)


def test_optimizers(made_up):
    def test(task):
        return 0.8 if task.startswith("LB") else 0.9

    def sharp(task):
        return 10.0 if task.startswith("LB") else 1.0

    found = experiment("optimizers").find(
        *made_up("optimizers", test=test, sharp=sharp)
    )
    assert decisions(found) == [HOLDS] * 6


def test_curvature(made_up):
    def sharp(task):
        return {"LB box": 40.0, "LB curvature": 4.0, "SB equal box": 2.0}.get(task, 1.0)

    chosen, trials = made_up("curvature", sharp=sharp)
    found = experiment("curvature").find(chosen, trials)
    assert decisions(found) == [HOLDS] * 6
    beyond = found.claims[-1].detail  # 40 / 2 over 1 / 0.5
    assert float(beyond.split()[1]) == pytest.approx(10, rel=0.01)
    rows = {row[0]: row for row in found.tables[0].rows}
    assert rows["LB"][2:] == ("4.000 ± 0.063", "20.00 ± 0.32", "20 ± 2")
    assert rows["LB, 8x rate"][2].startswith("8.00 ± ")  # 1000 times its own rate
    assert rows["SB, equal norms"][2:] == ("", "5.000 ± 0.079", "")
    model = {row[0]: row for row in found.tables[1].rows}
    assert model["SB, equal norms"][2] == "4.00 ± 0.13"
    trials[1]["LB curvature"].metrics["eigenvalues"]["converged"] = [False]
    late = experiment("curvature").find(chosen, trials).tables[0].caption
    assert "λ_max up to 0, 1 of 25 not converged; standard errors of the trace" in late


def test_curvature_the_other_way_round(made_up):
    def sharp(task):
        return {"LB box": 0.1, "LB curvature": 0.5}.get(task, 1.0)

    found = experiment("curvature").find(*made_up("curvature", sharp=sharp))
    assert decisions(found) == [FAILS] * 6
    same = experiment("curvature").find(*made_up("curvature"))
    assert decisions(same) == [OPEN] * 6


def test_a_trace_below_zero_has_a_verdict(made_up):
    chosen, trials = made_up("curvature")
    for trial in trials:
        trial["LB curvature"].metrics["trace"]["value"] *= -1
    assert decisions(experiment("curvature").find(chosen, trials))[1] == FAILS


def test_the_density_of_the_first_trial_is_drawn(made_up):
    chosen, trials = made_up("curvature")
    [chart] = experiment("curvature").find(chosen, trials).charts
    assert [each.name for each in chart.series] == [
        f"{batch}, 20 % negative by size" for batch in ("SB", "LB")
    ]
    scale = chart.x.linear_within
    assert scale == pytest.approx(1.01 / 3 / 2)
    for each in chart.series:
        x, y = np.array(each.x), np.array(each.y)
        u = np.arcsinh(x / scale)
        np.testing.assert_allclose(np.diff(u), u[1] - u[0], rtol=1e-9)
        # All eigenvalues lie beneath the curve, but for what is too little to draw.
        count = np.nansum(y) * (u[1] - u[0]) / math.log(10)
        assert count == pytest.approx(1000, rel=1e-2)
        assert np.nanmin(each.low) >= curvature.FLOOR
    assert experiment("curvature").find(chosen, trials[1:]).charts == ()


@pytest.mark.parametrize(
    "name", [each for each in NAMES if getattr(experiment(each), "CONTROLS", True)]
)
def test_late_runs_are_told(made_up, name):
    network = experiment(name).NETWORKS[0]
    found = experiment(name).find(*made_up(name, network, reached=False))
    assert any("losses are not matched" in note for note in found.notes)
    on_time = experiment(name).find(*made_up(name, network)).notes
    assert not any("losses are not matched" in note for note in on_time)


@pytest.mark.parametrize("name", NAMES)
def test_names_and_networks(name):
    module = experiment(name)
    assert set(module.NETWORKS) <= set(NETWORKS)
    assert module.TITLE
