/** The dashboard's own live parts: cards that turn from empty to filled. */

import { store } from "../js/live.js";

store.on("quantity.", (changes) => {
  for (const [key, value] of changes) {
    const card = document.querySelector(`[data-quantity="${CSS.escape(key.slice("quantity.".length))}"]`);
    if (!card || !value) continue;
    card.dataset.accounts = String(value.accounts);
    if (value.accounts) card.dataset.history = "1";
  }
});
