"use strict";
(() => {
  const record = JSON.parse(document.getElementById("record").textContent);
  const plot = document.getElementById("plot");
  const note = document.getElementById("note");
  const select = document.getElementById("value");
  const names = Object.keys(record.values);
  const plane = record.kind !== "line";
  const LEFT = ["#2f74d0", "#128a6b", "#a24fc4"], RIGHT = ["#cf5a14", "#a87400", "#c43d6b"];
  const MARK = "#e0115f"; // seen on all colours of the scale
  const EYE = { x: 1.3, y: -1.6, z: 1.4 };
  const state = { view: "contour", name: plane ? names[0] : "", log: false };
  const isAccuracy = (name) => name.endsWith("accuracy");
  const hasSurface = record.kind === "plane" && Boolean(document.createElement("canvas").getContext("webgl"));

  // Plotly takes tags in texts for markup and dollars for formulas.
  const text = (words) => String(words).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll("$", "&#36;");
  const number = (value) => (typeof value === "number" ? value : null);
  const say = (value) => (value === null ? "not taken" : typeof value === "number" ? +value.toPrecision(5) : value);
  const scaled = (value) => {
    const known = number(value);
    return known === null || !state.log ? known : known > 0 ? Math.log10(known) : null;
  };
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`);

  function round(step) { // up, to 1, 2 or 5 times a power of ten
    const power = 10 ** Math.floor(Math.log10(step));
    return [1, 2, 5, 10].find((each) => each * power >= step * 0.999) * power;
  }

  function ticks(low, high) { // of logarithms, at values that are round
    const values = [], own = high - low < 2.5 ? [1, 2, 5] : [1];
    const step = Math.ceil((high - low) / 8);
    for (let power = Math.floor(low); power <= high; power += Math.max(step, 1)) {
      for (const each of own) values.push(each * 10 ** power);
    }
    const shown = values.filter((v) => Math.log10(v) >= low - 1e-9 && Math.log10(v) <= high + 1e-9);
    return shown.length > 1 ? { tickvals: shown.map(Math.log10), ticktext: shown.map((v) => String(+v.toPrecision(3))) }
      : { tickvals: [low, high], ticktext: [low, high].map((v) => (10 ** v).toPrecision(3)) };
  }

  function hints() {
    return record.y.map((y, j) => record.x.map((x, i) => [
      `x: ${say(x)}, y: ${say(y)}`,
      ...names.map((name) => {
        const error = record.errors[name]?.[j][i];
        return `${text(name)}: ${say(record.values[name][j][i])}${error == null ? "" : ` ± ${say(error)}`}`;
      }),
    ].join("<br>")));
  }

  function height(z, x, y) { // between the four points around a place
    const cell = (ticks, at) => {
      const i = Math.min(Math.max(ticks.findLastIndex((each) => each <= at), 0), ticks.length - 2);
      return [i, (at - ticks[i]) / (ticks[i + 1] - ticks[i])];
    };
    const [i, u] = cell(record.x, x), [j, v] = cell(record.y, y);
    if (u < 0 || u > 1 || v < 0 || v > 1) return null;
    const four = [z[j][i], z[j][i + 1], z[j + 1][i], z[j + 1][i + 1]];
    if (four.includes(null)) return null;
    return (1 - v) * ((1 - u) * four[0] + u * four[1]) + v * ((1 - u) * four[2] + u * four[3]);
  }

  function marks(z, lift) {
    const solid = lift !== null, traces = [], annotations = [];
    for (const [name, places] of Object.entries(record.marks)) {
      const heights = places.map(([x, y]) => (solid ? height(z, x, y) : 0));
      const shown = places.filter((_, k) => heights[k] !== null);
      if (!shown.length) continue;
      const own = { x: shown.map((p) => p[0]), y: shown.map((p) => p[1]) };
      if (solid) own.z = heights.filter((h) => h !== null).map((h) => h + lift);
      const last = shown.length - 1, several = last > 0;
      traces.push({
        ...own, type: solid ? "scatter3d" : "scatter", mode: several ? "lines+markers" : "markers", showlegend: false,
        line: { color: MARK, width: solid ? 5 : 2 },
        marker: {
          color: MARK, size: shown.map((_, k) => (k === last ? 9 : 4) * (solid ? 0.6 : 1)),
          symbol: several ? shown.map((_, k) => (k === last ? "square" : "circle")) : "circle",
          line: { color: "#ffffff", width: 1 },
        },
        text: shown.map((p, k) => `${text(name)}${several ? `, ${k + 1} of ${shown.length}` : ""}<br>x: ${say(p[0])}, y: ${say(p[1])}`),
        hovertemplate: "%{text}<extra></extra>",
      });
      const [from, to] = ends(record.x), late = !solid && own.x[last] > from + 0.6 * (to - from);
      annotations.push({
        x: own.x[last], y: own.y[last], ...(solid ? { z: own.z[last] } : {}), text: text(name), showarrow: false,
        xshift: late ? -10 : 10, yshift: several ? -14 : 14, xanchor: late ? "right" : "left", bgcolor: colour("ground"), opacity: 0.85,
        font: { color: colour("ink"), size: 12 },
      });
    }
    return { traces, annotations };
  }

  function drawPlane() {
    const solid = state.view === "surface", small = narrow();
    const raw = record.values[state.name], z = raw.map((row) => row.map(scaled));
    const known = z.flat().filter((v) => v !== null);
    const lost = raw.flat().filter((v) => number(v) !== null).length - known.length;
    const low = known.length ? Math.min(...known) : 0, high = known.length ? Math.max(...known) : 1;
    const size = round((high - low) / 24 || 1), start = size * Math.floor(low / size);
    const contours = { start, end: high, size };
    const scale = state.log ? ticks(low, high) : {};
    const colorbar = {
      ...scale, title: { text: text(state.name), side: small ? "top" : "right" }, thickness: 14, outlinewidth: 0,
      tickfont: { color: colour("ink") }, orientation: small ? "h" : "v", ...(small ? { y: 1, yanchor: "bottom" } : {}),
    };
    const common = {
      x: record.x, y: record.y, z, text: hints(), hovertemplate: "%{text}<extra></extra>",
      colorscale: "Viridis", colorbar,
    };
    const marked = marks(z, solid ? 0.01 * (high - low) : null);
    const traces = [solid ? { ...common, type: "surface" }
      : record.kind === "cells" ? { ...common, type: "heatmap", hoverongaps: true, xgap: 1, ygap: 1 }
      : { ...common, type: "contour", hoverongaps: true, contours, line: { width: 0.6, color: "rgba(255,255,255,0.5)" } }];
    if (record.quadratic && !solid && state.name === names[0]) {
      traces.push({
        type: "contour", x: record.x, y: record.y, z: record.quadratic.map((row) => row.map(scaled)), showscale: false,
        contours: { ...contours, size: 2 * size, coloring: "none" }, line: { color: "#000000", width: 1, dash: "dash" },
        hoverinfo: "skip", name: "quadratic of the eigenvalues", showlegend: false,
      });
      note.textContent = "Dashed: the quadratic of the eigenvalues. ";
    }
    if (lost) note.textContent += `${lost} points are not positive: they have no place on a logarithmic scale.`;
    plot.classList.toggle("gaps", !solid && z.flat().includes(null));
    const axes = solid ? {
      scene: {
        xaxis: axis(record.labels[0], true), yaxis: axis(record.labels[1], true),
        zaxis: { ...axis(state.name, true), ...scale }, annotations: marked.annotations,
        aspectmode: "cube", uirevision: "kept", camera: { eye: home() },
      },
    } : {
      xaxis: { ...axis(record.labels[0]), range: ends(record.x) }, yaxis: { ...axis(record.labels[1]), range: ends(record.y) },
      annotations: marked.annotations,
    };
    return [[...traces, ...marked.traces], { ...axes, hovermode: "closest" }];
  }

  function drawLine() {
    const shown = state.name ? [state.name] : names;
    const traces = [], shapes = [], annotations = [];
    const counts = { y: 0, y2: 0 };
    for (const name of shown) {
      const yaxis = isAccuracy(name) ? "y2" : "y", unit = yaxis === "y2" ? 100 : 1;
      const own = (yaxis === "y2" ? RIGHT : LEFT)[counts[yaxis]++ % 3];
      const y = (values) => values.map((v) => (number(v) === null ? null : unit * v));
      const common = { type: "scatter", x: record.x, yaxis, connectgaps: false };
      if (record.bands[name]) {
        const [bottom, top] = record.bands[name].map(y), none = { ...common, mode: "lines", line: { width: 0 }, hoverinfo: "skip", showlegend: false };
        traces.push({ ...none, y: bottom }, { ...none, y: top, fill: "tonexty", fillcolor: `${own}2e` });
      }
      traces.push({
        ...common, y: y(record.values[name]), name: text(name), mode: "lines+markers",
        line: { color: own, width: 2 }, marker: { size: 4 }, hovertemplate: `%{y:.5~g}${unit === 100 ? " %" : ""}`,
      });
      for (const other of record.dashed.filter((each) => each.of === name)) {
        traces.push({
          ...common, y: y(other.y), name: text(other.name), mode: "lines",
          line: { color: own, width: 1.5, dash: "dash" }, hovertemplate: "%{y:.5~g}",
        });
      }
    }
    record.x.forEach((x, i) => {
      const words = shown.filter((name) => number(record.values[name][i]) === null);
      if (!words.length) return;
      const [before, after] = [record.x[i - 1] ?? x, record.x[i + 1] ?? x];
      shapes.push({
        type: "rect", yref: "paper", y0: 0, y1: 1, x0: (before + x) / 2, x1: (x + after) / 2,
        fillcolor: colour("soft"), opacity: 0.25, line: { width: 0 }, layer: "below",
      });
    });
    if (shapes.length) note.textContent = "Grey: a value is not finite there.";
    for (const [name, x] of Object.entries(record.marks)) {
      shapes.push({ type: "line", yref: "paper", y0: 0, y1: 1, x0: x, x1: x, line: { color: colour("soft"), width: 1, dash: "dot" } });
      annotations.push({ x, y: 1, yref: "paper", yanchor: "bottom", text: text(name), showarrow: false });
    }
    const layout = { xaxis: axis(record.labels[0]), yaxis: axis("loss"), shapes, annotations, hovermode: "x unified" };
    layout.yaxis.type = state.log ? "log" : "linear";
    if (counts.y2) layout.yaxis2 = { ...axis("accuracy, %"), overlaying: "y", side: "right", showgrid: false, tickmode: "auto", range: [0, 102] };
    layout.legend = { traceorder: "normal", orientation: "h", y: -0.18, yanchor: "top" };
    return [traces, layout];
  }

  const narrow = () => plot.clientWidth < 600;
  const ends = (ticks) => [ticks[0], ticks[ticks.length - 1]];
  const home = () => Object.fromEntries(Object.entries(EYE).map(([name, at]) => [name, at * (narrow() ? 1.65 : 1)]));

  function axis(label, solid = false) {
    const words = text(label), common = { zeroline: false, gridcolor: colour("line"), linecolor: colour("soft"), color: colour("ink") };
    return solid
      ? { ...common, title: { text: words.split(" (")[0], font: { size: 12 } }, nticks: 6, backgroundcolor: colour("panel"), showbackground: true }
      : { ...common, title: { text: narrow() ? words.replace(" (", "<br>(") : words, standoff: 8 }, automargin: true, ticks: "outside", showline: true };
  }

  function draw() {
    note.textContent = hasSurface || record.kind === "line" ? ""
      : record.kind === "cells" ? "The points taken so far form no grid yet: they are shown one by one. "
      : "This browser has no WebGL, which a surface needs: the contours are shown. ";
    const [traces, layout] = plane ? drawPlane() : drawLine();
    Object.assign(layout, {
      // A finger that scrolls the page must not zoom instead.
      dragmode: state.view === "surface" ? "turntable" : matchMedia("(pointer: coarse)").matches ? false : "zoom",
      uirevision: "kept", margin: { l: 60, r: 20, t: 30, b: 50 }, showlegend: !plane,
      font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: colour("ink") },
      paper_bgcolor: colour("ground"), plot_bgcolor: colour("panel"),
      hoverlabel: { bgcolor: colour("panel"), bordercolor: colour("soft"), font: { color: colour("ink") }, align: "left" },
    });
    for (const button of document.querySelectorAll("[aria-pressed]")) {
      const { view, log } = button.dataset;
      button.setAttribute("aria-pressed", String(view ? view === state.view : log === String(state.log)));
    }
    plot.dataset.drawn = "";
    return Plotly.react(plot, traces, layout, { displayModeBar: false, responsive: true, doubleClick: "reset" })
      .then(() => { plot.dataset.drawn = state.view; });
  }

  function choose(name) {
    Object.assign(state, { name, log: record.log[name] });
    draw();
  }

  function change(scale, move) { // the axes, or the eye
    if (state.view === "surface") {
      const { eye } = plot._fullLayout.scene._scene.getCamera();
      const turn = (move * Math.PI) / 12, [c, s] = [Math.cos(turn), Math.sin(turn)];
      const shift = scale === "reset" ? home()
        : { x: scale ** 0.5 * (c * eye.x - s * eye.y), y: scale ** 0.5 * (s * eye.x + c * eye.y), z: scale ** 0.5 * eye.z };
      return Plotly.relayout(plot, { "scene.camera.eye": shift });
    }
    const update = {};
    for (const name of plane ? ["xaxis", "yaxis"] : ["xaxis"]) {
      const [from, to] = plot._fullLayout[name].range, middle = (from + to) / 2, half = (to - from) / 2;
      const at = middle + (name === "xaxis" ? (move * half) / 2 : 0);
      if (scale !== "reset") update[`${name}.range`] = [at - scale * half, at + scale * half];
      else if (plane) update[`${name}.range`] = ends(record[name[0]]);
      else update[`${name}.autorange`] = true;
    }
    return Plotly.relayout(plot, update);
  }

  for (const name of plane ? names : ["", ...names]) select.add(new Option(name || "all", name));
  select.addEventListener("change", () => choose(select.value));
  document.getElementById("views").hidden = !plane;
  document.querySelector("[data-view=surface]").disabled = !hasSurface;
  for (const button of document.querySelectorAll("button")) {
    const { view, log, zoom, move } = button.dataset;
    button.addEventListener("click", () => {
      if (zoom) change(zoom === "reset" ? zoom : +zoom, 0);
      else if (move) change(1, +move);
      else {
        if (view) state.view = view;
        else state.log = log === "true";
        draw();
      }
    });
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  choose(state.name);
})();
