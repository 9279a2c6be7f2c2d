/**
 * Numbers and times as text. Fixed significant digits, a true minus sign, a unit, "–" for no value.
 * Limit: formats only; it converts no unit.
 */

const NO_VALUE = "–";
const MINUS = "−";
const NARROW = "\u202F"; // narrow no-break space: a number and its unit never part at a line's end
const PREFIXES = { "-18": "a", "-15": "f", "-12": "p", "-9": "n", "-6": "µ", "-3": "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T", 15: "P", 18: "E" };
// Units that take no SI prefix: they carry one already ("kg"), or are counts and ratios.
const UNPREFIXED = /^(kg|%|1$|°|h$|d$|min$|events|nodes|clients|bodies|steps)/;
const SUPERSCRIPT = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };

const LEVEL_OF = {
  CONSERVED: "ok", BOUNDED: "ok", VIOLATED: "critical", UNKNOWN: "unknown",
  FIRING: "critical", ACKNOWLEDGED: "info", RESOLVED: "ok", SILENCED: "maintenance",
  QUEUED: "unknown", RUNNING: "info", DONE: "ok", FAILED: "critical", CANCELLED: "unknown",
  OK: "ok", UP: "ok", DOWN: "critical", INFO: "info", WARNING: "warning", CRITICAL: "critical",
  MAINTENANCE: "maintenance", STALE: "unknown",
};
const WORD_OF = { OK: "OK", UNKNOWN: "No data" };

/** The status level of a verdict, state, severity or level; "unknown" for a word nobody defined. */
export function levelOf(value) {
  return LEVEL_OF[String(value ?? "").toUpperCase()] ?? "unknown";
}

/** The word that a person reads for the same value. */
export function wordOf(value) {
  const key = String(value ?? "UNKNOWN").toUpperCase();
  if (!Object.hasOwn(LEVEL_OF, key)) return WORD_OF.UNKNOWN;
  return WORD_OF[key] ?? key[0] + key.slice(1).toLowerCase();
}

function finite(value) {
  if (value === null || value === undefined || value === "" || typeof value === "boolean") return null;
  const number = Number(value);
  return Number.isFinite(number) ? number : null;
}

function signed(text) {
  return text.replace(/^-/, MINUS);
}

/** 1.234e-9 as "1.234×10⁻⁹". */
export function scientific(number, digits = 3) {
  if (number === 0) return "0";
  const [mantissa, exponent] = number.toExponential(digits - 1).split("e");
  const power = String(Number(exponent)).replace(/./g, (character) => SUPERSCRIPT[character]);
  return power === "⁰" ? signed(mantissa) : `${signed(mantissa)}×10${power}`;
}

/** toPrecision without its exponent form, grouped by thin spaces from five digits on. */
function significant(number, digits) {
  const magnitude = number === 0 ? 0 : Math.floor(Math.log10(Math.abs(number)));
  const decimals = Math.min(20, Math.max(0, digits - 1 - magnitude));
  return group(number.toFixed(decimals));
}

function group(text) {
  const [whole, part] = text.split(".");
  const grouped = whole.replace("-", "").length > 4 ? whole.replace(/\B(?=(\d{3})+$)/g, NARROW) : whole;
  return signed(part === undefined ? grouped : `${grouped}.${part}`);
}

function si(number, unit, digits) {
  if (number === 0) return ["0", unit];
  if (UNPREFIXED.test(unit)) return plain(number, unit, digits);
  // Rounding first, so that 999.96 at 4 digits becomes 1.000 k and not 1000.
  const rounded = Number(number.toPrecision(digits));
  const power = 3 * Math.floor(Math.log10(Math.abs(rounded)) / 3);
  if (!(power in PREFIXES)) return [scientific(number, digits), unit];
  return [significant(rounded / 10 ** power, digits), PREFIXES[power] + unit];
}

function plain(number, unit, digits) {
  const size = Math.abs(number);
  if (number !== 0 && (size < 1e-3 || size >= 1e6)) return [scientific(number, digits), unit];
  return [significant(number, digits), unit];
}

function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole}${NARROW}s`;
  const pad = (part) => String(part).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)}${NARROW}min ${pad(whole % 60)}${NARROW}s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)}${NARROW}h ${pad(Math.floor((whole % 3600) / 60))}${NARROW}min`;
  return `${Math.floor(whole / 86400)}${NARROW}d ${Math.floor((whole % 86400) / 3600)}${NARROW}h`;
}

const FORMATS = {
  si,
  sci: (number, unit, digits) => [scientific(number, digits), unit],
  fixed: plain,
  int: (number, unit) => [group(String(Math.round(number))), unit],
  percent: (number, _unit, digits) => [significant(number * 100, digits), "%"],
  duration: (number) => [duration(number), ""],
  time: (number) => [clock(number), "UTC"],
  ago: (number) => [ago(Date.now() - number), ""],
};

/** [text, unit] of a value; unit is "" where there is none to print. Formats: see FORMATS, or "text". */
export function parts(value, { format = "si", unit = "", digits = 4 } = {}) {
  if (format === "text") {
    return [value === null || value === undefined || value === "" ? NO_VALUE : String(value), unit];
  }
  const number = finite(value);
  if (number === null) return [NO_VALUE, ""];
  return (FORMATS[format] ?? si)(number, unit, Math.min(17, Math.max(1, digits)));
}

/** The same as one string. */
export function text(value, options) {
  const [number, unit] = parts(value, options);
  return unit ? number + NARROW + unit : number;
}

/** 14:03:07 of an instant, in UTC. */
export function clock(instant_ms) {
  return new Date(instant_ms).toISOString().slice(11, 19);
}

/** 21 Nov 2026 of an instant, in UTC. */
export function day(instant_ms) {
  return new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" }).format(instant_ms);
}

/** "now", "5 s ago", "3 min ago", "in 2 h". */
export function ago(age_ms) {
  const size = Math.abs(age_ms) / 1000;
  if (size < 1.5) return "now";
  const [count, unit] = size < 60 ? [size, "s"] : size < 3600 ? [size / 60, "min"] : size < 86400 ? [size / 3600, "h"] : [size / 86400, "d"];
  const amount = `${Math.floor(count)}${NARROW}${unit}`;
  return age_ms < 0 ? `in ${amount}` : `${amount} ago`;
}
