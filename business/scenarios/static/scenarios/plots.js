/**
 * The plots of a scenario: cash flow, fan, tornado, histogram. The numbers come from the JSON script `#charts`; the
 * tables below the plots show the same ones.
 */

const data = JSON.parse(document.getElementById("charts").textContent);

/** The computed colour of a token; the probe resolves light-dark() and forced colours. */
function colour(token) {
  const probe = document.body.appendChild(document.createElement("span"));
  probe.hidden = true;
  probe.style.color = `var(${token})`;
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

function layout(rest) {
  const grid = colour("--grid");
  const axis = { gridcolor: grid, linecolor: grid, zerolinecolor: colour("--line-strong"), automargin: true };
  const { xaxis, yaxis, ...others } = rest;
  return {
    height: 320, margin: { l: 8, r: 16, t: 8, b: 8 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", separators: ".\u202F",
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: colour("--muted") },
    xaxis: { ...axis, ...xaxis }, yaxis: { ...axis, ...yaxis },
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" }, hoverlabel: { bgcolor: colour("--surface"), font: { color: colour("--text") } },
    ...others,
  };
}

const title = (text) => ({ title: { text, standoff: 10 } });
const COLOURS = ["--series-1", "--series-3", "--series-4", "--ok", "--maintenance"];

function flow(box) {
  const bars = Object.entries(data.benefits).map(([name, y], i) => ({ type: "bar", name, x: data.years, y, marker: { color: colour(COLOURS[i]) } }));
  const costs = Object.entries(data.costs).map(([name, y], i) => ({ type: "bar", name, x: data.years, y, marker: { color: colour("--series-2"), opacity: i ? 0.55 : 1 } }));
  const tax = data.tax.some((value) => value) ? [{ type: "bar", name: "Tax", x: data.years, y: data.tax, marker: { color: colour("--unknown") } }] : [];
  const sum = { type: "scatter", mode: "lines+markers", name: "Running sum", x: data.years, y: data.cumulative, line: { color: colour("--text"), width: 2 } };
  return [[...bars, ...costs, ...tax, sum], layout({ barmode: "relative", height: box.clientWidth < 480 ? 460 : 340, xaxis: { ...title("year"), dtick: data.years.length > 12 ? 5 : 1 }, yaxis: { ...title(data.currency), tickformat: "~s" }, hovermode: "x unified" })];
}

function fan() {
  const x = data.fan.map((row) => row.year);
  const line = (key, name, rest) => ({ type: "scatter", mode: "lines", name, x, y: data.fan.map((row) => row[key]), line: { width: 1, color: colour("--series-1"), ...rest.line }, ...rest });
  const band = { fill: "tonexty", fillcolor: colour("--series-fill") };
  return [
    [line("p05", "P5", { line: { dash: "dot", width: 1, color: colour("--series-1") } }), line("p10", "P10", band), line("p50", "P50", { ...band, line: { width: 2.5, color: colour("--series-1") } }), line("p90", "P90", band), line("p95", "P95", { ...band, line: { dash: "dot", width: 1, color: colour("--series-1") } })],
    layout({ xaxis: { ...title("year"), dtick: x.length > 12 ? 5 : 1 }, yaxis: { ...title(data.currency), tickformat: "~s" }, hovermode: "x unified" }),
  ];
}

function tornado(box) {
  const bars = [...data.tornado].reverse();
  // Long names of inputs are cut for the axis; the table has them whole.
  const most = box.clientWidth < 480 ? 18 : 34;
  const y = bars.map((_, i) => i);
  const names = bars.map(({ title: text }) => (text.length > most ? `${text.slice(0, most - 1)}…` : text));
  const side = (key, name, token) => ({ type: "bar", orientation: "h", name, y, base: data.npv, x: bars.map((bar) => bar[key] - data.npv), customdata: bars.map((bar) => [bar.title, bar[key]]), hovertemplate: "%{customdata[0]}: %{customdata[1]:,.0f}", marker: { color: colour(token) } });
  return [
    [side("npv_at_low", "input at its P10", "--series-2"), side("npv_at_high", "input at its P90", "--series-1")],
    layout({ barmode: "overlay", height: Math.max(320, 60 + 26 * bars.length), xaxis: { ...title(`net present value, ${data.currency}`), tickformat: "~s" }, yaxis: { tickmode: "array", tickvals: y, ticktext: names }, shapes: [{ type: "line", x0: data.npv, x1: data.npv, yref: "paper", y0: 0, y1: 1, line: { color: colour("--text"), width: 1 } }] }),
  ];
}

function histogram() {
  const { edges, counts } = data.histogram;
  const x = counts.map((_, i) => (edges[i] + edges[i + 1]) / 2);
  const losing = colour("--critical");
  const gaining = colour("--series-1");
  return [
    [{ type: "bar", x, y: counts, width: edges[1] - edges[0], marker: { color: x.map((value) => (value < 0 ? losing : gaining)) }, hovertemplate: "%{x:,.0f}: %{y} trials<extra></extra>" }],
    layout({ bargap: 0, xaxis: { ...title(`net present value, ${data.currency}; red: a loss`), tickformat: "~s" }, yaxis: title("trials") }),
  ];
}

const PLOTS = { flow, fan, tornado, histogram };

function drawAll() {
  for (const box of document.querySelectorAll("[data-plot]")) {
    const [traces, shape] = PLOTS[box.dataset.plot](box);
    box.querySelector("[data-waiting]")?.remove();
    window.Plotly.react(box, traces, shape, { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["select2d", "lasso2d"] });
  }
}

drawAll();
document.addEventListener("aii:theme", drawAll);
