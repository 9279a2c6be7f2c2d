/**
 * <live-table prefix="node."> and <live-list prefix="alert.">: rows kept in step with the keys of a prefix.
 *
 * The first <template> inside holds one row. A row that the server rendered carries data-key; it is adopted, not
 * rebuilt, so focus and open menus stay. Bindings inside a row (all optional):
 *   data-field="latency_ms"  text, or a number with data-format / data-unit / data-digits / data-unit-field
 *   data-status-field="state"  a .status follows the field          data-progress-field="progress"  a <progress>
 *   data-time-field="opened_t" a <time>                              data-href-field="url"  a path on this host only
 *   data-show-if="state=FIRING,ACKNOWLEDGED"  hidden otherwise       data-action="/alerts/{id}/acknowledge/"  form or hx-post
 * Attributes of the element: filter="state=FIRING", sort="opened_t", order="desc", limit="20".
 */

import { writeTime } from "./time.js";
import { filterOf, formatOf, writeNumber, writeStatus } from "./live_elements.js";
import { store } from "./live.js";

const ID = /\{(\w+)\}/g;

/** Only a path on this host: never "//elsewhere", never "javascript:". */
function safePath(path) {
  return typeof path === "string" && /^\/(?![/\\])/.test(path) ? path : null;
}

function own(value, field) {
  return value && Object.hasOwn(value, field) ? value[field] : null;
}

const BINDINGS = {
  field(element, value) {
    const raw = own(value, element.dataset.field);
    if (element.dataset.format && element.dataset.format !== "text") {
      const options = formatOf(element, "data-");
      const unit = own(value, element.dataset.unitField ?? "");
      if (typeof unit === "string") options.unit = unit;
      writeNumber(element, raw, options);
      return;
    }
    const wanted = raw === null || raw === "" ? element.dataset.absent ?? "–" : String(raw);
    if (element.textContent !== wanted) element.textContent = wanted;
  },
  statusField(element, value) {
    const status = element.matches(".status") ? element : element.querySelector(".status");
    if (status) writeStatus(status, own(value, element.dataset.statusField));
  },
  progressField(element, value) {
    const done = Number(own(value, element.dataset.progressField));
    if (Number.isFinite(done)) element.value = Math.min(1, Math.max(0, done)) * (element.max || 1);
  },
  timeField(element, value) {
    const instant_ms = own(value, element.dataset.timeField);
    element.hidden = !Number.isFinite(instant_ms);
    if (element.hidden) return;
    const iso = new Date(instant_ms).toISOString();
    if (element.dateTime !== iso) element.dateTime = iso;
    writeTime(element);
  },
  hrefField(element, value) {
    const path = safePath(own(value, element.dataset.hrefField));
    if (path === null) element.removeAttribute("href");
    else if (element.getAttribute("href") !== path) element.setAttribute("href", path);
  },
  showIf(element, value) {
    element.hidden = !filterOf(element.dataset.showIf)(value);
  },
  action(element, value) {
    const path = element.dataset.action.replace(ID, (_, field) => encodeURIComponent(String(own(value, field) ?? "")));
    const name = element.hasAttribute("hx-post") ? "hx-post" : element.matches("form") ? "action" : "formaction";
    if (safePath(path) && element.getAttribute(name) !== path) element.setAttribute(name, path);
  },
};
const SELECTORS = Object.keys(BINDINGS).map((name) => [name, `[data-${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}]`]);

function writeRow(row, value) {
  for (const [name, selector] of SELECTORS) {
    if (row.matches(selector)) BINDINGS[name](row, value);
    for (const element of row.querySelectorAll(selector)) BINDINGS[name](element, value);
  }
}

class LiveRows extends HTMLElement {
  #undo = null;
  #prefix = "";
  #rows = new Map();

  connectedCallback() {
    this.template = this.querySelector("template");
    this.body = this.querySelector("tbody, [data-rows]") ?? this;
    this.empty = this.querySelector("[data-empty]");
    this.whenFilled = this.querySelectorAll("[data-filled]");
    this.#prefix = this.getAttribute("prefix") ?? "";
    this.passes = filterOf(this.getAttribute("filter"));
    for (const row of this.body.querySelectorAll(":scope > [data-key]")) this.#rows.set(row.dataset.key, row);
    if (store.ready) this.#write(new Map(store.entries(this.#prefix)));
    this.#undo = store.on(this.#prefix, (changes) => this.#write(changes));
  }

  disconnectedCallback() {
    this.#undo?.();
  }

  #write(changes) {
    for (const [key, value] of changes) {
      if (value === null || !this.passes(value)) this.#remove(key);
      else this.#put(key, value);
    }
    // A row that the server rendered may be gone by the time of the first picture.
    for (const key of [...this.#rows.keys()]) if (store.get(key) === null) this.#remove(key);
    this.#arrange();
    const filled = this.#rows.size > 0;
    if (this.empty) this.empty.hidden = filled;
    for (const element of this.whenFilled) element.hidden = !filled;
  }

  #put(key, value) {
    let row = this.#rows.get(key);
    if (!row) {
      row = this.template.content.firstElementChild.cloneNode(true);
      row.dataset.key = key;
      this.#rows.set(key, row);
      writeRow(row, value);
      this.body.append(row);
      globalThis.htmx?.process(row);
    } else {
      writeRow(row, value);
    }
  }

  #remove(key) {
    const row = this.#rows.get(key);
    if (!row) return;
    const hadFocus = row.contains(document.activeElement);
    const next = row.nextElementSibling ?? row.previousElementSibling;
    row.remove();
    this.#rows.delete(key);
    if (hadFocus) next?.querySelector("a, button, [tabindex]")?.focus();
  }

  /** Order and cut the rows. A row is moved only when it stands in the wrong place. */
  #arrange() {
    const sort = this.getAttribute("sort");
    const keys = [...this.#rows.keys()];
    if (sort) keys.sort((one, other) => compare(own(store.get(one), sort), own(store.get(other), sort)));
    if (this.getAttribute("order") === "desc") keys.reverse();
    const limit = Number(this.getAttribute("limit") ?? Infinity);
    let place = this.body.querySelector(":scope > [data-key]");
    keys.forEach((key, index) => {
      const row = this.#rows.get(key);
      row.hidden = index >= limit;
      if (!sort) return;
      if (row === place) place = nextRow(place);
      else this.body.insertBefore(row, place);
    });
  }
}

function nextRow(row) {
  let next = row.nextElementSibling;
  while (next && next.dataset.key === undefined) next = next.nextElementSibling;
  return next;
}

function compare(one, other) {
  if (one === other) return 0;
  if (one === null || one === undefined) return 1;
  if (other === null || other === undefined) return -1;
  if (typeof one === "number" && typeof other === "number") return one - other;
  return String(one).localeCompare(String(other), "en", { numeric: true });
}

customElements.define("live-table", class extends LiveRows {});
customElements.define("live-list", class extends LiveRows {});
