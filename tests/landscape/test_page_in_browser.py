"""What the page of a landscape shows in a real Chromium, without a network."""

import io
import re
from contextlib import contextmanager

import numpy as np
import pytest
from landscapes import eigenplane, line, plane
from matplotlib.image import imread

from sharpkit.landscape.page import page as page_of

NO_WEBGL = """
const whole = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
  return kind.includes("webgl") ? null : whole.call(this, kind, ...rest);
};
"""
CHANGED = """
(before) => {
  const eye = document.getElementById("plot").layout.scene.camera.eye;
  return Math.abs(eye.x - before) > 1e-3;
}
"""


@pytest.fixture(scope="module")
def opened(browser, tmp_path_factory):
    """``with opened(result, **options) as page``: no error, and no other request."""
    folder = tmp_path_factory.mktemp("landscape")

    @contextmanager
    def call(result, script="", **options):
        file = folder / "page.html"
        file.write_text(page_of(result), encoding="utf-8")
        context = browser.new_context(
            **({"viewport": {"width": 1000, "height": 900}} | options)
        )
        context.set_offline(True)
        page, errors, asked = context.new_page(), [], []
        page.set_default_timeout(180_000)  # surfaces are drawn without a GPU
        page.add_init_script(script)

        def said(message):
            if message.type == "error":
                errors.append(message.text)

        page.on("console", said)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("dialog", lambda dialog: errors.append(dialog.message))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(file.as_uri())
        drawn(page)
        yield page
        context.close()
        assert errors == []
        assert [url for url in asked if not url.startswith(("data:", "blob:"))] == [
            file.as_uri()
        ]

    return call


def drawn(page, view="contour"):
    page.wait_for_selector(f"#plot[data-drawn={view}]")


def press(page, name):
    page.get_by_role("button", name=name, exact=True).click()


def pressed(page):
    return page.locator("button[aria-pressed=true]").all_inner_texts()


def types(page):
    return page.evaluate("document.getElementById('plot').data.map(each => each.type)")


def x_range(page):
    return page.evaluate("document.getElementById('plot').layout.xaxis.range")


def colours(page):
    """Count the colours in the middle of the plot: a canvas cannot be read back."""
    picture = imread(io.BytesIO(page.locator("#plot").screenshot()))
    height, width, _ = picture.shape
    middle = picture[height // 4 : -height // 4, width // 4 : -width // 4, :3]
    return len(np.unique(middle.reshape(-1, 3), axis=0))


def hover(page, x, y):
    """Point at a place of the plot's axes; return what is said there."""
    place = page.evaluate(
        """([x, y]) => {
          const { xaxis, yaxis } = document.getElementById("plot")._fullLayout;
          const box = document.getElementById("plot").getBoundingClientRect();
          const [left, top] = [box.x + xaxis._offset, box.y + yaxis._offset];
          return [left + xaxis.d2p(x), top + yaxis.d2p(y)];
        }""",
        [x, y],
    )
    page.mouse.move(0, 0)
    page.mouse.move(place[0] + 3, place[1] + 3)
    page.mouse.move(*place)
    said = page.locator(".hoverlayer .hovertext, .hoverlayer .legend")
    said.first.wait_for()
    return " ".join(said.all_text_contents())


def test_contours_with_all_values_and_the_marks(opened):
    result = plane()
    with opened(result) as page:
        assert types(page) == ["contour", "scatter", "scatter", "scatter"]
        assert pressed(page) == ["Contours", "Logarithmic"]
        assert page.locator(".contourlayer path").count() > 5
        assert page.locator(".scatterlayer .trace").count() == 3
        names = page.locator(".annotation-text").all_text_contents()
        assert names == list(result.marks)
        i, j = 15, 20
        said = hover(page, result.x[i], result.y[j])
        loss, share = (each[i, j] for each in result.values.values())
        assert f"train loss: {loss:.5g}" in said
        assert f"train accuracy: {share:.5g}" in said
        assert "train loss: inf" in hover(page, result.x[-2], result.y[1])
        hatched = page.locator(".bglayer .bg").evaluate("e => getComputedStyle(e).fill")
        assert "#hatch" in hatched
        assert result.axes[0].name in page.locator("pre").inner_text()
        assert "SGD, 13 of 25" in hover(page, *result.marks["SGD"][12])


def test_value_and_scale(opened):
    with opened(plane()) as page:
        bar = page.locator(".cbtitle").first
        page.get_by_label("Value").select_option("train accuracy")
        drawn(page)
        assert bar.text_content() == "train accuracy"
        press(page, "Linear")
        drawn(page)
        assert pressed(page) == ["Contours", "Linear"]
        shown = page.evaluate(
            "Math.max(...document.getElementById('plot').data[0].z[9])"
        )
        assert shown == pytest.approx(plane().value("train accuracy")[:, 9].max())


def test_the_surface_is_drawn_and_turned(opened):
    with opened(plane(15)) as page:
        press(page, "Surface")
        drawn(page, "surface")
        assert types(page) == ["surface", "scatter3d", "scatter3d", "scatter3d"]
        assert pressed(page) == ["Surface", "Logarithmic"]
        assert colours(page) > 1000
        eye = page.evaluate("document.getElementById('plot').layout.scene.camera.eye.x")
        page.get_by_role("button", name="Move or turn left").focus()
        page.keyboard.press("Enter")
        page.wait_for_function(CHANGED, arg=eye)
        press(page, "Contours")
        drawn(page)
        assert types(page)[0] == "contour"


def test_without_webgl_the_page_says_so_and_shows_contours(opened):
    with opened(plane(15), script=NO_WEBGL) as page:
        assert page.get_by_role("button", name="Surface").is_disabled()
        assert "has no WebGL" in page.locator("#note").inner_text()
        assert page.locator(".contourlayer path").count() > 3


def test_zoom_by_keyboard_and_back(opened):
    with opened(eigenplane()) as page:
        assert types(page) == ["contour", "contour", "scatter"]
        assert "quadratic" in page.locator("#note").inner_text()
        assert x_range(page) == [-1, 1]
        for name, expected in (
            ("Zoom in", [-0.5, 0.5]),
            ("Move or turn right", [-0.25, 0.75]),
            ("Zoom out", [-0.75, 1.25]),
            ("Reset", [-1, 1]),
        ):
            page.get_by_role("button", name=name, exact=True).focus()
            page.keyboard.press("Space")
            page.wait_for_function(
                "w => { const r = document.getElementById('plot').layout.xaxis.range;"
                " return Math.abs(r[0] - w[0]) + Math.abs(r[1] - w[1]) < 1e-9; }",
                arg=expected,
            )


def test_every_button_has_a_name(opened):
    with opened(plane(9)) as page:
        for button in page.locator("button").all():
            name = button.get_attribute("aria-label") or button.inner_text()
            assert re.search(r"[A-Za-z]{3}", name)


def test_a_line(opened):
    result = line()
    with opened(result) as page:
        assert not page.get_by_role("button", name="Surface").is_visible()
        names = page.locator(".legendtext").all_text_contents()
        assert names == [
            "train loss",
            "parabola of the eigenvalue",
            "test loss",
            "train accuracy",
        ]
        said = hover(page, float(result.x[30]), 1.0)
        for name, unit in (("train loss", 1), ("train accuracy", 100)):
            assert f"{name} : {unit * result.values[name][30]:.5g}" in said
        assert "not finite" in page.locator("#note").inner_text()
        page.get_by_label("Value").select_option("test loss")
        drawn(page)
        press(page, "Logarithmic")
        drawn(page)
        kind = page.evaluate("document.getElementById('plot').layout.yaxis.type")
        assert kind == "log"


def test_dark_and_light(opened):
    with opened(plane(9), color_scheme="dark") as page:
        ground = "getComputedStyle(document.body).backgroundColor"
        paper = "document.getElementById('plot').layout.paper_bgcolor"
        assert page.evaluate(ground) == "rgb(20, 23, 27)"
        assert page.evaluate(paper) == "#14171b"
        page.emulate_media(color_scheme="light")
        page.wait_for_function(f"() => {paper} === '#ffffff'")


@pytest.mark.parametrize("result", [plane(9), line()], ids=["plane", "line"])
def test_a_phone_does_not_scroll_sideways(opened, result):
    with opened(
        result,
        viewport={"width": 400, "height": 800},
        has_touch=True,
        is_mobile=True,
    ) as page:
        widths = "[document.documentElement.scrollWidth, window.innerWidth]"
        assert page.evaluate(widths) == [400, 400]
        dragmode = page.evaluate("document.getElementById('plot').layout.dragmode")
        assert dragmode is False
