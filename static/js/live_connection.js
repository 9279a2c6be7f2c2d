/**
 * What the page says about its own connection: <live-connection> in the top bar, <live-banner> above the page,
 * and two small live regions. They are empty at load; `role=status` gets at most one summary in 15 s, `role=alert`
 * only a new critical alert.
 */

import { ago, clock } from "./format.js";
import { store } from "./live.js";
import { writeStatus } from "./live_elements.js";

const SUMMARY_EVERY_ms = 15_000;

const WORDS = {
  connecting: ["unknown", "Connecting"],
  live: ["ok", "Live"],
  stale: ["warning", "Stale"],
  reconnecting: ["warning", "Reconnecting"],
  polling: ["info", "Polling"],
  closed: ["critical", "Signed out"],
};

const ENDINGS = { no_access: "No access", second_factor_needed: "Confirm" };

function wordsOf({ phase, paused, age_ms, reason }) {
  if (phase === "closed") return ["critical", ENDINGS[reason] ?? "Signed out"];
  const age = age_ms === null ? "" : ` · ${ago(age_ms).replace(" ago", "")}`;
  if (paused) return ["info", `Paused${age}`];
  const [level, word] = WORDS[phase] ?? WORDS.connecting;
  return [level, phase === "stale" || phase === "reconnecting" ? word + age : word];
}

/** The sentence for the worst trouble at hand, with its level; null when there is none. */
export function sentenceOf(connection) {
  const { phase, reason, redis, database, age_ms } = connection;
  const since = age_ms === null ? "" : ` The values shown are from ${clock(Date.now() - age_ms)} UTC.`;
  if (phase === "closed" && reason === "no_access") {
    return ["critical", "You no longer have access to this tenant. Ask its owner, or sign in as somebody else.", true];
  }
  if (phase === "closed" && reason === "second_factor_needed") {
    return ["warning", "Live values need your second factor. Load the page again and confirm that it is you.", false];
  }
  if (phase === "closed") return ["critical", "You are signed out, so this page no longer updates.", true];
  if (phase === "reconnecting") return ["warning", `The connection is lost; trying again by itself.${since}`];
  if (redis === "down") return ["critical", `Redis is down: live values have stopped and return by themselves.${since}`];
  if (database === "down") return ["critical", "The database does not answer: live values continue, but runs, alerts and acknowledgements cannot be saved until it is back."];
  if (phase === "stale") return ["warning", `No reading for more than 3 s: the collector is silent.${since}`];
  if (phase === "polling") return ["info", "The live socket cannot be reached, so this page asks for new values every 2 s."];
  return null;
}

class LiveConnection extends HTMLElement {
  #undo = null;

  connectedCallback() {
    const status = this.querySelector(".status");
    const button = this.querySelector("[data-pause]");
    button?.removeAttribute("hidden");
    button?.addEventListener("click", () => (store.connection.paused ? store.resume() : store.pause()));
    this.#undo = store.onConnection((connection) => {
      if (status) writeStatus(status, ...wordsOf(connection));
      if (button && button.getAttribute("aria-pressed") !== String(connection.paused)) {
        button.setAttribute("aria-pressed", String(connection.paused));
        const use = button.querySelector("use");
        use?.setAttribute("href", `${use.getAttribute("href").split("#")[0]}#${connection.paused ? "play" : "pause"}`);
        button.title = connection.paused ? "Resume live updates" : "Pause live updates";
      }
    });
  }

  disconnectedCallback() {
    this.#undo?.();
  }
}

/** Clones its <template> (a notice) and fills in the sentence; the sign-in link shows only when it helps. */
class LiveBanner extends HTMLElement {
  #undo = null;
  #notice = null;

  connectedCallback() {
    const template = this.querySelector("template");
    this.#undo = store.onConnection((connection) => {
      const trouble = sentenceOf(connection);
      if (!trouble) {
        this.#notice?.remove();
        this.#notice = null;
        return;
      }
      if (!this.#notice) {
        this.#notice = template.content.firstElementChild.cloneNode(true);
        this.append(this.#notice);
      }
      this.#write(trouble);
    });
  }

  disconnectedCallback() {
    this.#undo?.();
  }

  #write([level, sentence, signIn = false]) {
    this.#notice.dataset.level = level;
    const use = this.#notice.querySelector("use");
    const shape = `${use.getAttribute("href").split("#")[0]}#status-${level}`;
    if (use.getAttribute("href") !== shape) use.setAttribute("href", shape);
    const place = this.#notice.querySelector("[data-sentence]");
    if (place.textContent !== sentence) place.textContent = sentence;
    this.#notice.querySelector("[data-sign-in]").hidden = !signIn;
  }
}

/** The two regions that a screen reader hears. */
function startRegions() {
  const summary = document.querySelector("[data-live-summary]");
  const alarm = document.querySelector("[data-live-alarm]");
  if (!summary || !alarm) return;
  let waiting = null;
  let saidAt = -SUMMARY_EVERY_ms;
  let said = "";
  const trouble = { now: null };
  const say = () => {
    if (waiting === null || waiting === said || performance.now() - saidAt < SUMMARY_EVERY_ms) return;
    said = waiting;
    summary.textContent = waiting;
    saidAt = performance.now();
  };
  store.onConnection((connection) => {
    const sentence = connection.phase === "connecting" ? null : sentenceOf(connection)?.[1].split(" The values shown")[0] ?? null;
    if (sentence !== trouble.now) {
      waiting = sentence ?? "Live again.";
      trouble.now = sentence;
    }
  });
  setInterval(say, 1000);
  let known = null; // what the page showed at load is read with the page, not announced
  store.on("status", (changes) => {
    const sentence = changes.get("status")?.sentence ?? null;
    if (known !== null && sentence !== null && sentence !== known && !trouble.now) waiting = sentence;
    known = sentence ?? known;
  });
  const heard = new Set();
  store.onData("alert.", (changes, meta) => {
    for (const [key, alert] of changes) {
      const loud = alert?.severity === "critical" && alert.state === "FIRING";
      if (loud && !meta.first && !heard.has(key)) alarm.textContent = `Critical: ${alert.title}`;
      if (loud) heard.add(key);
    }
  });
}

/** The tab's title carries the number of firing alerts: "(2) Dashboard". */
function startTitle() {
  const plain = document.title;
  const write = () => {
    const firing = store.entries("alert.").filter(([, alert]) => alert?.state === "FIRING").length;
    const wanted = firing ? `(${firing}) ${plain}` : plain;
    if (document.title !== wanted) document.title = wanted;
  };
  store.onData("alert.", write);
}

customElements.define("live-connection", LiveConnection);
customElements.define("live-banner", LiveBanner);

export function startConnection() {
  startRegions();
  startTitle();
}
