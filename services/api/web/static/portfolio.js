// The portfolio: every relationship in one table, filtered and sorted here, of which only the rows in view exist as nodes.
import { BANDS, SEVERITIES, ago, h, icon, load, moment, typing } from "./rapport.js";

const NARROW = matchMedia("(max-width: 780px)");
const rowHeight = () => (NARROW.matches ? 64 : 44); // px, as in rapport.css
const SPARK = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz+/";
const SORTS = {
  name: (d) => d.sortName,
  band: (d) => BANDS[d.band].rank,
  ri: (d) => d.ri,
  rv: (d) => d.rv,
  flags: (d) => (d.flags ? -(d.flags * 10 - d.worst) : null),
  segment: (d) => d.segment.toLowerCase() || null,
  owner: (d) => d.owner.toLowerCase() || null,
  seen: (d) => d.seen || null,
};
const COLUMNS = [
  ["name", "Relationship", "r-c-name"],
  ["band", "Health", "r-c-band"],
  ["ri", "RI", "r-c-num", "Relationship Intelligence, 0 to 100"],
  ["rv", "RV", "r-c-num r-c-rv", "Relationship Value, 0 to 100"],
  ["", "Activity, 30 days", "r-c-spark"],
  ["flags", "Flags", "r-c-flags", "Red flags that stand now"],
  ["segment", "Segment", "r-c-seg"],
  ["owner", "Owner", "r-c-owner"],
  ["seen", "Last seen", "r-c-seen"],
];
const START_DESCENDING = new Set(["seen"]);
const FILTERS = ["kind", "segment", "owner"];

/** What a search looks in; made when first searched, not while the page is waited for. */
function searchText(row) {
  row.text ??= `${row.sortName}\n${row.id}\n${row.owner}\n${row.segment}`.toLowerCase();
  return row.text;
}

/** Rows come as [id, name, kind, segment, owner, band, ri, rv, flags, worst, seen, spark], words as indexes. */
function unpack(raw, words) {
  const [id, name, kind, segment, owner, band, ri, rv, flags, worst, seen, spark] = raw;
  const row = { id, name: name || id, kind: words[kind], segment: words[segment], owner: words[owner],
    band: words[band], ri, rv, flags, worst, seen, spark };
  row.sortName = row.name.toLowerCase();
  return row;
}

class Portfolio extends HTMLElement {
  connectedCallback() {
    if (this.rows) return;
    this.rows = new Map();
    this.pending = [];
    this.nodes = new Map();
    this.edition = 0; // counts changes of rows
    this.shown = [];
    this.cursor = -1;
    this.state = Object.fromEntries(new URLSearchParams(location.search));
    this.build();
    this.fetchRows();
  }

  // --- data

  async fetchRows() {
    clearTimeout(this.retry);
    try {
      const data = await load("/dashboard/portfolio.json");
      this.setAttribute("data-ready", "");
      this.replaceRows(data);
    } catch (error) {
      if (error.message !== "signed out") this.showError(error.message);
    }
  }

  replaceRows({ seq, words, rows, more }) {
    this.seq = seq;
    this.more = more;
    this.rows = new Map(rows.map((raw) => [raw[0], unpack(raw, words)]));
    this.edition += 1;
    for (const packet of this.pending.splice(0)) this.merge(packet);
    this.ready = true;
    this.choices();
    this.refresh();
    requestAnimationFrame(() => setTimeout(() => performance.mark("rapport:rows-painted")));
  }

  /** Called by the server: rows that changed, in the same shape. */
  apply(packet) {
    if (!this.ready) {
      this.pending.push(packet);
      return;
    }
    this.merge(packet);
    this.choices();
    this.refresh(true);
  }

  /** A packet that is older than what was read says nothing new. */
  merge({ seq, words, rows, more }) {
    if (seq <= this.seq) return;
    this.edition += 1;
    this.more = more;
    for (const raw of rows) this.rows.set(raw[0], unpack(raw, words));
  }

  reload() {
    this.fetchRows();
  }

  // --- the frame, built once

  build() {
    this.search = h("input", { type: "search", class: "r-input r-search", placeholder: "Search name, id, owner, segment",
      "aria-label": "Search relationships", "data-search": true, value: this.state.q || "",
      oninput: () => this.set("q", this.search.value), onkeydown: (e) => this.searchKey(e) });
    this.chips = h("div", { class: "r-bands", role: "group", "aria-label": "Filter by health" });
    this.selects = Object.fromEntries(FILTERS.map((name) => [name,
      h("select", { class: "r-input", "aria-label": `Filter by ${name}`, onchange: (e) => this.set(name, e.target.value) })]));
    this.clear = h("button", { class: "r-ghost", onclick: () => this.clearAll() }, icon("close"), "Clear filters");
    this.total = h("span", { class: "r-total", role: "status", "aria-live": "polite" });
    this.head = h("div", { class: "r-row r-head", role: "row" }, COLUMNS.map(([key, text, css, title], at) =>
      h("div", { class: css, role: "columnheader", "aria-colindex": at + 1, "data-key": key }, key
        ? h("button", { class: "r-sort", title: title || `Sort by ${text.toLowerCase()}`, onclick: () => this.sortBy(key) },
          text, icon("sort"))
        : h("span", {}, text))));
    this.pad = h("div", { class: "r-pad", role: "presentation" });
    this.view = h("div", { class: "r-rows", role: "rowgroup" });
    this.box = h("div", { class: "r-scroll", tabindex: 0, role: "grid", "aria-label": "Relationships",
      "aria-colcount": COLUMNS.length, onscroll: () => this.paintSoon(), onkeydown: (e) => this.gridKey(e),
      onclick: (e) => this.clicked(e) }, h("div", { role: "rowgroup", class: "r-headbox" }, this.head), this.pad);
    this.pad.append(this.view);
    this.note = h("div", { class: "r-state", hidden: true });
    this.append(
      h("div", { class: "r-title" }, h("h1", {}, "Portfolio"), this.total),
      this.chips,
      h("div", { class: "r-tools" }, h("label", { class: "r-searchbox" }, icon("search"), this.search),
        Object.values(this.selects), this.clear),
      h("div", { class: "r-card r-table" }, this.box, this.note));
    this.skeleton();
    new ResizeObserver(() => this.paintSoon()).observe(this.box);
    document.addEventListener("keydown", (e) => this.pageKey(e));
  }

  skeleton() {
    this.view.replaceChildren(...Array.from({ length: 12 }, () => h("div", { class: "r-row r-skeleton" }, h("div"))));
  }

  showError(text) {
    this.box.hidden = true;
    this.note.hidden = false;
    this.note.replaceChildren(icon("alert"), h("h2", {}, "The portfolio cannot be read at the moment"), h("p", {}, text),
      h("p", { class: "r-muted" }, "Trying again every 5 seconds."),
      h("button", { class: "r-button", onclick: () => this.fetchRows() }, "Try now"));
    this.retry = setTimeout(() => this.fetchRows(), 5000);
  }

  showEmpty() {
    const none = this.rows.size === 0;
    const nodes = [icon(none ? "people" : "search"),
      h("h2", {}, none ? "No relationships yet" : "Nothing matches these filters"),
      h("p", {}, none
        ? "A relationship appears with its first event. Send one to the ingest service, or load a file with “rapport load”."
        : "Try fewer filters or another word.")];
    if (!none) nodes.push(h("button", { class: "r-button", onclick: () => this.clearAll() }, "Clear filters"));
    this.note.replaceChildren(...nodes);
  }

  choices() {
    for (const name of FILTERS) {
      const found = [...new Set([...this.rows.values()].map((d) => d[name]).filter(Boolean))].sort();
      const key = found.join("\n");
      if (this.selects[name].dataset.key === key && this.selects[name].options.length) continue;
      this.selects[name].dataset.key = key;
      this.selects[name].replaceChildren(h("option", { value: "" }, `Every ${name}`),
        ...found.map((value) => h("option", { value }, value)));
      this.selects[name].value = this.state[name] || "";
      this.selects[name].hidden = found.length < 2;
    }
  }

  // --- filters and order

  set(key, value) {
    performance.mark("rapport:filter-start");
    if (value) this.state[key] = value;
    else delete this.state[key];
    this.remember();
    this.cursor = -1;
    this.box.scrollTop = 0;
    this.refresh();
    requestAnimationFrame(() => setTimeout(() => {
      performance.mark("rapport:filter-painted");
      performance.measure("rapport:filter", "rapport:filter-start", "rapport:filter-painted");
    }));
  }

  remember() {
    const query = new URLSearchParams(this.state).toString();
    history.replaceState(history.state, "", query ? `?${query}` : location.pathname);
  }

  clearAll() {
    const { sort } = this.state;
    this.state = sort ? { sort } : {};
    this.search.value = "";
    for (const name of FILTERS) this.selects[name].value = "";
    this.set("q", "");
    this.search.focus();
  }

  sortBy(key) {
    const now = this.state.sort || "ri";
    const up = START_DESCENDING.has(key) ? `-${key}` : key;
    this.set("sort", now === up ? (up[0] === "-" ? key : `-${key}`) : up);
  }

  refresh(keep = false) {
    const { q = "", band = "", sort = "ri" } = this.state;
    const wanted = q.toLowerCase().split(/\s+/).filter(Boolean);
    const active = FILTERS.filter((name) => this.state[name]);
    const counts = Object.fromEntries(Object.keys(BANDS).map((name) => [name, 0]));
    const at = keep && this.cursor >= 0 ? this.shown[this.cursor]?.id : undefined;
    const found = [];
    for (const row of this.ordered(sort)) {
      if (active.length && !active.every((name) => row[name] === this.state[name])) continue;
      if (wanted.length && !wanted.every((word) => searchText(row).includes(word))) continue;
      counts[row.band] += 1;
      if (!band || row.band === band) found.push(row);
    }
    this.shown = found;
    if (at !== undefined) this.cursor = this.shown.findIndex((row) => row.id === at);
    this.paintChips(counts, band);
    this.paintHead(sort);
    const empty = this.shown.length === 0;
    this.note.hidden = !empty;
    this.box.hidden = empty;
    if (empty) this.showEmpty();
    this.total.textContent = this.shown.length === this.rows.size
      ? `${this.rows.size.toLocaleString("en")} relationships`
      : `${this.shown.length.toLocaleString("en")} of ${this.rows.size.toLocaleString("en")} relationships`;
    if (this.more) this.total.textContent += ", reading more…";
    this.clear.hidden = !(q || band || active.length);
    this.box.setAttribute("aria-rowcount", this.shown.length + 1);
    this.paint();
  }

  /** All rows in the order of `sort`; sorted anew only when rows or order have changed, not while one types. */
  ordered(sort) {
    if (this.sorted?.by !== sort || this.sorted.of !== this.edition) {
      this.sorted = { by: sort, of: this.edition, rows: order([...this.rows.values()], sort) };
    }
    return this.sorted.rows;
  }

  // --- painting

  paintChips(counts, band) {
    const focused = this.chips.contains(document.activeElement) ? document.activeElement.dataset.band : null;
    this.chips.replaceChildren(...Object.entries(BANDS).map(([name, { word, icon: shape }]) =>
      h("button", { class: `r-band-chip r-${name}`, "data-band": name, "aria-pressed": String(band === name),
        onclick: () => this.set("band", this.state.band === name ? "" : name) },
      icon(shape), h("span", { class: "r-band-word" }, word),
      h("span", { class: "r-band-count" }, counts[name].toLocaleString("en")))));
    if (focused) this.chips.querySelector(`[data-band=${focused}]`).focus();
  }

  paintHead(sort) {
    const key = sort.replace("-", "");
    for (const cell of this.head.children) {
      const on = cell.dataset.key === key && key;
      if (on) cell.setAttribute("aria-sort", sort[0] === "-" ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    }
  }

  paintSoon() {
    if (this.scheduled || !this.rows.size) return;
    this.scheduled = requestAnimationFrame(() => {
      this.scheduled = 0;
      this.paint();
    });
  }

  paint() {
    const height = rowHeight();
    const first = Math.max(0, Math.floor(this.box.scrollTop / height) - 6);
    const last = Math.min(this.shown.length, first + Math.ceil((this.box.clientHeight || 800) / height) + 12);
    const now = Date.now();
    const kept = this.nodes;
    this.nodes = new Map();
    for (let at = first; at < last; at += 1) {
      const row = this.shown[at];
      const node = kept.get(row) || rowNode(row);
      place(node, row, at, now, at === this.cursor);
      this.nodes.set(row, node);
    }
    this.pad.style.height = `${this.shown.length * height}px`;
    this.view.style.transform = `translateY(${first * height}px)`;
    this.view.replaceChildren(...this.nodes.values());
  }

  // --- keys and clicks

  clicked(event) {
    const row = event.target.closest("[data-at-row]");
    if (!row || event.target.closest("a") || getSelection().toString()) return;
    this.open(Number(row.dataset.atRow), event.ctrlKey || event.metaKey);
  }

  open(at, aside = false) {
    const url = `/relationships/${encodeURIComponent(this.shown[at].id)}`;
    if (aside) window.open(url, "_blank");
    else window.location.assign(url);
  }

  searchKey(event) {
    if (event.key === "Escape" && this.search.value) {
      this.search.value = "";
      this.set("q", "");
    } else if (event.key === "ArrowDown" || event.key === "Enter") {
      event.preventDefault();
      this.box.focus();
      this.move(0);
    }
  }

  pageKey(event) {
    if (typing(event) || this.box.contains(event.target)) return;
    if (event.key === "j" || event.key === "k") {
      this.box.focus();
      this.move(event.key === "j" ? this.cursor + 1 : this.cursor - 1);
    }
  }

  gridKey(event) {
    if (event.target.closest("button, a") && event.key === "Enter") return;
    const page = Math.max(1, Math.floor(this.box.clientHeight / rowHeight()) - 2);
    const step = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, PageDown: page, PageUp: -page,
      Home: -Infinity, End: Infinity }[event.key];
    if (step !== undefined && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      this.move(step === -Infinity ? 0 : step === Infinity ? this.shown.length - 1 : this.cursor + step);
    } else if (event.key === "Enter" && this.cursor >= 0) this.open(this.cursor);
  }

  move(at) {
    if (!this.shown.length) return;
    this.cursor = Math.max(0, Math.min(this.shown.length - 1, at));
    const row = rowHeight();
    const top = this.cursor * row;
    const height = this.box.clientHeight - row; // the head stays in view
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    else if (top + row > this.box.scrollTop + height) this.box.scrollTop = top + row - height;
    this.paint();
    this.box.setAttribute("aria-activedescendant", `row-${this.cursor}`);
  }
}

/** Rows in the order of `sort`; those without a value come last either way, equals by name. */
function order(rows, sort) {
  const down = sort[0] === "-";
  const value = SORTS[down ? sort.slice(1) : sort] || SORTS.ri;
  const keyed = rows.map((row) => [value(row), row]);
  keyed.sort(([a, x], [b, y]) => {
    if (a === b) return x.sortName < y.sortName ? -1 : x.sortName > y.sortName ? 1 : 0;
    if (a === null || a === undefined) return 1;
    if (b === null || b === undefined) return -1;
    return (a < b ? -1 : 1) * (down ? -1 : 1);
  });
  return keyed.map(([, row]) => row);
}

/** Where a row stands now, and what of it changes with time. */
function place(node, row, at, now, current) {
  node.className = current ? "r-row r-current" : "r-row";
  node.id = `row-${at}`;
  node.dataset.atRow = at;
  node.setAttribute("aria-rowindex", at + 2);
  node.setAttribute("aria-selected", String(current));
  node.lastChild.textContent = ago(row.seen, now);
}

function rowNode(row) {
  const band = BANDS[row.band];
  return h("div", { role: "row", "data-id": row.id },
  h("div", { class: "r-c-name", role: "gridcell" },
    h("a", { href: `/relationships/${encodeURIComponent(row.id)}`, tabindex: -1, title: row.name }, row.name),
    h("span", { class: "r-sub", title: row.id }, row.kind === "customer" ? row.id : `${row.kind} · ${row.id}`)),
  h("div", { class: "r-c-band", role: "gridcell" },
    h("span", { class: `r-badge r-${row.band}` }, icon(band.icon), band.word)),
  h("div", { class: "r-c-num", role: "gridcell" }, number(row.ri)),
  h("div", { class: "r-c-num r-c-rv", role: "gridcell" }, number(row.rv)),
  h("div", { class: "r-c-spark", role: "gridcell" }, spark(row.spark)),
  h("div", { class: "r-c-flags", role: "gridcell" }, flags(row)),
  h("div", { class: "r-c-seg", role: "gridcell", title: row.segment }, row.segment || dash()),
  h("div", { class: "r-c-owner", role: "gridcell", title: row.owner }, row.owner || dash("Nobody")),
  h("div", { class: "r-c-seen", role: "gridcell", title: moment(row.seen) }));
}

function dash(word = "None") {
  return h("span", { class: "r-faint", title: word }, "–");
}

function number(value) {
  return value === null ? dash("No evidence yet") : String(Math.round(value));
}

function flags({ flags: count, worst }) {
  if (!count) return dash("No flag stands");
  const [name, { word, icon: shape }] = Object.entries(SEVERITIES).find(([, s]) => s.rank === worst);
  return h("span", { class: `r-flag r-s-${name}`, title: `${count} standing, the worst: ${word.toLowerCase()}` },
    icon(shape, word), String(count));
}

function spark(text) {
  if (!text || !/[^0]/.test(text)) return dash("No activity in 30 days");
  const step = 108 / Math.max(1, text.length - 1);
  const points = [...text].map((value, i) =>
    `${(1 + i * step).toFixed(1)} ${(23 - (SPARK.indexOf(value) / 63) * 20).toFixed(1)}`);
  const whole = Math.max(1, points.length - 1); // the last day is not over: it is no collapse
  const path = `M${points.slice(0, whole).join("L")}`;
  const today = `M${points.slice(whole - 1).join("L")}`;
  const end = (1 + (whole - 1) * step).toFixed(1);
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "r-spark");
  svg.setAttribute("viewBox", "0 0 110 26");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", "Activity of the last 30 days, dotted: today so far");
  for (const [css, d] of [["r-spark-area", `${path}L${end} 25L1 25Z`], ["r-spark-line", path],
    ["r-spark-today", today]]) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", "path");
    node.setAttribute("class", css);
    node.setAttribute("d", d);
    svg.append(node);
  }
  return svg;
}

customElements.define("rapport-portfolio", Portfolio);
