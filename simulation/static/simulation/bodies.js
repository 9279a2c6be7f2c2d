/**
 * The bodies of a run in three dimensions, on a plain canvas: turned by drag, arrow keys and buttons,
 * zoomed by wheel, + and −. Nothing moves by itself; a running run brings a new picture with each
 * checkpoint. The frame's layout is that of `simulation/frames.py`.
 */

import { ago, scientific } from "../js/format.js";
import { store } from "../js/live.js";

const MAGIC = 0x46494941; // "AIIF", little-endian
const VERSION = 1;
const POLL_ms = matchMedia("(prefers-reduced-motion: reduce)").matches ? 5000 : 2500;
const TURN_rad = Math.PI / 36;
const ZOOM = 1.25;
const START = { yaw: 0.5, tilt: 0.9, zoom: 1 };
// Depth in few shades: far bodies first and fainter.
const SHADES = 4;

const box = document.querySelector("[data-bodies]");
const canvas = box.querySelector("canvas");
const names = JSON.parse(document.getElementById("body-names").textContent);
const note = document.querySelector("[data-bodies-note]");
const grouped = new Intl.NumberFormat("en-GB");
const count = (number) => grouped.format(number).replaceAll(",", "\u202F");

let view = { ...START };
let frame = null;
let extent = 1;
let etag = "";
let failed = "";
let colours = null;
let drawing = 0;

/** The numbers of a frame, or an Error in words. */
function decode(buffer) {
  const header = new DataView(buffer);
  if (buffer.byteLength < 48 || header.getUint32(0, true) !== MAGIC || header.getUint16(4, true) !== VERSION) {
    throw new Error("The picture's format is not known to this page. Load it again.");
  }
  const start = header.getUint16(6, true);
  const shown = header.getUint32(20, true);
  return {
    step: Number(header.getBigUint64(8, true)),
    bodies: header.getUint32(16, true),
    shown,
    scale_m: header.getFloat64(24, true),
    at_ms: header.getFloat64(40, true) * 1000,
    positions: new Float32Array(buffer, start, 3 * shown),
  };
}

/** The radius that holds all of few bodies, or most of many: one that escaped does not shrink the others. */
function extentOf({ positions, shown }) {
  const radii = new Float64Array(shown);
  for (let i = 0; i < shown; i += 1) radii[i] = Math.hypot(positions[3 * i], positions[3 * i + 1], positions[3 * i + 2]);
  radii.sort();
  const radius = shown <= 64 ? radii[shown - 1] : 1.2 * radii[Math.floor(0.95 * (shown - 1))];
  return radius > 0 ? 1.1 * radius : 1;
}

function findColours() {
  const probe = document.body.appendChild(document.createElement("span"));
  probe.hidden = true;
  const colour = (token) => {
    probe.style.color = `var(${token})`;
    return getComputedStyle(probe).color;
  };
  colours = { body: colour("--series-1"), text: colour("--text"), muted: colour("--muted") };
  probe.remove();
}

/** The axes of the screen in the axes of the bodies: right, up and towards the eye. */
function axes() {
  const [c, s] = [Math.cos(view.yaw), Math.sin(view.yaw)];
  const [u, v] = [Math.sin(view.tilt), Math.cos(view.tilt)];
  return { right: [c, -s, 0], up: [u * s, u * c, v], near: [-v * s, -v * c, u] };
}

const dot = (a, p, i) => a[0] * p[3 * i] + a[1] * p[3 * i + 1] + a[2] * p[3 * i + 2];

function drawSoon() {
  if (!drawing) drawing = requestAnimationFrame(draw);
}

function draw() {
  drawing = 0;
  if (!frame) return;
  if (!colours) findColours();
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  pen.font = `12px ${getComputedStyle(document.body).fontFamily}`;
  const pixels = (view.zoom * 0.5 * Math.min(width, height)) / extent;
  drawBodies(pen, width, height, pixels);
  drawScale(pen, height, width, pixels);
  drawAxes(pen, width, height);
}

function drawBodies(pen, width, height, pixels) {
  const { positions, shown } = frame;
  const { right, up, near } = axes();
  const size = shown <= 64 ? 4 : shown <= 2000 ? 2 : 0.75;
  // Of many bodies the dense places shall stand out.
  const faintest = shown <= 2000 ? 0.4 : 0.2;
  const shades = Array.from({ length: SHADES }, () => []);
  for (let i = 0; i < shown; i += 1) {
    const x = width / 2 + pixels * dot(right, positions, i);
    const y = height / 2 - pixels * dot(up, positions, i);
    if (x < -9 || y < -9 || x > width + 9 || y > height + 9) continue;
    const depth = 0.5 + dot(near, positions, i) / (2 * extent);
    shades[Math.min(SHADES - 1, Math.max(0, Math.floor(SHADES * depth)))].push(x, y, i);
  }
  pen.fillStyle = colours.body;
  shades.forEach((points, shade) => {
    pen.globalAlpha = faintest + (0.6 * (shade + 1)) / SHADES;
    for (let k = 0; k < points.length; k += 3) {
      if (shown > 2000) {
        pen.fillRect(points[k] - size, points[k + 1] - size, 2 * size, 2 * size);
      } else {
        pen.beginPath();
        pen.arc(points[k], points[k + 1], size, 0, 2 * Math.PI);
        pen.fill();
      }
    }
  });
  pen.globalAlpha = 1;
  if (names.length) writeNames(pen, shades.flat());
}

/** Names beside their bodies; one that would cover another is left out until there is room. */
function writeNames(pen, points) {
  const taken = [];
  pen.fillStyle = colours.text;
  pen.textBaseline = "middle";
  for (let k = points.length - 3; k >= 0; k -= 3) {
    const name = names[points[k + 2]];
    const [x, y, wide] = [points[k] + 8, points[k + 1], pen.measureText(name).width];
    if (taken.some(([a, b, w]) => Math.abs(b - y) < 14 && x < a + w && a < x + wide)) continue;
    taken.push([x, y, wide]);
    pen.fillText(name, x, y);
  }
}

/** A bar of 1, 2 or 5 times a power of ten metres. */
function drawScale(pen, height, width, pixels) {
  const widest_m = (0.3 * width * frame.scale_m) / pixels;
  const power = 10 ** Math.floor(Math.log10(widest_m));
  const length_m = power * ([5, 2, 1].find((each) => each * power <= widest_m) ?? 1);
  const long = (length_m / frame.scale_m) * pixels;
  pen.strokeStyle = pen.fillStyle = colours.muted;
  pen.lineWidth = 1.5;
  pen.beginPath();
  pen.moveTo(16, height - 20);
  pen.lineTo(16, height - 16);
  pen.lineTo(16 + long, height - 16);
  pen.lineTo(16 + long, height - 20);
  pen.stroke();
  pen.textBaseline = "bottom";
  pen.fillText(`${scientific(length_m, 1)} m`, 16, height - 22);
}

function drawAxes(pen, width, height) {
  const { right, up } = axes();
  pen.textBaseline = "middle";
  ["x", "y", "z"].forEach((letter, i) => {
    const [x, y] = [width - 40, height - 40];
    pen.beginPath();
    pen.moveTo(x, y);
    pen.lineTo(x + 22 * right[i], y - 22 * up[i]);
    pen.stroke();
    pen.fillText(letter, x + 29 * right[i] - 3, y - 29 * up[i]);
  });
}

/** What the picture is: the step, and how long ago it was kept. */
function writeNote() {
  if (failed) note.textContent = failed;
  else if (frame) note.textContent = `Step ${count(frame.step)} of ${count(box.dataset.steps)}, kept ${ago(Date.now() - frame.at_ms)}`;
}

function writeTable() {
  const step = document.querySelector("[data-bodies-step]");
  if (step) step.textContent = count(frame.step);
  document.querySelectorAll(".bodies-table tbody tr").forEach((row, i) => {
    row.querySelectorAll("td").forEach((cell, axis) => {
      cell.textContent = scientific(frame.positions[3 * i + axis] * frame.scale_m, 6);
    });
  });
}

function show(buffer) {
  const isFirst = !frame;
  frame = decode(buffer);
  if (isFirst) {
    extent = extentOf(frame);
    box.querySelector("[data-bodies-waiting]").remove();
    for (const part of box.querySelectorAll("[hidden]")) part.hidden = false;
  }
  const some = frame.shown < frame.bodies ? `, ${count(frame.shown)} of them drawn` : "";
  canvas.setAttribute("aria-label", `3-D view of ${count(frame.bodies)} bodies${some}, step ${count(frame.step)}`);
  writeTable();
  drawSoon();
}

/** Fetch the last kept frame; the server answers 304 with nothing where it has not changed. */
async function load() {
  try {
    const answer = await fetch(box.dataset.src, { headers: { Accept: "application/octet-stream", ...(etag && { "If-None-Match": etag }) }, cache: "no-store" });
    if (answer.status === 200) {
      show(await answer.arrayBuffer());
      etag = answer.headers.get("ETag") ?? "";
    } else if (answer.status !== 304 && answer.status !== 404) {
      throw new Error(answer.status === 403 || answer.status === 401 ? "You are signed out: this picture is the last one." : "The server does not answer: this picture is the last one.");
    }
    failed = "";
  } catch (error) {
    failed = error instanceof TypeError ? "Not connected: this picture is the last one." : error.message;
  }
  writeNote();
}

function act(key) {
  if (key === "ArrowLeft") view.yaw -= TURN_rad;
  else if (key === "ArrowRight") view.yaw += TURN_rad;
  else if (key === "ArrowUp") view.tilt += TURN_rad;
  else if (key === "ArrowDown") view.tilt -= TURN_rad;
  else if (key === "+" || key === "=") view.zoom *= ZOOM;
  else if (key === "-") view.zoom /= ZOOM;
  else if (key === "0") reset();
  else return false;
  limit();
  return true;
}

function reset() {
  view = { ...START };
  if (frame) extent = extentOf(frame);
}

function limit() {
  view.tilt = Math.min(Math.PI / 2, Math.max(-Math.PI / 2, view.tilt));
  view.zoom = Math.min(1e4, Math.max(0.05, view.zoom));
  drawSoon();
}

canvas.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !act(event.key)) return;
  event.preventDefault();
  event.stopPropagation();
});
canvas.addEventListener("wheel", (event) => {
  // The page scrolls past a picture that was not asked to zoom.
  if (document.activeElement !== canvas) return;
  event.preventDefault();
  view.zoom *= Math.exp(-0.0015 * event.deltaY);
  limit();
}, { passive: false });
canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  canvas.focus({ preventScroll: true });
});
canvas.addEventListener("pointermove", (event) => {
  if (!canvas.hasPointerCapture(event.pointerId)) return;
  view.yaw += 0.01 * event.movementX;
  view.tilt += 0.01 * event.movementY;
  limit();
});
for (const button of box.querySelectorAll("[data-act]")) button.addEventListener("click", () => act(button.dataset.act));
const recolour = () => {
  colours = null;
  drawSoon();
};
document.addEventListener("aii:theme", recolour);
new ResizeObserver(drawSoon).observe(canvas);
setInterval(writeNote, 1000);

await load();
if (box.hasAttribute("data-live")) {
  const loadIfSeen = () => document.hidden || store.connection.paused || load();
  setInterval(loadIfSeen, POLL_ms);
  document.addEventListener("visibilitychange", loadIfSeen);
}
