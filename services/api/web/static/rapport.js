// What every page shares: building nodes, words for times and bands, the theme, notices. No dependency, no build.

export const BANDS = {
  red: { word: "At risk", icon: "alert", rank: 0 },
  yellow: { word: "Watch", icon: "watch", rank: 1 },
  green: { word: "Healthy", icon: "check", rank: 2 },
  little: { word: "Little evidence", icon: "little", rank: 3 },
  unknown: { word: "No evidence", icon: "unknown", rank: 4 },
};
export const SEVERITIES = {
  critical: { word: "Critical", icon: "alert", rank: 0 },
  warning: { word: "Warning", icon: "watch", rank: 1 },
  info: { word: "Info", icon: "info", rank: 2 },
};

/** A node; text is always set as text, so nothing that came in with an event is ever parsed as HTML. */
export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (key === "class") node.className = value;
    else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key === "value") node.value = value;
    else node.setAttribute(key, value === true ? "" : value);
  }
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child);
  }
  return node;
}

const SVG = "http://www.w3.org/2000/svg";

export function icon(name, label) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "r-icon");
  if (label) {
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", label);
  } else svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

const [COUNT, FIGURE, FINE] = [0, 2, 3].map((digits) => new Intl.NumberFormat("en", { maximumFractionDigits: digits }));

/** A number for people, as `figure` in words.py writes it: with separators, and with decimals only where they matter. */
export function figure(value) {
  const size = Math.abs(value);
  if (value && size < 0.001) return value.toExponential(1);
  return (size < 0.01 ? FINE : size < 100 ? FIGURE : COUNT).format(value);
}

const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "long" });
const STEPS = [[60, "second", 1], [3600, "minute", 60], [86400, "hour", 3600], [604800, "day", 86400],
  [2629800, "week", 604800], [31557600, "month", 2629800], [Infinity, "year", 31557600]];

const SHORT = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const DATED = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });

/** "3 hours ago" for a time in ms; further away than six weeks, the date. */
export function ago(at, now = Date.now()) {
  if (!at) return "never";
  const seconds = (at - now) / 1000;
  if (Math.abs(seconds) < 5) return "just now";
  if (Math.abs(seconds) > 45 * 86400) return new Date(at).getFullYear() === new Date(now).getFullYear() ? SHORT.format(at) : DATED.format(at);
  const [, unit, size] = STEPS.find(([limit]) => Math.abs(seconds) < limit);
  return RELATIVE.format(Math.trunc(seconds / size), unit);
}

/** A short age such as "3h" for lists. */
export function age(at, now = Date.now()) {
  const seconds = Math.max(0, (now - at) / 1000);
  if (seconds < 60) return `${Math.floor(seconds)}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86400)}d`;
}

const FULL = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });

export function moment(at) {
  return at ? FULL.format(new Date(at)) : "";
}

/** JSON of a dashboard resource. A session that has ended leads to the sign-in page. */
export async function load(url) {
  const response = await fetch(url); // as plain as this it takes what a preload has fetched already
  if (response.status === 401) {
    window.location.assign("/login");
    throw new Error("signed out");
  }
  if (!response.ok) throw new Error((await response.json().catch(() => ({}))).detail || `HTTP ${response.status}`);
  return response.json();
}

const IN_TURN = 4;
let uppermost = null;
let leaving = 0;

/** A word on the bar. Toasts lie one upon another, critical ones above, and each has its time once it is uppermost. */
export function toast(text, { severity = "info", href = "" } = {}) {
  let stack = document.querySelector(".r-toasts");
  if (!stack) document.body.append((stack = h("div", { class: "r-toasts", role: "status", "aria-live": "polite" })));
  if (severity === "critical") { // none goes unseen: those beyond what one reads in turn are told as one
    const before = stack.querySelectorAll(".r-toast-critical").length;
    if (before > IN_TURN) return;
    if (before === IN_TURN) [text, href] = ["More critical alerts", "/alerts"];
  }
  const { icon: sign, rank } = SEVERITIES[severity] || SEVERITIES.info;
  const note = h("div", { class: `r-toast r-toast-${severity}`, "data-rank": rank }, icon(sign),
    href ? h("a", { href }, text) : h("span", {}, text),
    h("button", { class: "r-ghost r-square", "aria-label": "Dismiss", onclick: () => dismiss(note) }, icon("close")));
  stack.insertBefore(note, [...stack.children].find((one) => one.dataset.rank > rank) || null);
  while (stack.children.length > IN_TURN + 1) stack.lastChild.remove();
  timed(stack);
}

function dismiss(note) {
  const stack = note.parentNode;
  note.remove();
  timed(stack);
}

function timed(stack) {
  const note = stack.firstChild;
  if (note === uppermost) return;
  uppermost = note;
  clearTimeout(leaving);
  if (note) leaving = setTimeout(() => dismiss(note), note.classList.contains("r-toast-critical") ? 12000 : 5000);
}

export const typing = (event) =>
  event.target.closest("input, textarea, select, [contenteditable]") !== null ||
  event.ctrlKey || event.metaKey || event.altKey;

/** Raises an event for the server, as soon as the framework that carries it is there. */
export function tell(name, detail) {
  const live = document.getElementById("r-live");
  if (live) live.dispatchEvent(new CustomEvent(name, { detail }));
  else setTimeout(() => tell(name, detail), 20);
}

function remember(name, value) {
  document.cookie = `${name}=${value}; path=/; max-age=31536000; samesite=lax`;
}

function applyTheme(theme) {
  document.documentElement.dataset.theme = theme;
  remember("rapport_theme", theme);
  document.querySelectorAll(".r-theme").forEach((button) => button.setAttribute("aria-pressed", theme === "dark"));
  if (window.socket) tell("theme", { dark: theme === "dark" });
}

function help(open) {
  const dialog = document.getElementById("r-help");
  if (!dialog) return;
  if (open ?? !dialog.open) dialog.showModal();
  else dialog.close();
}

const GO = { p: "/", a: "/alerts" };
let going = 0;

document.addEventListener("click", (event) => {
  if (event.target.closest(".r-theme")) {
    applyTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
  } else if (event.target.closest(".r-help-open")) help(true);
  else if (event.target.closest(".r-help-close")) help(false);
});

document.addEventListener("keydown", (event) => {
  if (typing(event)) return;
  if (event.key === "?") help();
  else if (event.key === "/") {
    const search = document.querySelector("[data-search]");
    if (search) {
      event.preventDefault();
      search.focus();
      search.select();
    }
  } else if (event.key === "g") {
    going = event.timeStamp;
    return;
  } else if (going && event.timeStamp - going < 1200 && GO[event.key]) {
    event.stopImmediatePropagation();
    window.location.assign(GO[event.key]);
  }
  going = 0;
}, true);

/** What the server tells every page: how many alerts are open, new ones worth a word, and whether data is stale. */
window.rapportLive = ({ open, toasts = [], trouble }) => {
  if (open !== undefined) {
    document.querySelectorAll(".r-count").forEach((node) => {
      node.textContent = open > 999 ? "999+" : String(open);
      node.hidden = open === 0;
      node.setAttribute("aria-label", `${open} open alerts`);
    });
    document.title = document.title.replace(/^\(\d+\) /, "");
    if (open) document.title = `(${open}) ${document.title}`;
  }
  for (const note of toasts) toast(note.text, note);
  if (trouble !== undefined) {
    const strip = document.getElementById("r-trouble");
    if (strip) {
      strip.hidden = !trouble;
      strip.querySelector("span").textContent = trouble;
    }
  }
};

/** Times written by the server as <time data-at="ms"> are kept relative. */
function refreshTimes() {
  const now = Date.now();
  document.querySelectorAll("[data-at]").forEach((node) => {
    const at = Number(node.dataset.at);
    const words = node.dataset.style === "age" ? age(at, now) : ago(at, now);
    if (node.textContent !== words) node.textContent = words;
    if (!node.title) node.title = moment(at);
  });
}
setInterval(refreshTimes, 15000);
let refreshing = 0;
new MutationObserver((records) => {
  if (refreshing || !records.some((record) => record.addedNodes.length)) return;
  refreshing = requestAnimationFrame(() => {
    refreshing = 0;
    refreshTimes();
  });
}).observe(document.documentElement, { childList: true, subtree: true });
