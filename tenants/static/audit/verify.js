/**
 * Verify proof: recomputes, in this browser, the way from an entry to the signed heads (RFC 9162, SHA-256; C2SP
 * signed notes, Ed25519), and shows each step. What the server sends is taken as a claim and nothing else.
 *
 * Limits: the page itself comes from the same server. Whoever does not trust it verifies a bundle offline.
 */

const encoder = new TextEncoder();
const PARTS = ["actor", "details"];
// The last two lines of a leaf are the digests of what the parts held before they were sealed.
const DIGEST_LINE = { actor: 14, details: 15 };

class Refused extends Error {}

function check(holds, sentence) {
  if (!holds) throw new Refused(sentence);
}

function bytesOfHex(text) {
  check(/^([0-9a-f]{2})*$/.test(text), "A hash of the proof cannot be read.");
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

function bytesOfBase64(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

function hexOf(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function joined(...pieces) {
  const all = new Uint8Array(pieces.reduce((length, piece) => length + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}

async function sha256(...pieces) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", joined(...pieces)));
}

const leafHash = (data) => sha256(Uint8Array.of(0), data);
const nodeHash = (left, right) => sha256(Uint8Array.of(1), left, right);

/** RFC 9162 §2.1.3.2: yields each hash of a path and whether it stands to the left of ours. */
function* climb(index, size, path) {
  let place = BigInt(index);
  let final = BigInt(size) - 1n;
  check(place >= 0n && place <= final, "The leaf's number lies outside the tree.");
  for (const sibling of path) {
    check(final > 0n, "The path goes on past the root.");
    const left = (place & 1n) === 1n || place === final;
    yield [sibling, left];
    while (left && place > 0n && (place & 1n) === 0n) {
      place >>= 1n;
      final >>= 1n;
    }
    place >>= 1n;
    final >>= 1n;
  }
  check(final === 0n, "The path ends before the root.");
}

/** Returns the root that a path leads to, and tells each step. */
async function rootOf(leaf, index, size, path, tell) {
  let found = leaf;
  for (const [sibling, left] of climb(index, size, path.map(bytesOfHex))) {
    found = await (left ? nodeHash(sibling, found) : nodeHash(found, sibling));
    tell(`Joined with the subtree on the ${left ? "left" : "right"}, ${hexOf(sibling).slice(0, 8)}…`, found);
  }
  return found;
}

/** Takes a signed note apart: the text that is signed, and origin, size, root and time in it. */
function readHead(note) {
  const end = note.lastIndexOf("\n\n");
  check(end > 0, "A head is no signed note.");
  const text = note.slice(0, end + 1);
  const [origin, size, root, ...more] = text.split("\n");
  check(/^(0|[1-9][0-9]{0,18})$/.test(size ?? ""), "A head names no size.");
  const time = more.find((line) => line.startsWith("time "))?.slice(5) ?? "";
  return { text, origin, size, root: hexOf(bytesOfBase64(root)), time, lines: note.slice(end + 2).split("\n") };
}

/** Whether one of the note's signatures is of this key under the head's origin; null where the browser cannot tell. */
async function isSigned(head, publicKey) {
  const id = hexOf(await sha256(encoder.encode(`${head.origin}\n`), Uint8Array.of(1), publicKey)).slice(0, 8);
  const line = head.lines.find((each) => each.startsWith(`— ${head.origin} `) && hexOf(bytesOfBase64(each.split(" ")[2])).startsWith(id));
  if (!line) return false;
  let key;
  try {
    key = await crypto.subtle.importKey("raw", publicKey, { name: "Ed25519" }, false, ["verify"]);
  } catch {
    return null;
  }
  return crypto.subtle.verify({ name: "Ed25519" }, key, bytesOfBase64(line.split(" ")[2]).slice(4), encoder.encode(head.text));
}

async function checkSignature(head, what, publicKey, steps) {
  const signed = await isSigned(head, publicKey);
  check(signed !== false, `The signature of ${what} is wrong.`);
  if (signed) steps.add(`The signature of ${what} is right: ${head.size} leaves, ${head.time}.`);
  else steps.add(`This browser has no Ed25519, so the signature of ${what} was not checked. A bundle verified offline does it.`, null, "unknown");
  return signed;
}

async function verify(proof, shown, steps) {
  const lines = proof.data.split("\n");
  for (const [line, value] of Object.entries(shown.lines)) check(lines[line] === value, "The proof is of another entry than this page shows.");
  check(lines.length === 16 && Object.keys(shown.lines).length === 10, "The proof is of an entry of another form.");
  steps.add("The proof is of the entry that this page shows.");
  for (const name of PARTS) {
    const part = shown.parts[name];
    if (!part) {
      steps.add(`The ${name} part is not shown: its digest alone is proven.`, null, "unknown");
      continue;
    }
    const digest = await sha256(bytesOfHex(part.salt), encoder.encode(part.text));
    check(hexOf(digest) === lines[DIGEST_LINE[name]], `What the ${name} part shows is not what was logged.`);
    steps.add(`What the ${name} part shows has the digest that stands in the leaf.`, digest);
  }
  const leaf = await leafHash(encoder.encode(proof.data));
  steps.add(`The entry's values give this leaf hash, number ${proof.index}.`, leaf);

  const head = readHead(proof.head);
  const root = await rootOf(leaf, proof.index, head.size, proof.path, (text, hash) => steps.add(text, hash));
  check(hexOf(root) === head.root, "The path does not lead to the root of the head.");
  steps.add(`That is the root of ${head.origin}.`, root);
  const publicKey = bytesOfBase64(proof.key.split("+").slice(2).join("+")).slice(1);
  const signed = await checkSignature(head, "the head", publicKey, steps);

  const whole = readHead(proof.checkpoint);
  check(head.origin.startsWith(`${whole.origin}/`), "The global head is of another platform.");
  const headLeaf = await leafHash(encoder.encode(`aii/head/1\n${head.text}`));
  const top = await rootOf(headLeaf, proof.global_index, whole.size, proof.global_path, () => {});
  check(hexOf(top) === whole.root, "The head does not stand in the global tree.");
  steps.add(`The head stands in the global tree of ${whole.origin}, leaf ${proof.global_index} of ${whole.size}.`, top);
  const signedToo = await checkSignature(whole, "the global head", publicKey, steps);
  return { signed: signed && signedToo, key: proof.key };
}

// -- the page ----------------------------------------------------------------------------------------------------

const WORD = { ok: "OK", critical: "Failed", unknown: "Not checked" };

function element(name, className, text = "") {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

function iconOf(level) {
  const icon = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  icon.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `${sprite}#status-${level}`);
  icon.append(use);
  return icon;
}

function mark(level) {
  const status = element("span", "status");
  status.dataset.level = level;
  status.append(iconOf(level), element("span", "word", WORD[level]));
  return status;
}

const sprite = document.querySelector("svg.icon use")?.getAttribute("href")?.split("#")[0] ?? "";

class Steps {
  constructor(list) {
    this.list = list;
    list.replaceChildren();
  }

  add(text, hash = null, level = "ok") {
    const item = document.createElement("li");
    const says = element("div", "says");
    says.append(element("span", "", text), mark(level));
    item.append(says);
    if (hash) item.append(element("code", "hash mono", hexOf(hash)));
    this.list.append(item);
  }
}

function tell(place, level, text) {
  const notice = element("div", "notice");
  notice.dataset.level = level;
  notice.append(iconOf(level), element("div", "", text));
  place.replaceChildren(notice);
}

async function run(panel) {
  const verdict = panel.querySelector("[data-verdict]");
  const steps = new Steps(panel.querySelector("[data-steps]"));
  if (!globalThis.crypto?.subtle) {
    tell(verdict, "unknown", "Browsers compute hashes only on pages that came over HTTPS. Export a bundle and verify it offline.");
    return;
  }
  try {
    const response = await fetch(panel.dataset.proof, { headers: { Accept: "application/json" } });
    const proof = await response.json();
    check(response.ok, proof.detail ?? "The server sent no proof.");
    const shown = JSON.parse(document.getElementById("audit-claims").textContent);
    const found = await verify(proof, shown, steps);
    if (found.signed) tell(verdict, "ok", `Verified in this browser, with the key ${found.key}. Compare it with the one that you were given.`);
    else tell(verdict, "unknown", "Every hash is right. The signatures were not checked here.");
  } catch (problem) {
    const sentence = problem instanceof Refused ? problem.message : "The proof could not be fetched or read.";
    steps.add(sentence, null, "critical");
    tell(verdict, "critical", `Not verified. ${sentence}`);
  }
}

for (const panel of document.querySelectorAll("[data-proof]")) {
  const button = panel.querySelector("[data-verify]");
  if (!button) continue;
  panel.querySelector("[data-needs-script]").hidden = false;
  button.addEventListener("click", async () => {
    button.disabled = true;
    await run(panel);
    button.disabled = false;
  });
}
