"use strict";
(() => {
  const options = { displayModeBar: false, responsive: true, doubleClick: "reset", showTips: false };
  // A finger that scrolls the page must not zoom the chart instead.
  const dragmode = matchMedia("(pointer: coarse)").matches ? false : "zoom";
  const waiting = [...document.querySelectorAll("figure.chart")];

  function draw(figure) {
    const plot = figure.querySelector(".plot");
    const { data, layout } = JSON.parse(figure.querySelector("script").textContent);
    const home = {};
    for (const axis of ["xaxis", "yaxis", "yaxis2"]) {
      if (layout[axis]) home[`${axis}.autorange`] = layout[axis].autorange;
    }
    layout.dragmode = dragmode;
    Plotly.newPlot(plot, data, layout, options);
    scalable(plot);
    plot.on("plotly_afterplot", () => scalable(plot));
    for (const button of figure.querySelectorAll("[data-traces]")) {
      button.addEventListener("click", () => {
        const visible = button.getAttribute("aria-pressed") !== "true";
        button.setAttribute("aria-pressed", String(visible));
        Plotly.restyle(plot, { visible }, JSON.parse(button.dataset.traces));
      });
    }
    for (const button of figure.querySelectorAll("[data-zoom]")) {
      button.addEventListener("click", () => zoom(plot, button.dataset.zoom, home));
    }
  }

  // Paper is not as wide as the screen: the style sheet scales what has a viewBox.
  function scalable(plot) {
    for (const svg of plot.querySelectorAll("svg.main-svg")) {
      svg.setAttribute("viewBox", `0 0 ${svg.getAttribute("width")} ${svg.getAttribute("height")}`);
    }
  }

  function zoom(plot, how, home) {
    if (how === "reset") {
      Plotly.relayout(plot, home);
      return;
    }
    const scale = { in: 0.5, out: 2 }[how] ?? 1;
    const range = ([from, to], move) => {
      const half = (to - from) / 2, middle = (from + to) / 2 + (move ?? 0) * half;
      return [middle - scale * half, middle + scale * half];
    };
    const { xaxis, yaxis } = plot.layout;
    const change = { "xaxis.range": range(xaxis.range, { left: -0.5, right: 0.5 }[how]) };
    if (yaxis.scaleanchor) change["yaxis.range"] = range(yaxis.range); // one scale
    Plotly.relayout(plot, change);
  }

  // One at a time, so that the page answers meanwhile.
  function next() {
    if (waiting.length) {
      draw(waiting.shift());
      setTimeout(next);
    } else {
      document.documentElement.dataset.drawn = "all";
    }
  }
  addEventListener("beforeprint", () => {
    while (waiting.length) draw(waiting.shift());
  });
  next();
})();
