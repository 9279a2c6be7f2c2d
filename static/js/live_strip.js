/**
 * <live-strip key="quantity.energy" field="balance" limit-field="limit" window="600" unit="J" label="Energy error">:
 * a chart of the last `window` seconds, drawn with uPlot.
 *
 * History comes from a JSON <script type="application/json"> child or from data-url: {"t": [ms], "value": [number|null],
 * "limit": [number|null]} (limit may be absent). Other attributes: scale="log", gap="3.5" (seconds without a sample
 * that break the line), format, digits, marks="alert." (vertical marks at opened_t), height="120", limit="1e-8".
 * Times are UTC. Gaps are gaps, never zero. On a log axis a value ≤ 0 cannot be drawn and is a gap too.
 */

import uPlot from "../vendor/uplot/uplot.min.js";
import { clock, parts, text } from "./format.js";
import { store } from "./live.js";
import { formatOf } from "./live_elements.js";

const TABLE_ROWS = 60;
const SYNC_KEY = "aii";

/** The computed colour of a token; the probe resolves light-dark() and forced colours. */
function colourOf(element, token) {
  element.style.color = `var(${token})`;
  const colour = getComputedStyle(element).color;
  element.style.color = "";
  return colour;
}

/** The samples of one strip: three columns of equal length, oldest first. */
class Series {
  t = [];
  value = [];
  limit = [];

  add(t_s, value, limit, gap_s) {
    const last = this.t.at(-1);
    if (last !== undefined && t_s <= last) return;
    if (last !== undefined && t_s - last > gap_s) this.#push(last + gap_s / 2, null, null);
    this.#push(t_s, Number.isFinite(value) ? value : null, Number.isFinite(limit) ? limit : null);
  }

  trim(before_s) {
    let count = 0;
    while (count < this.t.length - 1 && this.t[count + 1] < before_s) count += 1;
    if (count) for (const column of [this.t, this.value, this.limit]) column.splice(0, count);
  }

  #push(t_s, value, limit) {
    this.t.push(t_s);
    this.value.push(value);
    this.limit.push(limit);
  }
}

class LiveStrip extends HTMLElement {
  #series = new Series();
  #chart = null;
  #undo = [];
  #resize = null;
  #serverAhead_s = 0;

  connectedCallback() {
    this.key = this.getAttribute("key");
    this.fieldName = this.getAttribute("field") ?? "value";
    this.window_s = Number(this.getAttribute("window") ?? 600);
    this.gap_s = Number(this.getAttribute("gap") ?? 3.5);
    this.log = this.getAttribute("scale") === "log";
    this.plot = this.querySelector(".strip-plot") ?? this.appendChild(part("div", "strip-plot"));
    this.note = this.querySelector(".strip-note") ?? this.appendChild(part("div", "strip-note"));
    this.details = this.querySelector("details");
    this.plot.setAttribute("aria-hidden", "true"); // the table behind it says the same in words
    if (this.hasAttribute("height")) this.plot.style.setProperty("--strip", `${Number(this.getAttribute("height"))}px`);
    this.#readHistory();
    this.#undo = [
      store.onData(this.key, (changes, meta) => this.#take(changes.get(this.key), meta)),
      store.on("tick", () => this.#draw()),
      store.on(this.key, () => this.#draw()),
    ];
    if (this.hasAttribute("marks")) this.#undo.push(store.on(this.getAttribute("marks"), () => this.#chart?.redraw()));
    this.onTheme = () => this.#rebuild();
    document.addEventListener("aii:theme", this.onTheme);
    this.details?.addEventListener("toggle", () => this.#writeTable());
    this.onPrint = () => this.#writeTable(true);
    addEventListener("beforeprint", this.onPrint);
    this.#resize = new ResizeObserver(() => this.#fit());
    this.#resize.observe(this.plot);
    this.#draw();
  }

  disconnectedCallback() {
    for (const undo of this.#undo) undo();
    document.removeEventListener("aii:theme", this.onTheme);
    removeEventListener("beforeprint", this.onPrint);
    this.#resize?.disconnect();
    this.#chart?.destroy();
    this.#chart = null;
  }

  // -- samples ----------------------------------------------------------------------------------------

  #readHistory() {
    const inline = this.querySelector('script[type="application/json"]');
    if (inline) this.#takeHistory(JSON.parse(inline.textContent));
    if (this.dataset.url) {
      fetch(this.dataset.url, { headers: { Accept: "application/json" } })
        .then((answer) => (answer.ok ? answer.json() : Promise.reject(new Error(`status ${answer.status}`))))
        .then((history) => { this.#takeHistory(history); this.#draw(); })
        .catch(() => this.#say("The history could not be read; new readings follow."));
    }
  }

  #takeHistory(history) {
    const recent = this.#series;
    this.#series = new Series();
    (history?.t ?? []).forEach((t, index) => this.#series.add(t / 1000, history.value?.[index], history.limit?.[index] ?? this.#limitAttribute(), this.gap_s));
    recent.t.forEach((t, index) => this.#series.add(t, recent.value[index], recent.limit[index], this.gap_s));
  }

  #limitAttribute() {
    return this.hasAttribute("limit") ? Number(this.getAttribute("limit")) : null;
  }

  #take(value, meta) {
    if (!value) return;
    const limitField = this.getAttribute("limit-field");
    const limit = limitField ? value[limitField] : this.#limitAttribute();
    const t_ms = Number.isFinite(value.t) ? value.t : meta.t;
    this.#serverAhead_s = (meta.t - Date.now()) / 1000;
    this.#series.add(t_ms / 1000, value[this.fieldName], limit, this.gap_s);
  }

  // -- drawing ------------------------------------------------------------------------------------------

  /** Now by the server's clock: the right edge of the chart, so that missing readings show as empty room. */
  #now_s() {
    return store.ready ? Date.now() / 1000 + this.#serverAhead_s : this.#series.t.at(-1) ?? Date.now() / 1000;
  }

  #data() {
    const { t, value, limit } = this.#series;
    const positive = (column) => column.map((number) => (number !== null && number > 0 ? number : null));
    return this.log ? [t, positive(value), positive(limit)] : [t, value, limit];
  }

  #draw() {
    const now_s = this.#now_s();
    this.#series.trim(now_s - this.window_s);
    const count = this.#series.value.filter((number) => number !== null).length;
    this.#say(count ? "" : "No readings yet");
    if (!count && !this.#chart) return;
    if (!this.#chart) this.#build();
    this.#chart.batch(() => {
      this.#chart.setData(this.#data(), false);
      this.#chart.setScale("x", { min: now_s - this.window_s, max: now_s });
    });
    this.#writeNote();
    if (this.details?.open) this.#writeTable();
  }

  #rebuild() {
    this.#chart?.destroy();
    this.#chart = null;
    this.#draw();
  }

  #fit() {
    const { clientWidth: width, clientHeight: height } = this.plot;
    if (this.#chart && width && (this.#chart.width !== width || this.#chart.height !== height)) this.#chart.setSize({ width, height });
  }

  #build() {
    const ink = (token) => colourOf(this, token);
    const axis = { stroke: ink("--muted"), font: `11px ${getComputedStyle(this).fontFamily}`, grid: { stroke: ink("--grid"), width: 1 }, ticks: { show: false } };
    this.#chart = new uPlot({
      width: this.plot.clientWidth || 300,
      height: this.plot.clientHeight || 120,
      tzDate: (t_s) => uPlot.tzDate(new Date(t_s * 1000), "Etc/UTC"),
      padding: [8, 8, 0, 0],
      legend: { show: false },
      cursor: { sync: { key: SYNC_KEY }, y: false, drag: { x: false, y: false }, points: { size: 6 } },
      scales: { x: { time: true, auto: false }, y: { distr: this.log ? 3 : 1, range: this.log ? undefined : (_, low, high) => this.#range(low, high) } },
      series: [{}, { stroke: ink("--series-1"), width: 1.5, fill: this.log ? undefined : ink("--series-fill"), points: { show: false }, spanGaps: false },
        { stroke: ink("--critical"), width: 1.25, dash: [5, 4], points: { show: false }, spanGaps: false }],
      axes: [{ ...axis, size: 22, gap: 4, space: 64, values: (_, splits) => splits.map((t_s) => clock(t_s * 1000).slice(0, 5)) },
        { ...axis, size: (chart, values) => axisWidth(chart, values, this.plot), gap: 6, space: 26, values: (_, splits) => splits.map((number) => (number === null ? "" : this.#axisLabel(number))) }],
      hooks: { draw: [(chart) => this.#drawMarks(chart)], setCursor: [(chart) => this.#tip(chart)] },
    }, this.#data(), this.plot);
  }

  /** Room above and below; the limit is always in view, and so is zero where values touch it. */
  #range(low, high) {
    if (!Number.isFinite(low) || !Number.isFinite(high)) return [0, 1];
    const room = (high - low || Math.abs(high) || 1) * 0.1;
    return [low >= 0 && low - room < 0 ? 0 : low - room, high + room];
  }

  #drawMarks(chart) {
    const prefix = this.getAttribute("marks");
    if (!prefix) return;
    const { ctx, bbox } = chart;
    ctx.save();
    ctx.strokeStyle = colourOf(this, "--warning");
    ctx.setLineDash([2, 3]);
    for (const [, mark] of store.entries(prefix)) {
      const x = Math.round(chart.valToPos(mark.opened_t / 1000, "x", true));
      if (!(x >= bbox.left && x <= bbox.left + bbox.width)) continue;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    }
    ctx.restore();
  }

  #tip(chart) {
    const index = chart.cursor.idx;
    const shown = index !== null && index !== undefined && chart.cursor.left >= 0;
    this.tip ??= this.plot.appendChild(part("div", "strip-tip"));
    this.tip.hidden = !shown;
    if (!shown) return;
    const value = chart.data[1][index];
    this.tip.textContent = `${clock(chart.data[0][index] * 1000)} UTC  ${this.#format(value ?? null)}`;
    const left = chart.cursor.left + chart.bbox.left / devicePixelRatio + 10;
    this.tip.style.left = `${Math.min(left, this.plot.clientWidth - this.tip.offsetWidth - 4)}px`;
  }

  // -- words --------------------------------------------------------------------------------------------------

  #format(value, digits) {
    const options = formatOf(this);
    return text(value, { ...options, digits: digits ?? options.digits });
  }

  /** Short: no trailing zeros, and the unit only where a prefix changes it (the note below names the plain one). */
  #axisLabel(number) {
    const options = formatOf(this);
    const [label, unit] = parts(number, { ...options, digits: 3 });
    const short = label.replace(/(\.\d*?)0+(?=×|$)/, "$1").replace(/\.(?=×|$)/, "");
    return unit && unit !== options.unit ? `${short}\u202F${unit}` : short;
  }

  #say(sentence) {
    this.emptyNote ??= this.plot.querySelector(".strip-empty") ?? this.plot.appendChild(part("div", "strip-empty"));
    this.emptyNote.hidden = sentence === "";
    this.emptyNote.textContent = sentence;
  }

  #writeNote() {
    const limit = this.#series.limit.at(-1) ?? null;
    const value = this.#series.value.at(-1) ?? null;
    const over = limit !== null && value !== null && Math.abs(value) > Math.abs(limit);
    const left = [this.getAttribute("unit"), `last ${Math.round(this.window_s / 60)} min, UTC`, this.log ? "log scale" : ""].filter(Boolean).join(" · ");
    const right = limit === null ? "" : `${over ? "over the limit " : "limit "}${this.#format(limit, 3)}`;
    if (!this.noteParts) {
      this.noteParts = [part("span"), part("span")];
      this.note.replaceChildren(...this.noteParts);
    }
    this.noteParts[0].textContent = left;
    this.noteParts[1].textContent = right;
    this.noteParts[1].className = over ? "over-limit" : "";
  }

  /** The table behind the chart: at most sixty rows, evenly taken, newest first. */
  #writeTable(always = false) {
    const body = always || this.details?.open ? this.details?.querySelector("tbody") : null;
    if (!body) return;
    const { t, value, limit } = this.#series;
    const step = Math.max(1, Math.ceil(t.length / TABLE_ROWS));
    const rows = [];
    for (let index = t.length - 1; index >= 0; index -= step) {
      const row = part("tr");
      const cells = [`${clock(t[index] * 1000)} UTC`, this.#format(value[index]), this.#format(limit[index])];
      cells.forEach((content, place) => {
        const cell = part("td", place ? "num" : "");
        cell.textContent = content;
        row.append(cell);
      });
      rows.push(row);
    }
    body.replaceChildren(...rows);
  }
}

function part(tag, className) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  return element;
}

/** Just as wide as the widest label, so that strips in a column waste no room; never less than 40 px. */
function axisWidth(chart, values, plot) {
  if (!values) return 48;
  const context = chart.ctx;
  context.save();
  context.font = `${11 * devicePixelRatio}px ${getComputedStyle(plot).fontFamily}`;
  const widest = Math.max(...values.map((label) => context.measureText(label ?? "").width)) / devicePixelRatio;
  context.restore();
  return Math.max(40, Math.ceil(widest) + 12);
}

customElements.define("live-strip", LiveStrip);
