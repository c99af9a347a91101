import math
from contextlib import contextmanager

import pytest

from sharpkit.lab.outcome import (
    FAILS,
    HOLDS,
    OPEN,
    Axis,
    Chart,
    Claim,
    Outcome,
    Plane,
    Series,
    Table,
)
from sharpkit.lab.rendering.page import Provenance, page as page_of

HOSTILE = "</script><b onclick=\"alert(1)\">x</b> & 'y' $z_1$ [red]r[/red] {{ 7 * 7 }}"
NAN = math.nan
WIDE = {"width": 1280, "height": 900}


def path_chart():
    """Two axes, bands, the paper's curves, dashes, and a gap."""
    alpha = tuple(-1 + 0.25 * i for i in range(13))
    loss = tuple(a * a * (1 - a) ** 2 for a in alpha)
    gap = (*loss[:5], NAN, *loss[6:])
    accuracy = tuple(100 - 20 * a * a for a in alpha)
    return Chart(
        "Linear path, F1",
        Axis("α"),
        Axis("cross-entropy"),
        (
            Series(
                "loss, train",
                alpha,
                gap,
                low=tuple(0.8 * v for v in gap),
                high=tuple(1.2 * v for v in gap),
            ),
            Series("loss, test", alpha, tuple(1.3 * v for v in loss), dashed=True),
            Series("accuracy, test", alpha, accuracy, right=True, dashed=True),
            Series("loss, train", alpha, tuple(0.9 * v for v in loss), paper=True),
            Series(
                "accuracy, test",
                alpha,
                tuple(v - 3 for v in accuracy),
                right=True,
                paper=True,
                dashed=True,
            ),
        ),
        y_right=Axis("accuracy, %"),
        alt="Two valleys, the right one narrow.",
    )


def log_chart():
    """Both axes logarithmic, x falling to the right, some points not positive."""
    return Chart(
        "Sharpness along a run",
        Axis("training loss", log=True, reverse=True),
        Axis("sharpness, %", log=True),
        (
            Series("SB", (2.0, 0.5, 0.1, 0.02), (20.0, 18.0, 0.0, 2.0)),
            Series(
                "LB",
                (2.0, 0.5, 0.1, 0.02),
                (25.0, 90.0, 400.0, 700.0),
                low=(10.0, 0.0, 200.0, 500.0),
                high=(40.0, 150.0, 600.0, 900.0),
            ),
            Series("LB", (5.4, 0.026), (26.0, 1304.0), paper=True),
        ),
        alt="LB rises, SB falls.",
    )


def hostile_chart():
    return Chart(
        HOSTILE,
        Axis(HOSTILE),
        Axis(HOSTILE, log=True),
        (
            Series(HOSTILE, (0.0, 1.0), (0.0, NAN)),
            Series("_hidden", (NAN, NAN), (0.0, -1.0)),
        ),
        alt=HOSTILE,
    )


def plane_chart(name="loss, train"):
    """A valley over five decades, with a hole and two points below zero."""
    x, y = (-0.25, 0.25, 0.75, 1.25), (-0.5, 0.5, 1.5)
    loss = tuple(tuple(10.0 ** (2 * a + 2 * b - 3) for b in y) for a in x)
    loss = ((NAN, *loss[0][1:]), (0.0, -1.0, loss[1][2]), *loss[2:])
    accuracy = tuple(tuple(0.5 for _ in y) for _ in x)
    return Plane(
        "A plane",
        Axis("x"),
        Axis("y"),
        x,
        y,
        {name: loss, "accuracy, test": accuracy},
        {name: (0.0, 0.0), "LB": (1.0, 0.0), "start": (0.5, 1.25)},
        "It rises to the upper right.",
        log=True,
    )


def zero_chart():
    return Chart("Zeros", Axis("x"), Axis("y"), (Series("0", (0.0, 0.0), (0.0, 0.0)),))


@pytest.fixture(scope="session")
def outcomes():
    claims = (
        Claim("SB generalises better than LB (Table 2)", HOLDS, "+2.1", "95 % Student"),
        Claim("LB is sharper (Table 3)", FAILS, "ratio 0.4 [0.2, 0.8]", "95 % Student"),
        Claim("A threshold batch exists " * 8, OPEN, "n/a", "two halves"),
    )
    table = Table(
        "Sharpness, %",
        ("ε", "SB", "LB", "paper: SB", "paper: LB"),
        (
            ("1e-3", "1.2 ± 0.8", "205 ± 70", "1.23 ± 0.83", "205.14 ± 69.52"),
            ("5e-4", "0.6 ± 0.3", "43 ± 17", "0.61 ± 0.27", "42.90 ± 17.14"),
        ),
        "Mean and standard deviation over trials.",
    )
    first = Outcome(
        "table3",
        "F1",
        "quick",
        "Table 3: sharpness in the full space",
        "Glyphs: 2000 training images of drawn digits, 28x28 (a stand-in for MNIST).",
        (("batches", "20 and 200"), ("optimiser", "Adam, 1e-3")),
        (table,),
        claims,
        (path_chart(), log_chart()),
        trials=3,
        wanted=5,
        notes=("One LB run stopped at its last epoch.",),
    )
    second = Outcome(
        "table3",
        "C1",
        "quick",
        "Table 3: sharpness in the full space",
        "Shapes: 32x32, 10 classes.",
        (),
        (table,),
        claims[:1],
        (),
        trials=5,
        wanted=5,
    )
    hostile = Outcome(
        "fig<6>",
        "F1",
        HOSTILE,
        HOSTILE,
        HOSTILE,
        ((HOSTILE, HOSTILE),),
        (Table(HOSTILE, ("", HOSTILE), ((HOSTILE, HOSTILE),), HOSTILE),),
        (Claim(HOSTILE, OPEN, HOSTILE, HOSTILE),),
        (hostile_chart(), zero_chart(), plane_chart(HOSTILE)),
        trials=1,
        wanted=1,
        notes=(HOSTILE,),
    )
    return [first, second, hostile]


@pytest.fixture(scope="session")
def provenance():
    return Provenance(
        "0.1.0",
        "3.11.7",
        "x86_64, 2 cores",
        "2025-05-01 12:00 UTC",
        "sharpkit reproduce all --preset quick --store runs",
        "runs",
        128,
        1730.0,
    )


@pytest.fixture(scope="session")
def file(outcomes, provenance, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page_of(outcomes, provenance), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def opened(browser, file):
    """``with opened(**options) as page``: complains, when closed, of any message of the
    console, any error, and any request but that of the file.
    """

    @contextmanager
    def call(at=file, **options):
        context = browser.new_context(**({"viewport": WIDE} | options))
        context.set_offline(True)
        page, seen, asked = context.new_page(), [], []
        page.on("console", lambda message: seen.append(message.text))
        page.on("pageerror", lambda error: seen.append(str(error)))
        page.on("dialog", lambda dialog: seen.append(dialog.message))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(at.as_uri())
        page.wait_for_selector("html[data-drawn=all]")
        yield page
        context.close()
        assert seen == []
        assert asked == [at.as_uri()]

    return call


@pytest.fixture(scope="session")
def shared(opened):
    with opened() as page:
        yield page


@pytest.fixture
def page(shared):
    """The page as it was first shown."""
    # First: there are no buttons in print, where a test may have left it.
    shared.emulate_media(media="screen", color_scheme="light")
    for button in shared.query_selector_all("button[aria-pressed=false]"):
        button.click()
    for button in shared.query_selector_all("button[data-zoom=reset]"):
        button.click()
    return shared
