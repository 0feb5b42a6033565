// The alert inbox: a live list, a drawer with everything about one alert, and keys for all that is done all day.
import { SEVERITIES, age, ago, figure, h, icon, load, moment, tell, toast, typing } from "./rapport.js";

const SHOWN = 200;
const TABS = [["open", "Open"], ["acknowledged", "Acknowledged"], ["resolved", "Resolved"], ["all", "All"]];
const STATES = { open: "Open", acknowledged: "Acknowledged", resolved: "Resolved" };
const STEPS = { opened: "Opened", reopened: "Opened again", acknowledged: "Acknowledged", resolved: "Resolved", cleared: "Cleared",
  commented: "Comment", escalated: "Got worse", worsened: "Got worse", delivered: "Delivered" };
// Why a flag was cleared: shared.domain.relationship.flags.Why
const CLEARED = { ended: "Cleared by itself", rule_off: "Cleared: its rule is off", settings: "Cleared: other settings apply",
  relationship_over: "Cleared: the relationship is over", corrected: "Cleared: what it rested on was corrected", room: "Cleared: it made room for newer ones" };

class Inbox extends HTMLElement {
  connectedCallback() {
    if (this.alerts) return;
    this.alerts = new Map();
    this.pending = [];
    this.evidenceOf = new Map();
    this.limit = SHOWN;
    this.state = { tab: "open", ...Object.fromEntries(new URLSearchParams(location.search)) };
    this.current = this.state.id || null;
    this.rules = JSON.parse(this.getAttribute("rules") || "{}");
    this.build();
    this.fetchAlerts();
    document.addEventListener("keydown", (event) => this.key(event));
    setInterval(() => this.ages(), 10000);
  }

  // --- data

  async fetchAlerts() {
    clearTimeout(this.retry);
    try {
      const { alerts } = await load("/dashboard/alerts.json");
      this.alerts = new Map(alerts.map((alert) => [alert.id, alert]));
      this.ready = true;
      this.setAttribute("data-ready", "");
      this.pending.splice(0).forEach((alert) => this.keep(alert));
      this.render();
      if (this.current && this.alerts.has(this.current)) this.open(this.current);
    } catch (error) {
      if (error.message !== "signed out") this.showError(error.message);
    }
  }

  keep(alert) {
    const known = this.alerts.get(alert.id);
    if (!known || known.version < alert.version) this.alerts.set(alert.id, alert);
  }

  /** Called by the server: alerts that changed. */
  apply(alerts) {
    if (!this.ready) {
      this.pending.push(...alerts);
      return;
    }
    const before = new Set(this.alerts.keys());
    alerts.forEach((alert) => this.keep(alert));
    this.fresh = new Set(alerts.filter((alert) => !before.has(alert.id)).map((alert) => alert.id));
    performance.mark("rapport:alert-shown");
    this.render();
    if (this.current && alerts.some((alert) => alert.id === this.current)) this.paintDrawer();
  }

  reload() {
    this.fetchAlerts();
  }

  /** Called by the server: the touchpoints an alert rests on. */
  evidence(id, touchpoints) {
    this.evidenceOf.set(id, touchpoints);
    if (id === this.current) this.paintDrawer();
  }

  // --- frame

  build() {
    this.tabs = h("div", { class: "r-tabs", role: "tablist", "aria-label": "State" });
    this.severity = h("select", { class: "r-input", "aria-label": "Filter by severity", onchange: (e) => this.set("severity", e.target.value) },
      h("option", { value: "" }, "Every severity"), Object.entries(SEVERITIES).map(([name, { word }]) => h("option", { value: name }, word)));
    this.severity.value = this.state.severity || "";
    this.owner = h("select", { class: "r-input", "aria-label": "Filter by owner", onchange: (e) => this.set("owner", e.target.value) });
    this.search = h("input", { type: "search", class: "r-input r-search", placeholder: "Search alerts", "aria-label": "Search alerts",
      "data-search": true, value: this.state.q || "", oninput: () => this.set("q", this.search.value),
      onkeydown: (e) => { if (e.key === "Escape") { this.search.value = ""; this.set("q", ""); this.search.blur(); } } });
    this.total = h("span", { class: "r-total", role: "status", "aria-live": "polite" });
    this.list = h("div", { class: "r-card r-list", role: "list", "aria-label": "Alerts" });
    this.drawer = h("aside", { class: "r-card r-drawer", "aria-label": "Alert details", hidden: true });
    this.append(h("div", { class: "r-title" }, h("h1", {}, "Alerts"), this.total),
      h("div", { class: "r-tools" }, this.tabs, h("label", { class: "r-searchbox" }, icon("search"), this.search), this.severity, this.owner,
        h("span", { class: "r-muted r-small r-hints" }, h("kbd", {}, "j"), " ", h("kbd", {}, "k"), " move  ", h("kbd", {}, "a"), " acknowledge  ",
          h("kbd", {}, "r"), " resolve  ", h("kbd", {}, "c"), " comment  ", h("kbd", {}, "?"), " all keys")),
      this.list, this.drawer);
    this.list.append(h("div", { class: "r-state" }, "Reading alerts…"));
  }

  showError(text) {
    this.list.replaceChildren(h("div", { class: "r-state" }, icon("alert"), h("h2", {}, "Alerts cannot be read at the moment"), h("p", {}, text),
      h("p", {}, "Trying again every 5 seconds."), h("button", { class: "r-button", onclick: () => this.fetchAlerts() }, "Try now")));
    this.retry = setTimeout(() => this.fetchAlerts(), 5000);
  }

  set(key, value) {
    if (value) this.state[key] = value;
    else delete this.state[key];
    this.limit = SHOWN;
    this.remember();
    this.render();
  }

  remember() {
    const query = new URLSearchParams(this.state);
    if (this.state.tab === "open") query.delete("tab");
    if (this.current) query.set("id", this.current);
    else query.delete("id");
    history.replaceState(history.state, "", query.size ? `?${query}` : location.pathname);
  }

  matching() {
    const { q = "", severity = "", owner = "" } = this.state;
    const wanted = q.toLowerCase().split(/\s+/).filter(Boolean);
    return [...this.alerts.values()].filter((alert) => (!severity || alert.severity === severity) && (!owner || alert.owner === owner) &&
      wanted.every((word) => `${alert.reason} ${alert.name} ${alert.relationship} ${alert.owner} ${this.rule(alert)}`.toLowerCase().includes(word)));
  }

  rule(alert) {
    return this.rules[alert.rule] || alert.rule.replaceAll("_", " ");
  }

  render() {
    const all = this.matching();
    const counts = { open: 0, acknowledged: 0, resolved: 0, all: all.length };
    all.forEach((alert) => (counts[alert.state] += 1));
    const { tab } = this.state;
    this.shown = all.filter((alert) => tab === "all" || alert.state === tab).sort(byUrgency);
    this.total.textContent = counts.open === 1 ? "1 waits for somebody" : `${counts.open} wait for somebody`;
    this.paintTabs(counts, tab);
    this.paintOwners();
    this.paintList();
  }

  paintTabs(counts, tab) {
    const focused = this.tabs.contains(document.activeElement) ? document.activeElement.dataset.tab : null;
    this.tabs.replaceChildren(...TABS.map(([name, word]) => h("button", { class: "r-tab", role: "tab", "data-tab": name,
      "aria-selected": String(tab === name), onclick: () => this.set("tab", name) }, word, h("span", {}, String(counts[name])))));
    if (focused) this.tabs.querySelector(`[data-tab=${focused}]`).focus();
  }

  paintOwners() {
    const owners = [...new Set([...this.alerts.values()].map((alert) => alert.owner).filter(Boolean))].sort();
    const key = owners.join("\n");
    if (this.owner.dataset.key !== key) {
      this.owner.dataset.key = key;
      this.owner.replaceChildren(h("option", { value: "" }, "Every owner"), ...owners.map((name) => h("option", { value: name }, name)));
      this.owner.value = this.state.owner || "";
    }
    this.owner.hidden = owners.length < 2;
  }

  paintList() {
    const focused = this.list.contains(document.activeElement) ? document.activeElement.closest("[data-id]")?.dataset.id : null;
    const rows = this.shown.slice(0, this.limit).map((alert) => this.row(alert));
    if (!rows.length) rows.push(this.empty());
    else if (this.shown.length > this.limit) {
      rows.push(h("button", { class: "r-button r-more", onclick: () => { this.limit += SHOWN; this.paintList(); } },
        `Show ${Math.min(SHOWN, this.shown.length - this.limit)} more of ${this.shown.length}`));
    }
    this.list.replaceChildren(...rows);
    this.fresh = null;
    if (focused) this.rowOf(focused)?.focus({ preventScroll: true });
  }

  empty() {
    const filtered = this.state.q || this.state.severity || this.state.owner;
    const calm = this.state.tab === "open" && !filtered;
    return h("div", { class: "r-state" }, icon(calm ? "check" : "bell"),
      h("h2", {}, calm ? "Nothing waits for you" : "No alerts here"),
      h("p", {}, calm ? "When a relationship goes wrong, its alert appears here by itself, with the evidence."
        : filtered ? "No alert matches these filters." : "No alert is in this state."));
  }

  row(alert) {
    const { word, icon: shape } = SEVERITIES[alert.severity];
    const fresh = this.fresh?.has(alert.id) ? " r-new" : "";
    const url = `/relationships/${encodeURIComponent(alert.relationship)}`;
    const opened = Date.parse(alert.opened_at);
    return h("div", { class: `r-alert${alert.id === this.current ? " r-current" : ""}${alert.state === "resolved" ? " r-done" : ""}${fresh}`,
      role: "listitem", tabindex: 0, "data-id": alert.id, "data-severity": alert.severity, "data-state": alert.state,
      "aria-label": `${word}: ${alert.reason}. ${alert.name}. ${STATES[alert.state]}.`,
      onclick: (e) => { if (!e.target.closest("a, button")) this.open(alert.id); },
      onkeydown: (e) => { if (e.key === "Enter" && e.target === e.currentTarget) this.open(alert.id); },
      onfocus: () => (this.at = alert.id) },
    h("span", { class: `r-badge r-s-${alert.severity}` }, icon(shape), word),
    h("div", { class: "r-what" }, h("div", { class: "r-reason", title: alert.reason }, alert.reason),
      h("div", { class: "r-meta" }, h("a", { href: url, title: alert.name || alert.relationship, tabindex: -1 }, alert.name || alert.relationship), dot(), h("span", {}, this.rule(alert)),
        alert.owner ? [dot(), h("span", { title: `Owner: ${alert.owner}` }, alert.owner)] : [dot(), h("span", {}, "no owner")])),
    h("div", { class: "r-side" }, h("div", { class: "r-quick" }, this.quick(alert)),
      h("time", { class: "r-age", "data-opened": opened, title: `Opened ${moment(opened)}`, datetime: alert.opened_at }, age(opened))));
  }

  quick(alert) {
    if (alert.state === "resolved") return [h("span", { class: "r-statechip" }, "Resolved")];
    const buttons = [];
    if (alert.state === "acknowledged") buttons.push(h("span", { class: "r-statechip", title: alert.acknowledged_by ? `by ${alert.acknowledged_by}` : "" }, "Acknowledged"));
    else buttons.push(this.button("Acknowledge", "acknowledge", alert, "r-button r-slim"));
    buttons.push(this.button("Resolve", "resolve", alert, "r-button r-slim"));
    return buttons;
  }

  button(word, action, alert, css) {
    return h("button", { class: css, "data-action": action, onclick: () => this.act(action, alert.id) }, word);
  }

  ages() {
    this.list.querySelectorAll("[data-opened]").forEach((node) => (node.textContent = age(Number(node.dataset.opened))));
  }

  rowOf(id) {
    return [...this.list.children].find((node) => node.dataset.id === id);
  }

  // --- what one does with an alert

  act(action, id, text = "") {
    const alert = this.alerts.get(id);
    if (!alert) return;
    if (action === "acknowledge" && alert.state !== "open") return;
    if (action === "resolve" && alert.state === "resolved") return;
    const at = this.shown.findIndex((one) => one.id === id);
    const next = this.shown[at + 1] || this.shown[at - 1];
    // The row leaves this list. The next key must not act on another alert unseen: j goes on from here.
    if (action !== "comment" && this.state.tab !== "all" && !this.current) {
      this.at = null;
      this.resume = next?.id;
      document.activeElement?.blur();
    }
    tell("act", { action, id, text });
  }

  /** Called by the server when an action did not succeed. */
  refused(text) {
    toast(text, { severity: "warning" });
  }

  key(event) {
    if (typing(event)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const steps = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 };
    if (event.key in steps && this.shown?.length) {
      event.preventDefault();
      this.move(steps[event.key]);
    } else if (event.key === "a" && this.target()) this.act("acknowledge", this.target());
    else if (event.key === "r" && this.target()) this.act("resolve", this.target());
    else if (event.key === "c" && this.target()) {
      event.preventDefault();
      this.open(this.target());
      this.drawer.querySelector("textarea")?.focus();
    } else if (event.key === "Escape" && this.current) this.close();
  }

  target() {
    const focused = document.activeElement?.closest?.(".r-alert")?.dataset.id;
    return focused || this.current || this.at;
  }

  move(step) {
    const rows = this.shown.slice(0, this.limit);
    const at = rows.findIndex((alert) => alert.id === this.target());
    const after = Math.max(0, rows.findIndex((alert) => alert.id === this.resume));
    const next = rows[Math.max(0, Math.min(rows.length - 1, at < 0 ? after : at + step))];
    this.resume = null;
    const node = this.rowOf(next.id);
    node.focus();
    node.scrollIntoView({ block: "nearest" });
    if (this.current) this.open(next.id);
  }

  // --- the drawer

  open(id) {
    this.current = id;
    this.remember();
    this.list.querySelectorAll(".r-alert").forEach((node) => node.classList.toggle("r-current", node.dataset.id === id));
    if (!this.evidenceOf.has(id) && this.alerts.get(id).evidence.events.length) tell("explain", { id });
    this.draft = "";
    this.paintDrawer();
  }

  close() {
    const id = this.current;
    this.current = null;
    this.remember();
    this.drawer.hidden = true;
    this.classList.remove("r-open");
    this.list.querySelectorAll(".r-current").forEach((node) => node.classList.remove("r-current"));
    this.rowOf(id)?.focus();
  }

  paintDrawer() {
    const alert = this.alerts.get(this.current);
    if (!alert) return;
    const typed = this.drawer.querySelector("textarea");
    const writing = typed && document.activeElement === typed;
    const draft = this.drawer.dataset.id === alert.id && typed ? typed.value : "";
    this.drawer.dataset.id = alert.id;
    this.drawer.hidden = false;
    this.classList.add("r-open");
    const { word, icon: shape } = SEVERITIES[alert.severity];
    const box = h("textarea", { class: "r-input", rows: 2, placeholder: "What did you do, or learn?", "aria-label": "Comment" });
    box.value = draft;
    const say = () => {
      if (!box.value.trim()) return;
      this.act("comment", alert.id, box.value.trim());
      box.value = "";
    };
    box.addEventListener("keydown", (e) => { if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) say(); });
    this.drawer.replaceChildren(...[
      h("header", {}, h("span", { class: `r-badge r-s-${alert.severity}` }, icon(shape), word),
        h("span", { class: "r-statechip" }, STATES[alert.state]), h("span", { class: "r-gap" }),
        h("button", { class: "r-ghost r-square", "aria-label": "Close details", title: "Close (Esc)", onclick: () => this.close() }, icon("close"))),
      h("h2", {}, alert.reason),
      h("p", { class: "r-muted" }, h("a", { href: `/relationships/${encodeURIComponent(alert.relationship)}` }, alert.name || alert.relationship),
        ` · ${this.rule(alert)}${alert.subject ? ` · ${alert.subject}` : ""} · ${alert.owner || "no owner"}`),
      h("div", { class: "r-actions" }, alert.state === "open" && this.button("Acknowledge", "acknowledge", alert, "r-button r-primary"),
        alert.state !== "resolved" && this.button("Resolve", "resolve", alert, "r-button")),
      alert.advice.length ? section("What to do", h("ul", { class: "r-bullets" }, alert.advice.map((line) => h("li", {}, line)))) : null,
      numbers(alert), this.evidenceNode(alert),
      section("Add a comment", h("div", {}, box, h("div", { class: "r-actions", style: "margin-top:8px" },
        h("button", { class: "r-button r-slim", "data-action": "comment", onclick: say }, "Comment")))),
      history_(alert)].filter(Boolean));
    if (writing) box.focus();
  }

  evidenceNode(alert) {
    const { events, counters } = alert.evidence;
    if (!events.length && !counters.length) return null;
    const found = this.evidenceOf.get(alert.id);
    return section("Evidence",
      events.length ? h("div", {}, found ? found.map((t) => touchpoint(t)) : h("p", { class: "r-muted" }, "Reading the events…")) : null,
      counters.length ? h("table", { class: "r-mini r-counts" }, h("thead", {}, h("tr", {}, h("th", {}, "Day"), h("th", {}, "Use of"), h("th", {}, "Count"))),
        h("tbody", {}, counters.slice(-14).map((c) => h("tr", {}, h("td", {}, c.day), h("td", {}, c.person ? `${c.feature}, ${c.person}` : c.feature || "everything"),
          h("td", {}, counted(c)))))) : null,
      counters.length > 14 ? h("p", { class: "r-muted r-small" }, `and ${counters.length - 14} earlier days`) : null);
  }
}

function byUrgency(a, b) {
  if ((a.state === "resolved") !== (b.state === "resolved")) return a.state === "resolved" ? 1 : -1;
  if (a.state === "resolved") return a.resolved_at < b.resolved_at ? 1 : -1;
  const rank = SEVERITIES[a.severity].rank - SEVERITIES[b.severity].rank;
  return rank || (a.opened_at < b.opened_at ? 1 : a.opened_at > b.opened_at ? -1 : 0);
}

const dot = () => h("span", { class: "r-dot", "aria-hidden": "true" }, "·");

function section(title, ...children) {
  return h("section", {}, h("h3", {}, title), ...children);
}

function numbers(alert) {
  const entries = Object.entries(alert.numbers);
  if (!entries.length) return null;
  return section("Numbers", h("dl", { class: "r-facts" }, entries.flatMap(([name, value]) =>
    [h("dt", {}, name.replaceAll("_", " ")), h("dd", {}, figure(value))])));
}

/** What the rule went by: of the day in which its window begins only a part. */
function counted({ count, share }) {
  return share === 1 || !count ? figure(count) : `${figure(count * share)} of ${figure(count)}`;
}

export function touchpoint(t) {
  return h("div", { class: `r-touch${t.retracted ? " r-struck" : ""}` }, h("span", { class: `r-dotbox${t.inbound ? " r-in" : ""}` }, icon(t.icon)),
    h("div", {}, h("b", {}, t.title), t.detail ? h("p", {}, t.detail) : null), h("time", { class: "r-when", title: moment(t.at) }, ago(t.at)));
}

function history_(alert) {
  return section("History", h("ul", { class: "r-steps" }, [...alert.timeline].reverse().map((entry) => h("li", {}, h("div", {},
    h("div", {}, CLEARED[entry.why] || STEPS[entry.what] || entry.what, entry.who && !entry.why ? ` by ${entry.who}` : ""), entry.text ? h("div", { class: "r-muted" }, entry.text) : null,
    h("time", { title: entry.at }, moment(Date.parse(entry.at))))))));
}

customElements.define("rapport-inbox", Inbox);
