/**
 * Loads the page again as soon as its run has ended, when the server knows every number of the result, and as soon as
 * there is something to show where a panel says that there is nothing yet.
 */

import { store } from "../js/live.js";

const FINAL = new Set(["DONE", "VIOLATED", "FAILED", "CANCELLED"]);
const ASK_ms = 2500;
const key = `run.${document.getElementById("run-script").dataset.run}`;

const undo = store.on(key, (changes) => {
  if (!FINAL.has(changes.get(key)?.state)) return;
  undo();
  location.reload();
});

const waiting = document.querySelector("[data-wait-for]");
if (waiting) {
  setInterval(async () => {
    if (document.hidden || store.connection.paused) return;
    const answer = await fetch(waiting.dataset.waitFor, { headers: { Accept: "application/json" }, cache: "no-store" }).catch(() => null);
    if (answer?.ok && Object.keys((await answer.json()).series).length) location.reload();
  }, ASK_ms);
}
