/** Fetches the list again when a run begins or ends: what has ended is shown from its row, not from a live value. */

import { store } from "../js/live.js";

const FINAL = new Set(["DONE", "VIOLATED", "FAILED", "CANCELLED"]);
let waiting = 0;

store.on("run.", (changes) => {
  const list = document.getElementById("run-list");
  const isNews = ([key, run]) => {
    const shown = list.querySelector(`[data-run="${CSS.escape(key.slice(4))}"]`)?.dataset.state;
    if (run === null) return false;
    return FINAL.has(run.state) ? shown && !FINAL.has(shown) : !shown && list.hasAttribute("data-newest");
  };
  if (!waiting && [...changes].some(isNews)) {
    waiting = setTimeout(() => {
      waiting = 0;
      window.htmx.trigger("#run-list", "aii:runs");
    }, 300);
  }
});
