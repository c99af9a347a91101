"use strict";
(() => {
  const record = JSON.parse(document.getElementById("record").textContent);
  const W = 520, H = 240, LEFT = 58, RIGHT = 10, TOP = 10, BOTTOM = 26;
  const known = (x) => x !== null && Number.isFinite(x);
  const every = Object.values(record).flatMap((curve) => curve.steps);
  const first = Math.min(...every), last = Math.max(...every);
  const whole = [first, last > first ? last : first + 1];
  let range = whole.slice();

  const element = (name, attributes, parent) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (parent) parent.appendChild(made);
    return made;
  };
  const short = (x) => {
    const size = Math.abs(x);
    if (size !== 0 && (size < 1e-3 || size >= 1e6)) return x.toExponential(1);
    return String(Number(x.toPrecision(4)));
  };
  const ticks = (low, high) => {
    const raw = (high - low) / 4, power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((k) => k * power).find((s) => s >= raw) || raw;
    const found = [];
    for (let t = Math.ceil(low / step) * step; t <= high + step / 1e6; t += step) found.push(t);
    return found;
  };
  const decades = (low, high) => {
    const found = [], a = Math.ceil(low), b = Math.floor(high);
    const step = Math.max(1, Math.ceil((b - a) / 5));
    for (let t = a; t <= b; t += step) found.push(t);
    return found.length > 1 ? found : [low, (low + high) / 2, high];
  };

  const x = (step) => LEFT + (step - range[0]) / (range[1] - range[0]) * (W - LEFT - RIGHT);
  const stepAt = (svg, event) => {
    const box = svg.getBoundingClientRect();
    const share = ((event.clientX - box.left) / box.width * W - LEFT) / (W - LEFT - RIGHT);
    return range[0] + Math.min(1, Math.max(0, share)) * (range[1] - range[0]);
  };

  const draw = (panel) => {
    const { svg, curve } = panel;
    svg.replaceChildren();
    const shown = curve.steps.map((_, i) => i).filter((i) => known(curve.values[i]));
    // One point beyond each end, so that lines leave the picture.
    const inside = shown.filter((i) => curve.steps[i] >= range[0] && curve.steps[i] <= range[1]);
    const seen = inside.length ? inside : shown;
    const numbers = seen.flatMap((i) => [curve.values[i], curve.thresholds[i]]).filter(known);
    if (!numbers.length) {
      element("text", { x: W / 2, y: H / 2, "text-anchor": "middle" }, svg).textContent = "no values";
      return;
    }
    let low = Math.min(...numbers), high = Math.max(...numbers);
    const log = low > 0 && high > 30 * low;
    const scaled = (v) => (log ? Math.log10(v) : v);
    [low, high] = [scaled(low), scaled(high)];
    const margin = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
    [low, high] = [low - margin, high + margin];
    const y = (v) => TOP + (high - scaled(v)) / (high - low) * (H - TOP - BOTTOM);
    for (const t of log ? decades(low, high) : ticks(low, high)) {
      const value = log ? 10 ** t : t, place = y(value);
      element("line", { class: "grid", x1: LEFT, x2: W - RIGHT, y1: place, y2: place }, svg);
      element("text", { x: LEFT - 6, y: place + 4, "text-anchor": "end" }, svg).textContent = short(value);
    }
    for (const t of ticks(range[0], range[1])) {
      element("text", { x: x(t), y: H - 8, "text-anchor": "middle" }, svg).textContent = short(t);
    }
    const id = `clip-${panel.name}`;
    const clip = element("clipPath", { id }, element("defs", {}, svg));
    element("rect", { x: LEFT, y: 0, width: W - LEFT - RIGHT, height: H }, clip);
    const area = element("g", { "clip-path": `url(#${id})` }, svg);
    const line = (values) => {
      let path = "", pen = "M";
      curve.steps.forEach((step, i) => {
        if (!known(values[i])) { pen = "M"; return; }
        path += `${pen}${x(step).toFixed(2)},${y(values[i]).toFixed(2)}`;
        pen = "L";
      });
      return path;
    };
    const banded = shown.filter((i) => known(curve.errors[i]) && !(log && curve.errors[i] >= curve.values[i]));
    if (banded.length > 1) {
      const side = (sign) => banded.map((i) =>
        `${x(curve.steps[i]).toFixed(2)},${y(curve.values[i] + sign * curve.errors[i]).toFixed(2)}`);
      element("polygon", { class: "band", points: [...side(1), ...side(-1).reverse()].join(" ") }, area);
    }
    if (curve.thresholds.some(known)) {
      element("path", { class: "threshold", d: line(curve.thresholds) }, area);
    }
    element("path", { class: "curve", d: line(curve.values) }, area);
    if (inside.length < 80) {
      for (const i of inside) {
        element("circle", { class: "dot", cx: x(curve.steps[i]), cy: y(curve.values[i]), r: 2.2 }, area);
      }
    }
  };

  const panels = Object.entries(record).map(([name, curve]) => {
    const figure = document.createElement("figure");
    const caption = document.createElement("figcaption");
    const title = document.createElement("span"), told = document.createElement("output");
    title.textContent = name.replaceAll("_", " ");
    caption.append(title, told);
    const svg = element("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `${name} over steps` });
    figure.append(caption, svg);
    document.getElementById("curves").append(figure);
    return { name, curve, svg, told };
  });
  const redraw = () => panels.forEach(draw);
  const zoom = (low, high) => {
    const least = (whole[1] - whole[0]) / 1e4;
    if (high - low < least) return;
    range = [Math.max(whole[0], low), Math.min(whole[1], high)];
    if (range[1] <= range[0]) range = whole.slice();
    redraw();
  };
  const around = (middle, factor) =>
    zoom(middle - (middle - range[0]) * factor, middle + (range[1] - middle) * factor);

  for (const panel of panels) {
    const { svg, curve, told } = panel;
    let from = null;
    svg.addEventListener("wheel", (event) => {
      event.preventDefault();
      around(stepAt(svg, event), event.deltaY < 0 ? 0.8 : 1.25);
    }, { passive: false });
    svg.addEventListener("dblclick", () => zoom(...whole));
    svg.addEventListener("pointerdown", (event) => { from = stepAt(svg, event); });
    svg.addEventListener("pointermove", (event) => {
      const here = stepAt(svg, event);
      let best = -1;
      curve.steps.forEach((step, i) => {
        if (known(curve.values[i]) && (best < 0 || Math.abs(step - here) < Math.abs(curve.steps[best] - here))) best = i;
      });
      if (best >= 0) {
        const error = known(curve.errors[best]) ? ` ± ${short(curve.errors[best])}` : "";
        told.textContent = `step ${curve.steps[best]}: ${short(curve.values[best])}${error}`;
      }
      if (from === null) return;
      svg.querySelector(".chosen")?.remove();
      const [a, b] = [x(from), x(here)].sort((p, q) => p - q);
      element("rect", { class: "chosen", x: a, y: TOP, width: b - a, height: H - TOP - BOTTOM }, svg);
    });
    window.addEventListener("pointerup", (event) => {
      if (from === null) return;
      const [low, high] = [from, stepAt(svg, event)].sort((p, q) => p - q);
      from = null;
      svg.querySelector(".chosen")?.remove();
      if (x(high) - x(low) > 4) zoom(low, high);
    });
  }
  document.getElementById("in").addEventListener("click", () => around((range[0] + range[1]) / 2, 0.5));
  document.getElementById("out").addEventListener("click", () => around((range[0] + range[1]) / 2, 2));
  document.getElementById("all").addEventListener("click", () => zoom(...whole));
  redraw();
})();
