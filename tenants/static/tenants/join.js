/** Moves the code of an invitation from the address's fragment, which no server sees, into the form. */

const field = document.querySelector("#id_code");
const code = location.hash.slice(1);
if (field && code && !field.value) {
  field.value = code;
  history.replaceState(null, "", location.pathname);
  document.querySelector("#id_name")?.focus();
}
