"""The ranking of measures against slow restatements, closed cases and SciPy."""

import csv
import io
import itertools
import json
import math
from collections import defaultdict

import numpy as np
import pytest
from scipy.stats import kendalltau

import sharpkit
from sharpkit import RankingResult, ranking

AXES = ("batch", "rate", "width")


def sign(a, b):
    return (a > b) - (a < b)


def slow_tau(x, y, counts=lambda i, j: True):
    pairs = [p for p in itertools.combinations(range(len(x)), 2) if counts(*p)]
    s = sum(sign(x[i], x[j]) * sign(y[i], y[j]) for i, j in pairs)
    decided_x = sum(x[i] != x[j] for i, j in pairs)
    decided_y = sum(y[i] != y[j] for i, j in pairs)
    if not decided_y:
        return math.nan
    return s / math.sqrt(decided_x * decided_y) if decided_x else 0.0


def slow_psi(runs, x, axis):
    groups = defaultdict(list)
    for run in runs:
        groups[tuple(run[each] for each in AXES if each != axis)].append(run)
    found = [
        slow_tau(
            [run[x] for run in group],
            [run["gap"] for run in group],
            lambda i, j, group=group: group[i][axis] != group[j][axis],
        )
        for group in groups.values()
    ]
    found = [each for each in found if not math.isnan(each)]
    return np.mean(found), len(found)


def slow_k(runs, x):
    """The formulas of the paper, one probability at a time."""
    scores = {}
    for size in range(3):
        for chosen in itertools.combinations(AXES, size):
            seen = defaultdict(list)
            for a, b in itertools.permutations(runs, 2):
                u = tuple((a[each], b[each]) for each in chosen)
                seen[u].append((sign(a[x], b[x]), sign(a["gap"], b["gap"])))
            every = sum(map(len, seen.values()))
            information = entropy = 0.0
            for cell in seen.values():
                p_u = len(cell) / every
                for v_x, v_g in set(cell):
                    p = cell.count((v_x, v_g)) / len(cell)
                    p_x = sum(v[0] == v_x for v in cell) / len(cell)
                    p_g = sum(v[1] == v_g for v in cell) / len(cell)
                    information += p_u * p * math.log(p / (p_x * p_g))
                for v_g in {v[1] for v in cell}:
                    p_g = sum(v[1] == v_g for v in cell) / len(cell)
                    entropy -= p_u * p_g * math.log(p_g)
            if entropy > 1e-12:
                scores[chosen] = information / entropy
    return min(scores.values())


def drawn(seed, repeats=1):
    """A factorial of three axes whose gap is noise and a little of each."""
    random = np.random.default_rng(seed)
    runs = []
    for batch, rate, width in itertools.product((8, 16, 32), (0.1, 1.0), "abc"):
        for _ in range(repeats):
            gap = math.log2(batch) + 3 * rate + random.normal()
            runs.append(
                {
                    "batch": batch,
                    "rate": rate,
                    "width": width,
                    "sharp": gap + random.normal(),
                    "coarse": round(gap) + round(random.normal()),
                    "noise": random.normal(),
                    "gap": round(gap, 1),
                }
            )
    return runs


@pytest.mark.parametrize(("seed", "repeats"), [(0, 1), (1, 1), (2, 2)])
def test_against_slow_restatements(seed, repeats):
    runs = drawn(seed, repeats)
    found = ranking(runs, hyperparameters=AXES, samples=20)
    assert (found.runs, found.settings) == (18 * repeats, 18)
    assert {each.name for each in found.measures} == {"sharp", "coarse", "noise"}
    for each in found.measures:
        x, y = ([run[name] for run in runs] for name in (each.name, "gap"))
        assert each.tau.value == pytest.approx(kendalltau(x, y).statistic, abs=1e-12)
        assert each.tau.value == pytest.approx(slow_tau(x, y), abs=1e-12)
        wanted = {axis: slow_psi(runs, each.name, axis) for axis in AXES}
        for axis, (psi, groups) in wanted.items():
            assert each.along[axis].value == pytest.approx(psi, abs=1e-12)
            assert each.along[axis].groups == groups
        mean = np.mean([psi for psi, _ in wanted.values()])
        assert each.granulated.value == pytest.approx(mean, abs=1e-12)
        k = slow_k(runs, each.name)
        assert each.independence == pytest.approx(k, abs=1e-12)
        pairs = itertools.combinations(range(len(x)), 2)
        assert each.pairs == sum(x[i] != x[j] and y[i] != y[j] for i, j in pairs)
    taus = [each.tau.value for each in found.measures]
    assert taus == sorted(taus, reverse=True)


def test_the_resamples_are_those_of_settings():
    runs = drawn(3, repeats=2)
    found = ranking(runs, measures=["coarse"], hyperparameters=AXES, samples=40, seed=5)
    keys = [tuple(run[each] for each in AXES) for run in runs]
    settings = sorted(set(keys))
    random, taus = np.random.default_rng(5), []
    for times in random.multinomial(18, np.full(18, 1 / 18), size=40):
        drawn_runs = [
            run
            for run, key in zip(runs, keys, strict=True)
            for _ in range(times[settings.index(key)])
        ]
        x, y = ([run[name] for run in drawn_runs] for name in ("coarse", "gap"))
        taus.append(kendalltau(x, y).statistic)
    low, high = np.percentile(taus, (2.5, 97.5))
    assert found["coarse"].tau[1:3] == pytest.approx((low, high), abs=1e-12)


def test_a_function_of_a_hyperparameter_has_no_score():
    runs = [run | {"of_batch": -(run["batch"] ** 2)} for run in drawn(4)]
    found = ranking(runs, measures=["of_batch"], hyperparameters=AXES, samples=5)
    row = found["of_batch"]
    assert row.independence == pytest.approx(0, abs=1e-15)
    assert row.given == ("batch",)
    assert row.along["rate"].value == 0  # it does not move, and orders nothing


def test_the_target_itself_has_all_of_the_score():
    runs = [run | {"same": 3 * run["gap"]} for run in drawn(4)]
    row = ranking(runs, measures=["same"], hyperparameters=AXES, samples=5)["same"]
    assert row.independence == pytest.approx(1)
    assert (row.tau.value, row.granulated.value) == (1, pytest.approx(1))


def test_chance_is_what_noise_stays_below():
    above = 0
    for seed in range(10):
        found = ranking(
            drawn(seed), measures=["noise", "sharp"], hyperparameters=AXES, samples=2
        )
        assert found["sharp"].independence > 0
        above += found["noise"].independence > found.chance
    assert above <= 3


def test_every_form_of_a_table_is_the_same(tmp_path):
    runs = drawn(5)
    by_column = {name: [run[name] for run in runs] for name in runs[0]}
    text = io.StringIO()
    writer = csv.DictWriter(text, runs[0])
    writer.writeheader()
    writer.writerows(runs)
    file = tmp_path / "runs.csv"
    file.write_text(text.getvalue())

    class Frame:  # what pandas and polars have in common
        columns = tuple(by_column)

        def __getitem__(self, name):
            return np.array(by_column[name])

    options = {"hyperparameters": AXES, "samples": 10}
    wanted = ranking(runs, **options)
    for table in (by_column, file, str(file), Frame()):
        assert ranking(table, **options) == wanted


def test_a_data_frame():
    pandas = pytest.importorskip("pandas")
    runs = drawn(5)
    options = {"hyperparameters": AXES, "samples": 10}
    assert ranking(pandas.DataFrame(runs), **options) == ranking(runs, **options)


def test_the_export_of_a_store_needs_the_ends_of_names_only():
    runs = [
        {
            "seed": i,
            "config.regime.batch": run["batch"],
            "metrics.gap": run["gap"],
            "metrics.sharp": run["sharp"],
            "metrics.note": "text",
        }
        for i, run in enumerate(drawn(0))
    ]
    found = ranking(runs, hyperparameters=["batch"], samples=5)
    assert [each.name for each in found.measures] == ["metrics.sharp"]
    assert found.target == "metrics.gap"
    assert found["sharp"] is found["metrics.sharp"]
    assert "  batch" in str(found)


def test_names_are_as_long_as_it_takes_to_tell_them_apart():
    runs = [
        {"metrics.gap": i, "metrics.sharp": i % 3, "metrics.error.sharp": i % 2, "k": 0}
        for i in range(6)
    ]
    found = ranking(runs, hyperparameters=["k"], samples=5)
    assert {found.cells(each)[0] for each in found.measures} == {
        "metrics.sharp",
        "error.sharp",
    }
    assert found["error.sharp"].name == "metrics.error.sharp"
    assert found["sharp"].name == "metrics.sharp"


def test_a_folder_is_told_how_to_be_a_table(tmp_path):
    with pytest.raises(
        ValueError, match=r"is a folder.*Store\(folder\)\.table\(kind\)"
    ):
        ranking(tmp_path)


def test_what_is_missing_is_left_out_and_said():
    runs = drawn(6)
    runs[0]["gap"], runs[1]["sharp"], runs[2]["sharp"] = math.nan, "", None
    found = ranking(runs, measures=["sharp", "noise"], samples=10)
    assert (found["sharp"].missing, found["noise"].missing) == (3, 1)
    assert (found["sharp"].runs, found.runs) == (15, 18)
    assert "sharp: 3 runs left out, without a number" in str(found)
    x, y = ([run[name] for run in runs[3:]] for name in ("sharp", "gap"))
    assert found["sharp"].tau.value == pytest.approx(kendalltau(x, y).statistic)
    assert math.isnan(found.chance)


def test_infinite_is_larger_than_all():
    table = {"gap": [1, 2, 3, 4], "m": [1, 2, math.inf, math.inf]}
    tau = ranking(table, samples=5)["m"].tau.value
    assert tau == pytest.approx(kendalltau([1, 2, 3, 3], table["gap"]).statistic)


def test_what_is_constant():
    flat = {"gap": [1, 2, 3], "m": [1, 1, 1], "k": [0, 1, 1]}
    found = ranking(flat, measures=["m"], hyperparameters=["k"], samples=5)["m"]
    assert (found.tau.value, found.pairs, found.independence) == (0, 0, 0)
    ranked = ranking(flat | {"gap": [1, 1, 1]}, measures=["k"], samples=5)
    assert math.isnan(ranked["k"].tau.value)
    assert "undefined" in ranked.cells(ranked["k"])


def test_many_runs_are_taken_in_blocks(monkeypatch):
    runs = drawn(7, repeats=3)
    wanted = ranking(runs, samples=10)
    monkeypatch.setattr(sharpkit.reports.concordance, "ROWS", 7)
    found = ranking(runs, samples=10)
    for one, other in zip(found.measures, wanted.measures, strict=True):
        assert one.tau == pytest.approx(other.tau)
        assert one.pairs == other.pairs


def test_text_record_and_picture(tmp_path):
    pytest.importorskip("matplotlib")
    runs = drawn(8)
    runs[3]["noise"] = math.nan
    found = ranking(runs, hyperparameters=AXES, samples=10)
    lines = str(found).splitlines()
    assert lines[0].startswith("18 runs ranked by gap; intervals of 95 % from 10")
    assert lines[2].split()[:3] == ["measure", "tau", "granulated"]
    assert "K of an order by chance: below 0." in str(found)
    json.dumps(found.to_dict(), allow_nan=False)
    found.save(tmp_path / "ranking.json")
    back = RankingResult.load(tmp_path / "ranking.json")
    assert str(back) == str(found)
    assert back.to_dict() == found.to_dict()
    figure = back.plot(tmp_path / "ranking.png", colour="width")
    assert len(figure.axes) == 4
    assert (tmp_path / "ranking.png").stat().st_size > 1000
    legend = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert legend == ["a", "b", "c"]
    with pytest.raises(ValueError, match="colour='depth'; give one of batch, rate"):
        found.plot(colour="depth")


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        (3, {}, "table is of type int; give the path of a CSV"),
        ([1, 2], {}, "table is of type list; give the path of a CSV"),
        ({"gap": 3}, {}, r"table\['gap'\] is of type int; give a list"),
        ({"gap": [1, 2], "m": [1]}, {}, "differ in length"),
        (
            {"m": [1, 2, 3]},
            {},
            "target='gap': none is named so; give one of the columns of",
        ),
        ({"a.gap": [1], "b.gap": [1]}, {}, "it may mean a.gap, b.gap"),
        ({"gap": [1, 2, math.nan], "m": [1, 2, 3]}, {}, "2 runs with a number for"),
        ({"gap": [1, 2, 3]}, {}, "there is nothing to rank"),
        ({"gap": [1, 2, 3]}, {"measures": ["gap"]}, "'gap', which is target, too"),
        ({"gap": [1, 2, 3]}, {"measures": "gap"}, "give a list of names of columns"),
        ({"gap": [1, 2, "x"], "m": [1, 2, 3]}, {}, "run 2 has 'x', which is no number"),
        ({"gap": [1, 2, 3]}, {"measures": [1]}, r"measures=1; give names of columns"),
        ({"gap": [1, 2, 3], "m": [1, 2, 3]}, {"samples": 0}, "samples=0"),
        ({"gap": [1, 2, 3], "m": [1, 2, 3]}, {"seed": -1}, "seed=-1"),
    ],
)
def test_what_is_refused(table, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        ranking(table, **options)


@pytest.mark.slow
def test_intervals_hold_the_truth():
    """Of 500 tables of 120 runs, about 95 % of the intervals hold the true tau."""
    correlation, held = 0.5, 0
    truth = 2 / math.pi * math.asin(correlation)
    for seed in range(500):
        random = np.random.default_rng(seed)
        x = random.normal(size=120)
        y = correlation * x + math.sqrt(1 - correlation**2) * random.normal(size=120)
        tau = ranking({"gap": y, "m": x}, samples=400, seed=seed)["m"].tau
        held += tau.low <= truth <= tau.high
    assert abs(held / 500 - 0.95) <= 0.03
