/** Starts everything that every page has; the live part only where <body data-live> asks for it. */

import { startConnection } from "./live_connection.js";
import "./live_rows.js";
import { store } from "./live.js";
import { startShell } from "./shell.js";
import { startTheme } from "./theme.js";
import { startTime } from "./time.js";

startTheme();
startShell();
startTime();
if (document.querySelector("live-strip")) import("./live_strip.js");
if (document.querySelector("form[data-passkey]")) import("./passkey.js");
if (document.body.hasAttribute("data-live")) {
  startConnection();
  store.start();
}
