/**
 * The theme switch. The server prints the choice into <html data-theme> from the cookie, so no page flashes;
 * this module only changes both.
 */

const CHOICES = ["light", "dark", "system"];

function choose(theme) {
  document.documentElement.dataset.theme = theme;
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `aii_theme=${theme}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
  mark();
  document.dispatchEvent(new CustomEvent("aii:theme"));
}

function mark() {
  const current = document.documentElement.dataset.theme || "system";
  for (const button of document.querySelectorAll("[data-theme-choice]")) {
    button.setAttribute("aria-pressed", String(button.dataset.themeChoice === current));
  }
}

export function startTheme() {
  mark();
  document.addEventListener("click", (event) => {
    const theme = event.target.closest?.("[data-theme-choice]")?.dataset.themeChoice;
    if (CHOICES.includes(theme)) choose(theme);
  });
  for (const query of ["(prefers-color-scheme: dark)", "(forced-colors: active)", "print"]) {
    matchMedia(query).addEventListener("change", () => document.dispatchEvent(new CustomEvent("aii:theme")));
  }
}
