/** Loads the page again as soon as its run has ended: the server then knows every number of the result. */

import { store } from "../js/live.js";

const FINAL = new Set(["DONE", "VIOLATED", "FAILED", "CANCELLED"]);
const key = `run.${document.getElementById("run-script").dataset.run}`;

const undo = store.on(key, (changes) => {
  if (!FINAL.has(changes.get(key)?.state)) return;
  undo();
  location.reload();
});
