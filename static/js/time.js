/**
 * <time datetime="…"> shows relative plus absolute UTC: "3 min ago · 14:03:07 UTC".
 * `data-only="relative"` or `data-only="absolute"` shows one; the other stays in the title.
 */

import { ago, clock, day } from "./format.js";

const SECOND_ms = 1000;

function absolute(instant_ms) {
  const today = day(Date.now()) === day(instant_ms);
  return today ? `${clock(instant_ms)} UTC` : `${day(instant_ms)}, ${clock(instant_ms).slice(0, 5)} UTC`;
}

/** Write one <time> element from its datetime attribute. A time that cannot be read is left as it is. */
export function writeTime(element) {
  const instant_ms = Date.parse(element.dateTime);
  if (Number.isNaN(instant_ms)) return;
  const relative = ago(Date.now() - instant_ms);
  const full = `${day(instant_ms)}, ${clock(instant_ms)} UTC`;
  const only = element.dataset.only;
  const wanted = only === "relative" ? relative : only === "absolute" ? absolute(instant_ms) : `${relative} · ${absolute(instant_ms)}`;
  if (element.textContent !== wanted) element.textContent = wanted;
  if (element.title !== full) element.title = full;
}

function writeAll() {
  if (document.hidden) return;
  for (const element of document.querySelectorAll("time[datetime]")) writeTime(element);
  const now = clock(Date.now());
  for (const element of document.querySelectorAll("[data-clock]")) element.textContent = `${now} UTC`;
}

export function startTime() {
  writeAll();
  setInterval(writeAll, SECOND_ms);
  document.addEventListener("visibilitychange", writeAll);
  document.addEventListener("htmx:after:swap", writeAll);
}
