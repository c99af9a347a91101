"""What the page does in a real Chromium: by mouse, keyboard and touch, and on paper."""

import re

import pytest

CONTRAST = """
(selector) => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = (colour) => {
    const [r, g, b] = numbers(colour).slice(0, 3).map((part) => {
      const c = part / 255;
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      const parts = numbers(colour);
      if (parts.length < 4 || parts[3] === 1) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  return [...document.querySelectorAll(selector)].map((node) => {
    const style = getComputedStyle(node);
    const ink = node instanceof SVGElement ? style.fill : style.color;
    const pair = [luminance(ink), luminance(ground(node))].sort((a, b) => a - b);
    return (pair[1] + 0.05) / (pair[0] + 0.05);
  });
}
"""


def figure(page, number=0):
    return page.locator("figure.chart").nth(number)


def x_range(page, number=0):
    return figure(page, number).locator(".plot").evaluate("p => p.layout.xaxis.range")


def test_drag_zooms_and_a_double_click_returns(page):
    before = x_range(page)
    area = figure(page).locator(".nsewdrag").first
    area.scroll_into_view_if_needed()
    box = area.bounding_box()
    places = [(box["x"] + share * box["width"], box["y"] + 100) for share in (0.3, 0.6)]
    page.mouse.move(*places[0])
    page.mouse.down()
    page.mouse.move(*places[1], steps=4)
    page.mouse.up()
    width = before[1] - before[0]
    after = x_range(page)
    assert after[0] == pytest.approx(before[0] + 0.3 * width, abs=0.02 * width)
    assert after[1] == pytest.approx(before[0] + 0.6 * width, abs=0.02 * width)
    page.mouse.dblclick(*places[0])
    page.wait_for_function(
        "w => { const r = document.querySelector('.plot').layout.xaxis.range;"
        " return Math.abs(r[0] - w) < 1e-6; }",
        arg=before[0],
    )


@pytest.mark.parametrize("number", [0, 1])
def test_buttons_zoom_and_move(page, number):
    start, end = x_range(page, number)
    width = end - start

    def press(how):
        figure(page, number).locator(f"[data-zoom={how}]").click()
        return x_range(page, number)

    quarter = width / 4
    assert press("in") == pytest.approx([start + quarter, end - quarter])
    assert press("right") == pytest.approx([start + 1.5 * quarter, end - quarter / 2])
    assert press("left") == pytest.approx([start + quarter, end - quarter])
    assert press("out") == pytest.approx([start, end])
    press("in")
    assert press("reset") == pytest.approx([start, end])


def test_a_plane_is_zoomed_along_both_axes(page):
    def ranges():
        script = "p => [...p.layout.xaxis.range, ...p.layout.yaxis.range]"
        return figure(page, 4).locator(".plot").evaluate(script)

    before = ranges()
    figure(page, 4).locator("[data-zoom=in]").click()
    halved = [
        0.75 * near + 0.25 * far
        for low, high in (before[:2], before[2:])
        for near, far in ((low, high), (high, low))
    ]
    assert ranges() == pytest.approx(halved)
    figure(page, 4).locator("[data-zoom=reset]").click()
    assert ranges() == pytest.approx(before)


def test_a_plane_tells_its_values(page):
    drawn = figure(page, 4)
    area = drawn.locator(".nsewdrag").first
    area.scroll_into_view_if_needed()
    box = area.bounding_box()
    corner = box["x"] + box["width"] - 4, box["y"] + 4
    page.mouse.move(corner[0] - 30, corner[1] + 30)
    page.mouse.move(*corner, steps=3)
    label = drawn.locator(".hoverlayer .hovertext")
    label.wait_for()
    said = label.first.text_content()
    assert said.startswith("x: 1.25, y: 1.5")
    assert said.endswith(": 316.2accuracy, test: 0.5")
    page.mouse.move(0, 0)


def test_hover_shows_name_value_and_band(page):
    drawn = figure(page)
    drawn.scroll_into_view_if_needed()
    ours = drawn.locator("path.point[style*='fill: rgb(47, 116, 208)']")  # blue
    box = ours.nth(1).bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(middle[0] + 40, middle[1])
    page.mouse.move(*middle, steps=3)
    label = drawn.locator(".hoverlayer .hovertext")
    label.wait_for()
    said = label.first.text_content()
    assert said.startswith("loss, train")
    assert "α: -0.75" in said
    assert "cross-entropy: 1.723 [1.378, 2.067]" in said
    page.mouse.move(0, 0)


def test_a_legend_entry_hides_its_series_and_band(page):
    drawn = figure(page)
    before = drawn.locator(".scatterlayer .trace").count()
    entry = drawn.locator(".legend button").first
    entry.click()
    assert entry.get_attribute("aria-pressed") == "false"
    assert drawn.locator(".scatterlayer .trace").count() == before - 2
    entry.click()
    assert drawn.locator(".scatterlayer .trace").count() == before


def test_everything_interactive_is_reached_by_keyboard(page):
    page.evaluate("document.activeElement.blur()")
    wanted = page.evaluate(
        """() => {
          const all = "a[href], button, summary, .box, pre";
          const found = [...document.querySelectorAll(all)];
          const seen = found.filter((node) => node.checkVisibility());
          seen.forEach((node, i) => node.dataset.number = i);
          window.scrollTo(0, 0);
          return seen.length;
        }"""
    )
    page.locator(".skip").focus()
    reached = []
    for _ in range(wanted):
        reached.append(page.evaluate("document.activeElement.dataset.number"))
        page.keyboard.press("Tab")
    assert reached == [str(number) for number in range(wanted)]
    drawn = figure(page)
    drawn.locator(".legend button").nth(1).focus()
    before = drawn.locator(".scatterlayer .trace").count()
    page.keyboard.press("Space")
    assert drawn.locator(".scatterlayer .trace").count() == before - 1


def test_the_skip_link_shows_when_focused(page):
    link = page.locator(".skip")
    page.locator("h1").click()
    assert link.bounding_box()["y"] < 0
    link.focus()
    page.wait_for_function(
        "document.querySelector('.skip').getBoundingClientRect().y > 0"
    )
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(page, scheme):
    page.emulate_media(color_scheme=scheme)
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
    for selector in (
        "p, h1, h2, h3, h4, th, td, dt, dd, li, figcaption, summary, caption",
        "a, button, code, small, .none, .kicker, .warning, .below",
        ".chip",
        ".plot .xtick text, .plot .ytick text, .plot .y2tick text",
        ".plot .xtitle, .plot .ytitle, .plot .y2title",
    ):
        found = page.evaluate(CONTRAST, selector)
        assert found
        assert min(found) >= 4.5


def test_print(page):
    page.locator("details").first.locator("summary").click()
    page.emulate_media(media="print")
    for hidden in ("nav", ".skip", ".bar", ".numbers"):
        assert not page.locator(hidden).first.is_visible()
    for shown in ("h1", ".matrix", ".plot", ".legend", "table.result"):
        assert page.locator(shown).first.is_visible()
    breaks = page.evaluate(
        "['.experiment', 'figure', 'tr'].map(s => {"
        " const c = getComputedStyle(document.querySelector(s));"
        " return [c.breakBefore, c.breakInside]; })"
    )
    assert breaks == [["page", "auto"], ["auto", "avoid"], ["auto", "avoid"]]
    page.emulate_media(media="screen")
    page.locator("details").first.locator("summary").click()
    document = page.pdf(format="A4", print_background=True)
    assert document.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", document)) >= 3


def test_charts_and_tables_fit_the_printed_page(page):
    before = page.viewport_size
    page.set_viewport_size({"width": 680, "height": 900})  # of A4 between its margins
    page.emulate_media(media="print")
    widths = page.evaluate(
        "[...document.querySelectorAll('figure, .plot svg.main-svg, table')]"
        ".map(node => node.getBoundingClientRect().right)"
    )
    page.set_viewport_size(before)
    assert max(widths) <= 680


def test_a_phone_scrolls_in_one_direction_only(opened):
    with opened(
        viewport={"width": 400, "height": 800}, has_touch=True, is_mobile=True
    ) as page:
        widths = "[document.documentElement.scrollWidth, window.innerWidth]"
        assert page.evaluate(widths) == [400, 400]
        assert page.locator(".verdicts").first.bounding_box()["width"] > 400
        assert page.locator(".plot").first.evaluate("p => p.layout.dragmode") is False
        figure(page).locator("[data-zoom=in]").tap()
        assert x_range(page)[1] < 2
