/** Forms that a passkey fills in: <form data-passkey="create|get">. The options come with the page
 *  (#passkey-options) or, on the sign-in page, from data-options-url once the button is pressed.
 *  Without this script, or in a browser without passkeys, the forms stay hidden. */

const SENTENCES = {
  NotAllowedError: "The passkey was not used: the question was closed, or took too long. Try again.",
  InvalidStateError: "This device has a passkey for you here already.",
  SecurityError: "A passkey does not work at this address: it needs https.",
};

const toBytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const toText = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

/** Turns what the server wrote into what the browser takes: bytes where bytes belong. */
function decode({ publicKey }) {
  const withBytes = (list) => list?.map((each) => ({ ...each, id: toBytes(each.id) }));
  return {
    ...publicKey,
    challenge: toBytes(publicKey.challenge),
    ...(publicKey.user && { user: { ...publicKey.user, id: toBytes(publicKey.user.id) } }),
    ...(publicKey.excludeCredentials && { excludeCredentials: withBytes(publicKey.excludeCredentials) }),
    ...(publicKey.allowCredentials && { allowCredentials: withBytes(publicKey.allowCredentials) }),
  };
}

function encode(credential) {
  const { response } = credential;
  const parts = {};
  for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (response[name]) parts[name] = toText(response[name]);
  }
  return {
    id: credential.id,
    rawId: toText(credential.rawId),
    type: credential.type,
    response: parts,
    clientExtensionResults: credential.getClientExtensionResults(),
  };
}

async function optionsOf(form) {
  if (!form.dataset.optionsUrl) return JSON.parse(document.getElementById("passkey-options").textContent);
  const answer = await fetch(form.dataset.optionsUrl, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(`The server answered ${answer.status}.`);
  return answer.json();
}

async function fill(form) {
  const options = await optionsOf(form);
  if (form.dataset.passkey === "get") {
    const publicKey = decode(options.request_options);
    return encode(await navigator.credentials.get({ publicKey }));
  }
  const publicKey = decode(options.creation_options);
  // Found without a name being typed first, and unlocked by its owner.
  publicKey.authenticatorSelection = {
    ...publicKey.authenticatorSelection,
    residentKey: "required",
    requireResidentKey: true,
    userVerification: "required",
  };
  return encode(await navigator.credentials.create({ publicKey }));
}

function start(form) {
  const complaint = form.querySelector("[data-passkey-error]");
  form.hidden = false;
  form.addEventListener("submit", async (event) => {
    const field = form.elements.credential;
    if (field.value) return;
    event.preventDefault();
    complaint.hidden = true;
    try {
      field.value = JSON.stringify(await fill(form));
      form.submit();
    } catch (error) {
      complaint.textContent = SENTENCES[error.name] ?? "The passkey could not be used. Try again, or use a code.";
      complaint.hidden = false;
    }
  });
}

if (window.PublicKeyCredential) document.querySelectorAll("form[data-passkey]").forEach(start);
