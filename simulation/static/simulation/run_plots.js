/**
 * One Plotly figure per conserved quantity: the size of its error along the run, with its limit as a line.
 * The numbers come from the JSON script `#series`, and while the run goes on from `series.json`, which answers 304
 * until there is a new checkpoint; the Data tab shows the same ones as a table.
 */

import { scientific } from "../js/format.js";
import { store } from "../js/live.js";

const POLL_ms = 5000;
const LABELS_MAX = 6;

const plots = document.querySelector("[data-plots]");
let series = JSON.parse(document.getElementById("series").textContent);
let etag = "";

/** The computed colour of a token; the probe resolves light-dark() and forced colours. */
function colour(token) {
  const probe = document.body.appendChild(document.createElement("span"));
  probe.hidden = true;
  probe.style.color = `var(${token})`;
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

function axis(title, grid, rest = {}) {
  return { title: { text: title, standoff: 12 }, gridcolor: grid, linecolor: grid, zerolinecolor: grid, automargin: true, ...rest };
}

/** A log axis around positive numbers: whole decades where there are some, else 1, 2 and 5 times a power of ten. */
function logAxis(values) {
  const low = Math.log10(Math.min(...values));
  const high = Math.log10(Math.max(...values));
  const pad = Math.max(0.1, 0.06 * (high - low));
  const range = [low - pad, high + pad];
  const first = Math.floor(range[0]);
  const decades = Array.from({ length: Math.ceil(range[1]) - first + 1 }, (_, i) => first + i);
  const within = (value) => Math.log10(value) >= range[0] && Math.log10(value) <= range[1];
  const every = Math.ceil((range[1] - range[0]) / LABELS_MAX);
  let ticks = decades.filter((power) => power % every === 0).map((power) => 10 ** power).filter(within);
  if (ticks.length < 3) ticks = decades.flatMap((power) => [1, 2, 5].map((part) => part * 10 ** power)).filter(within);
  if (ticks.length < 3) ticks = decades.flatMap((power) => Array.from({ length: 36 }, (_, i) => (1 + i / 4) * 10 ** power)).filter(within);
  const digits = ticks.length && ticks.every((tick) => Number(tick.toPrecision(1)) === Number(tick.toPrecision(12))) ? 1 : 3;
  return { type: "log", range, tickvals: ticks, ticktext: ticks.map((tick) => scientific(tick, digits)) };
}

/** Linear for an exact law, whose limit is 0: only 0 is worth a label while nothing else occurred. */
function linearAxis(values) {
  return values.some((value) => value > 0) ? { rangemode: "tozero", exponentformat: "power" } : { range: [-1, 1], tickvals: [0], ticktext: ["0"] };
}

/** A vertical mark at the step that broke the law: that step was undone, so the line ends before it. */
function markOf(box) {
  const step = Number(box.dataset.brokenStep || 0);
  if (!step) return {};
  const critical = colour("--critical");
  return {
    shapes: [{ type: "line", x0: step, x1: step, yref: "paper", y0: 0, y1: 1, line: { color: critical, width: 1.5 } }],
    annotations: [{ x: step, yref: "paper", y: 1, xanchor: "right", yanchor: "top", showarrow: false, text: ` broke in step ${step} `, font: { color: critical } }],
  };
}

function draw(box) {
  const one = series[box.dataset.plot];
  if (!one) return;
  const exact = one.law === "exact";
  const text = colour("--muted");
  const grid = colour("--grid");
  const size = (values) => values.map((value) => (exact || value !== 0 ? Math.abs(value) : null));
  const mode = one.step.length > 1 ? "lines" : "markers";
  const traces = [
    { name: "|error|", x: one.step, y: size(one.error), mode, line: { color: colour("--series-1"), width: exact ? 3 : 1.5 }, marker: { color: colour("--series-1"), size: 8 }, connectgaps: false, hovertemplate: "%{y:.3e}" },
    { name: "limit", x: one.step, y: size(one.limit), mode, line: { color: colour("--critical"), width: 1.5, dash: "dash" }, marker: { color: colour("--critical"), size: 8, symbol: "line-ew-open" }, hovertemplate: "%{y:.3e}" },
  ];
  const drawn = traces.flatMap((trace) => trace.y).filter((value) => value !== null);
  const positive = drawn.filter((value) => value > 0);
  const yaxis = exact ? linearAxis(drawn) : positive.length ? logAxis(positive) : { range: [0, 1], tickvals: [] };
  const last = one.step.at(-1);
  const layout = {
    height: 300, margin: { l: 8, r: 28, t: 8, b: 8 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", separators: ".\u202F",
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: text },
    xaxis: axis("step", grid, { tickformat: ",d", nticks: box.clientWidth < 480 ? 4 : 7, ...(last <= 10 && { dtick: 1 }) }),
    yaxis: axis(`|error| (${one.unit})${exact ? "" : ", log axis"}`, grid, yaxis),
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" }, hovermode: "x unified", hoverlabel: { bgcolor: colour("--surface"), font: { color: colour("--text") } },
    ...markOf(box),
  };
  box.querySelector("[data-waiting]")?.remove();
  window.Plotly.react(box, traces, layout, { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["select2d", "lasso2d"] });
}

function drawAll() {
  for (const box of plots.querySelectorAll("[data-plot]")) draw(box);
}

/** Take what was kept since; what cannot be fetched leaves the last plots as they are. */
async function refresh() {
  if (document.hidden || store.connection.paused) return;
  const answer = await fetch(plots.dataset.src, { headers: { Accept: "application/json", ...(etag && { "If-None-Match": etag }) }, cache: "no-store" }).catch(() => null);
  if (!answer || answer.status !== 200) return;
  etag = answer.headers.get("ETag") ?? "";
  series = { ...series, ...(await answer.json()).series };
  drawAll();
}

drawAll();
document.addEventListener("aii:theme", drawAll);
if (plots.hasAttribute("data-live")) setInterval(refresh, POLL_ms);
