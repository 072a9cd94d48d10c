// ---------------------------------------------------------------- tabs

const TITLES = { matrix: "Matrix", all: "All cells", starred: "Starred", compare: "Compare", vote: "Vote" };

function showTabs() {
  const counts = { starred: starred().length, compare: state.with.length, all: cells.length };
  const focused = document.activeElement?.dataset?.tab;
  byId("tabs").replaceChildren(...VIEWS.map((view) => link({ view, cell: "" },
    { "data-tab": view, "aria-current": get("view") === view ? "page" : null },
    TITLES[view], counts[view] ? el("span", { class: "count" }, ` ${counts[view].toLocaleString("en")}`) : null)));
  if (focused) byId("tabs").querySelector(`[data-tab="${focused}"]`).focus();
}

// ---------------------------------------------------------------- matrix: one pair, layers × ratios

function matrixView() {
  const pair = pairPlaces.get(pairHere()) || [];
  const [content, style] = [contents.get(get("content")), styles.get(get("style"))];
  return [
    el("section", { class: "pickers", "aria-label": "Choose a pair" },
      picker("content", "Content", data.contents), picker("style", "Style", data.styles)),
    el("section", { class: "pair", "aria-labelledby": "pair-title" },
      el("h2", { id: "pair-title" }, own(content.title), " ",
        el("span", { class: "manner" }, "in the style of ", own(style.title))),
      pair.length ? matrix(pair) : el("p", { class: "empty" }, "The run has no cell with this content and style."),
      walkPairs()),
  ];
}

function pairCells() {
  return pairs.get(pairHere()) || [];
}

function pairHere() {
  return pairOf({ content: get("content"), style: get("style") });
}

function picker(role, label, subjects) {
  const chosen = subjects.find((one) => one.name === get(role));
  const options = subjects.map((one) => el("label", { class: "option" },
    el("input", { type: "radio", name: role, value: one.name, checked: one === chosen, onchange: () => pick(role, one.name) }),
    one.thumbnail ? el("img", { src: one.thumbnail, alt: "", loading: "lazy", decoding: "async" }) : el("span", { class: "no-picture" }),
    el("span", { class: "option-name" }, own(one.title))));
  return el("fieldset", { class: "picker" },
    el("legend", {}, label),
    el("div", { class: "picker-body" },
      chosen.preview ? el("img", { class: "chosen", src: chosen.preview, alt: `The ${role}: ${chosen.title}` }) : null,
      el("div", {},
        el("p", { class: "chosen-title", "aria-hidden": "true" }, own(chosen.title)),
        el("div", { class: subjects.length > 1 ? "options" : "options unseen" }, options))));
}

function pick(role, name) {
  go({ [role]: name });
  byId("main").querySelector(`input[name="${role}"]:checked`).focus();
  announce(`${contents.get(get("content")).title} in the style of ${styles.get(get("style")).title}: ${plural(pairCells().length, "cell")}`);
}

// The row and the column of a cell: layers and ratio. With a single ratio, the last setting that
// varies takes the columns.
function placeIn(pair) {
  const ratios = new Set(pair.map((cell) => cell.ratio));
  const sweep = ratios.size === 1 && pair.every((cell) => cell.layers.includes("/"));
  const last = (cell) => cell.layers.lastIndexOf("/");
  return sweep
    ? { sweep, of: (cell) => [cell.layers.slice(0, last(cell)), cell.layers.slice(last(cell) + 1)] }
    : { sweep, of: (cell) => [cell.layers, cell.ratio] };
}

function matrix(pair) {
  const { sweep, of } = placeIn(pair);
  const rows = unique(pair.map((cell) => of(cell)[0]));
  const columns = unique(pair.map((cell) => of(cell)[1]));
  if (!sweep) columns.sort((one, other) => RATIOS.indexOf(one) - RATIOS.indexOf(other));
  // Each recipe has its own α/β, so most fields of a table would be empty.
  if (pair.length * 2 <= rows.length * columns.length) return list(pair, (cell) => cardCaption(cell, ""));
  const cellsAt = grouped(pair, (cell) => JSON.stringify(of(cell)));
  const wide = `matrix${columns.length > 5 ? " many" : ""}${rows.some((name) => name.includes("/")) ? " sweep" : ""}`;
  const base = new Set(rows.map((name) => name.split("/")[0])).size === 1 && rows.every((name) => name.includes("/"));
  const said = sweep ? "Rows and columns are settings." : `Rows are ${base ? "settings" : "layer weightings"}, columns α/β, the balance of content and style.`;
  const rowText = (name) => spoken(base ? name.slice(name.indexOf("/") + 1) : name);
  const heading = (label) => (sweep ? spoken(label) : [el("span", { class: "axis-name" }, "α/β "), ratioText(label)]);
  const table = el("table", { class: wide },
    el("caption", { class: "unseen" }, said),
    el("thead", {}, el("tr", {}, el("td", { class: "corner" }, el("span", {}, sweep ? "" : base ? "settings" : "layers")),
      columns.map((label) => el("th", { scope: "col" }, heading(label))))),
    el("tbody", {}, rows.map((name) => el("tr", {},
      el("th", { scope: "row" }, el("span", {}, own(rowText(name)))),
      columns.map((label) => {
        const [cell] = cellsAt.get(JSON.stringify([name, label])) || [];
        return el("td", {}, cell ? plate(cell, matrixCaption(cell), { eager: pair.length <= 24 }) : null);
      })))));
  const scale = !sweep && columns.length > 1 ? el("p", { class: "scale", "aria-hidden": "true" }, scaleEnds(columns)) : null;
  return el("div", { class: "scroller", role: "region", "aria-labelledby": "pair-title", tabindex: "0" }, scale, table);
}

function scaleEnds(ratios) {
  const falling = Number(ratios[0]) >= Number(ratios.at(-1));
  const ends = ["keeps the content", "takes the style"];
  const [left, right] = falling ? ends : ends.reverse();
  return [el("span", {}, left), el("span", { class: "arrow" }), el("span", {}, right)];
}

function walkPairs() {
  const names = [...pairPlaces.keys()];
  if (names.length < 2) return null;
  const here = names.indexOf(pairHere());
  const step = (by) => {
    const [content, style] = JSON.parse(names[(here + by + names.length) % names.length]);
    const title = own(`${contents.get(content).title} × ${styles.get(style).title}`);
    return link({ content, style }, { class: "walk" }, by < 0 ? ["← ", title] : [title, " →"]);
  };
  return el("nav", { class: "pair-walk", "aria-label": "Other pairs" }, step(-1), step(1));
}

// ---------------------------------------------------------------- lists

const BATCH = 60; // cards drawn at a time; scrolling draws more

function list(shown, caption) {
  const items = el("ul", { class: "cards" });
  const more = el("button", { type: "button", class: "more" }, "Show more");
  let drawn = 0;
  const draw = () => {
    const batch = shown.slice(drawn, drawn + BATCH);
    items.append(...batch.map((cell) => el("li", {}, plate(cell, caption(cell)))));
    drawn += batch.length;
    more.hidden = drawn >= shown.length;
    if (more.hidden) nearing.disconnect();
  };
  const nearing = new IntersectionObserver((seen) => { if (seen.some((one) => one.isIntersecting)) draw(); }, { rootMargin: "800px" });
  more.addEventListener("click", () => {
    const next = drawn;
    draw();
    items.children[next]?.querySelector("a").focus();
  });
  draw();
  nearing.observe(more);
  return el("div", {}, items, more);
}

// ---------------------------------------------------------------- all cells: filter and sort

const MARKS = [["suggested", "suggested"], ["pareto", "on the Pareto front"], ["starred", "starred"], ["finished", "finished"], ["failed", "failed"]];
const FACETS = facetsOf();
const RANGES = rangesOf();

function facetsOf() {
  const titles = (subjects) => subjects.map((one) => [one.name, one.title]);
  const texts = (values) => values.map((value) => [value, value]);
  return [
    { name: "content", label: "Content", of: (cell) => cell.content, offered: titles(data.contents) },
    { name: "style", label: "Style", of: (cell) => cell.style, offered: titles(data.styles) },
    { name: "layers", label: "Layers", of: (cell) => cell.weights, offered: texts(LAYERS) },
    ...VARIED.map((name) => {
      const of = (cell) => cell.varied.get(name);
      const label = settingLabel(name);
      return { name, label: label[0].toUpperCase() + label.slice(1), of, offered: texts(byNumber(unique(cells.map(of)))) };
    }),
    { name: "ratio", label: "α/β", of: (cell) => cell.ratio, offered: texts(RATIOS) },
  ];
}

// Sorts numbers by value and everything else in the order of the run.
function byNumber(values) {
  return values.every((value) => Number.isFinite(Number(value))) ? values.sort((one, other) => one - other) : values;
}

function rangesOf() {
  const ranges = METRICS.map((one) => ({ name: one.name, label: one.label, of: (cell) => cell.metrics[one.name] }));
  if (RANKED) ranges.unshift({ name: "rank", label: "Rank in its pair", of: (cell) => cell.rank ?? undefined });
  ranges.push({ name: "seconds", label: "Seconds", of: (cell) => cell.seconds ?? undefined });
  const varied = ({ of }) => new Set(cells.map(of).filter((value) => value !== undefined)).size > 1;
  return ranges.filter(varied);
}

function filtered() {
  const words = plain(get("q")).split(/\s+/).filter(Boolean);
  const limits = RANGES.map(({ name, of }) => ({ of, low: limit(`min.${name}`), high: limit(`max.${name}`) }))
    .filter(({ low, high }) => low !== null || high !== null);
  return sorted(cells.filter((cell) => words.every((word) => cell.words.includes(word))
    && FACETS.every(({ name, of }) => !get(`only.${name}`) || of(cell) === get(`only.${name}`))
    && hasMark(cell, get("only.mark"))
    && limits.every(({ of, low, high }) => within(of(cell), low, high))));
}

function limit(name) {
  const text = get(name).trim();
  return text === "" || !Number.isFinite(Number(text)) ? null : Number(text);
}

// A failed cell has no numbers, so it is in no range.
function within(value, low, high) {
  return value !== undefined && (low === null || value >= low) && (high === null || value <= high);
}

function hasMark(cell, mark) {
  if (mark === "starred") return isStarred(cell);
  if (mark === "suggested" || mark === "pareto") return cell[mark];
  return !mark || cell.status === mark;
}

// The best first. Cells without the number always come last; equal cells keep their order.
function sorted(shown) {
  const by = RANGES.find((one) => one.name === get("sort"));
  if (!by) return get("reverse") ? [...shown].reverse() : shown;
  const sign = (metrics.get(by.name)?.better === "higher" ? -1 : 1) * (get("reverse") ? -1 : 1);
  const order = (a, b) => {
    const [one, other] = [by.of(a), by.of(b)];
    if (one === undefined || other === undefined) return (one === undefined) - (other === undefined);
    return sign * (one - other);
  };
  return [...shown].sort((a, b) => order(a, b) || a.place - b.place);
}

function allView() {
  return [
    el("h2", { class: "unseen" }, "All cells"),
    el("form", { class: "tools", role: "search", "aria-label": "Filter the cells", onsubmit: (event) => event.preventDefault() },
      el("div", { class: "tools-main" },
        field("Find", el("input", { type: "search", "data-state": "q", placeholder: "words of titles, layers, α/β", autocomplete: "off" })),
        field("Sort by", select("sort", [["", "order of the run"], ...RANGES.map((one) => [one.name, `${one.label}, ${first(one)} first`])])),
        el("label", { class: "check" }, el("input", { type: "checkbox", "data-state": "reverse" }), "reversed")),
      el("details", { class: "filters", open: hasFilters() },
        el("summary", {}, "Filters"),
        el("div", { class: "selects" },
          FACETS.map(({ name, label, offered }) => field(label, select(`only.${name}`, [["", "all"], ...offered]))),
          field("Show", select("only.mark", [["", "all"], ...MARKS]))),
        el("div", { class: "ranges" }, RANGES.map(rangeField))),
      el("p", { class: "outcome" }, el("span", { id: "count" }), el("button", { type: "button", class: "quiet", id: "clear", onclick: clearFilters }, "Clear all"))),
    el("div", { id: "results" }),
  ];
}

function first({ name }) {
  if (name === "seconds") return "shortest";
  return name === "rank" || metrics.get(name).better ? "best" : "lowest";
}

function field(label, control) {
  return el("label", { class: "field" }, el("span", {}, label), control);
}

function select(name, options) {
  return el("select", { "data-state": name }, options.map(([value, text]) => el("option", { value }, text)));
}

function rangeField({ name, label, of }) {
  const values = cells.map(of).filter((value) => value !== undefined);
  const side = (end, said, edge) => el("input", {
    type: "text", inputmode: "decimal", "data-state": `${end}.${name}`, "aria-label": `${label}, ${said}`,
    placeholder: number(edge).replace(",", ""), autocomplete: "off",
  });
  return el("fieldset", { class: "range" }, el("legend", {}, label),
    side("min", "at least", extreme(Math.min, values)), el("span", { "aria-hidden": "true" }, "to"), side("max", "at most", extreme(Math.max, values)));
}

// Math.max(...values) fails with a hundred thousand arguments.
function extreme(of, values) {
  return values.reduce((one, other) => of(one, other));
}

const FILTER_NAMES = () => ["q", "only.mark", ...FACETS.map(({ name }) => `only.${name}`), ...RANGES.flatMap(({ name }) => [`min.${name}`, `max.${name}`])];

function hasFilters() {
  return FILTER_NAMES().some((name) => name !== "q" && get(name));
}

function clearFilters() {
  go(Object.fromEntries(["sort", "reverse", ...FILTER_NAMES()].map((name) => [name, ""])), { replace: true });
  byId("main").querySelector("[data-state=q]").focus();
}

// Controls update the state, and the state updates the controls, except for text being typed.
function readControl(event) {
  const control = event.target;
  const name = control.dataset.state;
  if (!name) return;
  const value = control.type === "checkbox" ? (control.checked ? "1" : "") : control.value;
  const number_ = control.inputMode === "decimal" && value.trim() !== "" && !Number.isFinite(Number(value));
  control.setAttribute("aria-invalid", number_);
  go({ [name]: value }, { replace: true });
}

function showControls() {
  for (const control of byId("main").querySelectorAll("[data-state]")) {
    const value = get(control.dataset.state);
    if (control.type === "checkbox") control.checked = Boolean(value);
    else if (control.value !== value) control.value = value;
  }
}

function showResults() {
  const shown = filtered();
  const metric = metrics.has(get("sort")) ? get("sort") : "";
  const text = shown.length === cells.length ? `${plural(cells.length, "cell")}` : `${shown.length.toLocaleString("en")} of ${plural(cells.length, "cell")}`;
  if (byId("count").textContent && byId("count").textContent !== text) announce(text);
  byId("count").textContent = text;
  byId("clear").hidden = ![...FILTER_NAMES(), "sort", "reverse"].some(get);
  const empty = el("p", { class: "empty" }, "No cell matches all filters. Widen a range, or clear the filters.");
  byId("results").replaceChildren(shown.length ? list(shown, (cell) => cardCaption(cell, metric)) : empty);
}

// ---------------------------------------------------------------- starred cells, to download

function starredView() {
  const shown = starred();
  const head = el("div", { class: "view-head" }, el("h2", {}, "Starred"),
    shown.length ? el("div", { class: "group" },
      exportButton("Save as CSV", () => download("starred.csv", "text/csv", asCsv(shown))),
      exportButton("Save as JSON", () => download("starred.json", "application/json", asJson(shown))),
      exportButton("Copy the paths", () => copy(shown.map(pathOf).join("\n")))) : null);
  const empty = el("p", { class: "empty" }, "No starred cells yet. A star adds a picture to this list. This browser stores the list, and you can save it as a file.");
  return [head, shown.length ? list(shown, (cell) => cardCaption(cell, "")) : empty];
}

function exportButton(text, onclick) {
  return el("button", { type: "button", class: "quiet", onclick }, text);
}

// The path of a cell's picture below results/.
function pathOf(cell) {
  return cell.full ? decodeURIComponent(cell.full).replace(/^(\.\.\/)+/, "") : cell.key;
}

function record(cell) {
  const names = Object.fromEntries(METRICS.map((one) => [one.name, cell.metrics[one.name] ?? null]));
  const { content, style, layers, ratio, formulation, status, rank, fingerprint } = cell;
  return { content, style, layers, ratio, formulation, status, path: pathOf(cell), rank, ...names, fingerprint };
}

function asJson(shown) {
  return `${JSON.stringify(shown.map(record), null, 1)}\n`;
}

// A spreadsheet evaluates text that starts like a formula; the apostrophe prevents this.
function asCsv(shown) {
  const quoted = (value) => {
    if (typeof value === "number") return String(value);
    const text = String(value ?? "").replace(/^[=+\-@\t\r]/, "'$&");
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const rows = shown.map(record);
  return [Object.keys(rows[0]), ...rows.map(Object.values)].map((row) => `${row.map(quoted).join(",")}\n`).join("");
}

function download(name, type, text) {
  const address = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  el("a", { href: address, download: name }).click();
  window.setTimeout(() => URL.revokeObjectURL(address), 10000);
  announce(`${name} saved`);
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    copyBySelection(text);
  }
  announce("Paths copied");
}

function copyBySelection(text) {
  const area = el("textarea", { class: "unseen", "aria-hidden": "true" });
  const back = document.activeElement;
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
  back?.focus();
}
