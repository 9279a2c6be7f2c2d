/**
 * One Plotly figure per conserved quantity: the size of its error along the run, with its limit as a line.
 * The numbers come from the JSON script `#series`; the Data tab shows the same ones as a table.
 */

const series = JSON.parse(document.getElementById("series").textContent);

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
  return { title: { text: title, standoff: 8 }, gridcolor: grid, linecolor: grid, zerolinecolor: grid, automargin: true, exponentformat: "e", ...rest };
}

function draw(box) {
  const one = series[box.dataset.plot];
  const exact = one.law === "exact";
  const text = colour("--muted");
  const grid = colour("--grid");
  const size = (values) => values.map((value) => (exact || value !== 0 ? Math.abs(value) : null));
  const traces = [
    { name: "|error|", x: one.step, y: size(one.error), mode: one.step.length > 1 ? "lines" : "markers", line: { color: colour("--series-1"), width: 1.5 }, connectgaps: false },
    { name: "limit", x: one.step, y: size(one.limit), mode: "lines", line: { color: colour("--critical"), width: 1.5, dash: "dash" } },
  ];
  const layout = {
    height: 300, margin: { l: 8, r: 8, t: 8, b: 8 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", separators: ".\u202F",
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: text },
    xaxis: axis("step", grid, { exponentformat: "none", separatethousands: true }), yaxis: axis(`|error| (${one.unit})${exact ? "" : ", log axis"}`, grid, exact ? { rangemode: "tozero" } : { type: "log" }),
    legend: { orientation: "h", x: 0, y: 1.12 }, hovermode: "x unified", hoverlabel: { bgcolor: colour("--surface"), font: { color: colour("--text") } },
  };
  box.querySelector("[data-waiting]")?.remove();
  window.Plotly.react(box, traces, layout, { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["select2d", "lasso2d"] });
}

function drawAll() {
  for (const box of document.querySelectorAll("[data-plot]")) draw(box);
}

drawAll();
document.addEventListener("aii:theme", drawAll);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
