// Draws every `.chart` from its `data-url`; the table beside it has the same numbers.
"use strict";

const loaded = new Map();

function fetched(url) {
  if (!loaded.has(url)) {
    const answer = fetch(url, { credentials: "same-origin" }).then((found) => (found.ok ? found.json() : null));
    loaded.set(url, answer);
    setTimeout(() => loaded.delete(url), 20000);
  }
  return loaded.get(url);
}

function clock(at) {
  const moment = new Date(at * 1000);
  return `${String(moment.getHours()).padStart(2, "0")}:${String(moment.getMinutes()).padStart(2, "0")}`;
}

// Without a neighbour a value is no line.
const few = (plot, i) => plot.data[i].filter((value) => value != null).length <= 30;

function options(box, lines, unit) {
  const styles = getComputedStyle(document.documentElement);
  const colour = (name) => styles.getPropertyValue(`--${name}`).trim();
  const axis = { stroke: colour("soft"), grid: { stroke: colour("line"), width: 1 }, ticks: { stroke: colour("line"), width: 1 }, font: "12px system-ui, sans-serif" };
  const dashes = [[], [6, 3], [2, 3], [10, 3, 2, 3]];
  return {
    width: box.clientWidth || 400,
    height: 190,
    cursor: { y: false },
    scales: { y: { range: (_, low, high) => [0, Math.max(1, high * 1.08)] } },
    axes: [{ ...axis, space: 64, values: (_, ticks) => ticks.map(clock) }, { ...axis, size: 76, values: (_, ticks) => ticks.map((tick) => (unit ? `${tick.toLocaleString()} ${unit}` : tick.toLocaleString())) }],
    series: [
      { label: "Minute", value: (_, at) => (at == null ? "–" : clock(at)) },
      ...lines.map(([, label], i) => ({ label, stroke: colour(`line-${i + 1}`), dash: dashes[i], width: 1.8, spanGaps: true, points: { show: few }, value: (_, value) => (value == null ? "–" : `${value.toLocaleString()} ${unit}`.trim()) })),
    ],
  };
}

async function draw(box) {
  const lines = box.dataset.lines.split(",").map((one) => one.split(":"));
  const found = await fetched(box.dataset.url);
  if (!found) return;
  if (!found.at.length) {
    box.classList.add("none");
    box.textContent = "Nothing was counted in this time.";
    return;
  }
  const data = [found.at, ...lines.map(([name]) => found.lines[name])];
  if (box.plot && box.dataset.theme === document.documentElement.dataset.theme) {
    box.plot.setData(data);
    return;
  }
  box.plot?.destroy();
  box.classList.remove("none");
  box.textContent = "";
  box.plot = new uPlot(options(box, lines, box.dataset.unit), data, box);
}

const charts = document.querySelectorAll(".chart");
const drawAll = () => charts.forEach((box) => draw(box));
drawAll();

let looks = 0;
document.addEventListener("look", () => {
  looks += 1;
  if (looks % 15 === 0) drawAll();
});
window.addEventListener("resize", () => charts.forEach((box) => box.plot?.setSize({ width: box.clientWidth, height: 190 })));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  charts.forEach((box) => { box.plot?.destroy(); box.plot = null; });
  drawAll();
});
