/**
 * Menus, dialogs, notices and keys of every page. Works on server-rendered markup by data attributes:
 *   details.menu           closes on Escape, on a click elsewhere, and moves by arrow keys
 *   data-dialog-open="id"  opens <dialog id>;  data-dialog-close  closes the one around it
 *   data-confirm="text"    an input that must hold exactly this text before its form is sent
 *   data-dismiss           removes the .notice around it
 *   data-search            the field that "/" focuses;  data-row  rows that j and k walk
 *   data-acknowledge       the button that "a" presses in the current row, or the first one of the page
 */

const KEYS_SETTING = "aii.single_keys";
const CHORD_ms = 1200;
const GO_TO = { d: "/", r: "/runs/", n: "/runs/new/", a: "/alerts/", m: "/members/", l: "/audit/", b: "/roi/" };

let chordAt = 0;

function keysAreOn() {
  try {
    return localStorage.getItem(KEYS_SETTING) !== "off";
  } catch {
    return true; // storage may be forbidden; the keys then just cannot be remembered as off
  }
}

function setKeys(on) {
  try {
    localStorage.setItem(KEYS_SETTING, on ? "on" : "off");
  } catch {
    // see keysAreOn
  }
}

function isTyping(target) {
  return target instanceof Element && target.closest("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]") !== null;
}

function openDialog(id) {
  const dialog = document.getElementById(id);
  if (dialog instanceof HTMLDialogElement && !dialog.open) dialog.showModal();
}

// -- rows ---------------------------------------------------------------------------------------------

function walkRows(step) {
  const rows = [...document.querySelectorAll("[data-row]")].filter((row) => row.offsetParent !== null);
  if (!rows.length) return;
  const here = rows.findIndex((row) => row.contains(document.activeElement) || row.getAttribute("aria-current") === "true");
  const next = rows[Math.min(rows.length - 1, Math.max(0, here + step))];
  for (const row of rows) row.removeAttribute("aria-current");
  next.setAttribute("aria-current", "true");
  next.tabIndex = -1;
  next.focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
}

function acknowledge() {
  const row = document.querySelector('[data-row][aria-current="true"]') ?? document;
  const button = [...row.querySelectorAll("[data-acknowledge]")].find((candidate) => candidate.offsetParent !== null);
  button?.click();
}

const SINGLE_KEYS = {
  "/": () => (document.querySelector("[data-search]") ?? document.querySelector("input[type=search]"))?.focus(),
  "?": () => openDialog("keys"),
  j: () => walkRows(1),
  k: () => walkRows(-1),
  a: acknowledge,
  Enter: () => document.querySelector('[data-row][aria-current="true"] a[href]')?.click(),
};

function onKey(event) {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (!keysAreOn() || isTyping(event.target) || document.querySelector("dialog:modal")) return;
  const chord = performance.now() - chordAt < CHORD_ms;
  chordAt = 0;
  if (chord && event.key in GO_TO) {
    event.preventDefault();
    location.assign(GO_TO[event.key]);
  } else if (event.key === "g") {
    chordAt = performance.now();
  } else if (Object.hasOwn(SINGLE_KEYS, event.key)) {
    if (event.key === "Enter" && !event.target.matches?.("[data-row]")) return;
    event.preventDefault();
    SINGLE_KEYS[event.key]();
  }
}

// -- menus ------------------------------------------------------------------------------------------------

function closeMenus(except) {
  for (const menu of document.querySelectorAll("details.menu[open]")) if (menu !== except) menu.open = false;
}

function onMenuKey(event) {
  const menu = event.target.closest?.("details.menu");
  if (!menu) return;
  const items = [...menu.querySelectorAll(".panel :is(a, button, input):not([disabled])")];
  const here = items.indexOf(document.activeElement);
  if (event.key === "Escape" && menu.open) {
    menu.open = false;
    menu.querySelector("summary").focus();
  } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    if (!items.length) return;
    menu.open = true;
    const step = event.key === "ArrowDown" ? 1 : -1;
    items[(here + step + items.length) % items.length].focus();
  } else if ((event.key === "Home" || event.key === "End") && here >= 0) {
    items.at(event.key === "Home" ? 0 : -1).focus();
  } else {
    return;
  }
  event.preventDefault();
}

// -- clicks and forms -----------------------------------------------------------------------------------------

function onClick(event) {
  const target = event.target instanceof Element ? event.target : null;
  if (!target) return;
  closeMenus(target.closest("details.menu"));
  const opener = target.closest("[data-dialog-open]");
  if (opener) openDialog(opener.dataset.dialogOpen);
  if (target.closest("[data-dialog-close]")) target.closest("dialog")?.close();
  if (target.matches("dialog") && event.target === target) closeOnScrim(target, event);
  if (target.closest("[data-dismiss]")) target.closest(".notice")?.remove();
  const copier = target.closest("[data-copy]");
  if (copier) copy(copier);
}

/** A click outside the dialog's box closes it, except where it asks for a confirmation. */
function closeOnScrim(dialog, event) {
  const box = dialog.getBoundingClientRect();
  const inside = event.clientX >= box.left && event.clientX <= box.right && event.clientY >= box.top && event.clientY <= box.bottom;
  if (!inside && !dialog.querySelector("[data-confirm]")) dialog.close();
}

async function copy(button) {
  await navigator.clipboard.writeText(button.dataset.copy);
  const word = button.querySelector("[data-copy-word]");
  if (!word) return;
  const before = word.textContent;
  word.textContent = "Copied";
  setTimeout(() => { word.textContent = before; }, 1500);
}

function checkConfirmation(input) {
  const right = input.value.trim() === input.dataset.confirm;
  input.setCustomValidity(right ? "" : `Type “${input.dataset.confirm}” to confirm.`);
}

/** A second click on the same submit button must not send the form twice. */
function onSubmit(event) {
  const form = event.target;
  if (form.method === "dialog" || event.defaultPrevented) return;
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  if (form.method === "post" && !form.closest("[hx-post]") && !form.hasAttribute("hx-post")) {
    form.dataset.sent = "1";
    setTimeout(() => delete form.dataset.sent, 8000);
  }
}

function startKeysSwitch() {
  for (const box of document.querySelectorAll("[data-keys-switch]")) {
    box.checked = keysAreOn();
    box.addEventListener("change", () => setKeys(box.checked));
  }
}

/** A table that is wider than its box must be reachable by keyboard; the others must not be tab stops. */
function markScrollers() {
  for (const box of document.querySelectorAll(".table-box")) {
    const scrolls = box.scrollWidth > box.clientWidth + 1 || box.scrollHeight > box.clientHeight + 1;
    box.toggleAttribute("tabindex", scrolls);
    if (scrolls) box.tabIndex = 0;
    box.toggleAttribute("role", scrolls);
    if (scrolls) {
      box.setAttribute("role", "group");
      box.setAttribute("aria-label", box.querySelector("caption")?.textContent.trim() || "Table");
    } else {
      box.removeAttribute("aria-label");
    }
  }
}

export function startShell() {
  document.addEventListener("click", onClick);
  document.addEventListener("keydown", onMenuKey);
  document.addEventListener("keydown", onKey);
  document.addEventListener("submit", onSubmit);
  document.addEventListener("focusout", (event) => {
    const menu = event.target.closest?.("details.menu[open]");
    if (menu && event.relatedTarget && !menu.contains(event.relatedTarget)) menu.open = false;
  });
  document.addEventListener("input", (event) => event.target.dataset?.confirm && checkConfirmation(event.target));
  for (const input of document.querySelectorAll("[data-confirm]")) checkConfirmation(input);
  addEventListener("pageshow", (event) => {
    if (event.persisted) for (const form of document.forms) delete form.dataset.sent;
  });
  startKeysSwitch();
  markScrollers();
  addEventListener("resize", markScrollers);
  document.addEventListener("toggle", markScrollers, true);
}
