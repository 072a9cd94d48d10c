// ---------------------------------------------------------------- the full view of one cell

let opened = null; // { cell, viewer, from } while it is open

const dialog = byId("full");

// The cells that previous and next step through: the cells of the view behind.
function sequence() {
  const views = { matrix: pairCells, all: filtered, starred, compare: () => state.with.map((key) => byKey.get(key)) };
  const shown = (views[get("view")] || pairCells)();
  return shown.some((cell) => cell.key === state.cell) ? shown : pairs.get(pairOf(byKey.get(state.cell)));
}

function showFull() {
  if (!state.cell) {
    closeFull();
    return;
  }
  const cell = byKey.get(state.cell);
  if (opened?.cell === cell) return;
  const from = opened?.from ?? document.activeElement;
  const again = Boolean(opened);
  const slid = opened?.slid ?? 0;
  opened?.viewer.stop();
  opened = { cell, from, viewer: null, slid };
  fillFull(cell);
  if (!again) {
    dialog.showModal();
    byId("full-title").focus();
  } else {
    announce(describe(cell), "full-live");
  }
  startViewer(cell);
}

function closeFull() {
  if (!opened) return;
  const { viewer, from, cell } = opened;
  viewer.stop();
  opened = null;
  dialog.close();
  const here = byId("main").querySelector(`[data-key="${CSS.escape(cell.key)}"] a`);
  (here || (from?.isConnected ? from : byId("main"))).focus();
}

// Closing goes back in the history, so that the back button does not reopen the full view.
function leaveFull() {
  if (history.state?.opened) history.back();
  else go({ cell: "" }, { replace: true });
}

function walk(by) {
  const shown = sequence();
  const here = shown.findIndex((cell) => cell.key === state.cell);
  const there = shown[(here + by + shown.length) % shown.length];
  go({ cell: there.key }, { replace: true });
}

function fillFull(cell) {
  const shown = sequence();
  const here = shown.findIndex((one) => one.key === cell.key);
  const focused = document.activeElement?.getAttribute?.("data-part");
  byId("full-walk").replaceChildren(
    iconButton("previous", "Previous picture", () => walk(-1), { "data-part": "previous" }),
    el("span", { class: "place" }, `${(here + 1).toLocaleString("en")} / ${shown.length.toLocaleString("en")}`),
    iconButton("next", "Next picture", () => walk(1), { "data-part": "next" }));
  const [star, choose] = [starButton(cell), chooseButton(cell)];
  star.dataset.part = "star";
  choose.dataset.part = "choose";
  byId("full-keep").replaceChildren(star, choose, iconButton("close", "Close", leaveFull, { "data-part": "close" }));
  byId("full-label").replaceChildren(...label(cell));
  byId("full-label").scrollTop = 0;
  keepFocus(focused);
}

// Restores the focus after redrawing; keys work only while the focus is inside.
function keepFocus(part) {
  const same = part && dialog.querySelector(`[data-part="${part}"]`);
  if (same) same.focus();
  else if (dialog.open && !dialog.contains(document.activeElement)) byId("full-title").focus();
}

function startViewer(cell) {
  const plane = buildStage(byId("full-stage"), cell, { before: true });
  const slider = plane.canvas.querySelector(".before") ? slide(plane) : null;
  byId("full-slide").replaceChildren(...(slider ? [slider.field] : []));
  byId("full-zoom").hidden = cell.failed;
  const { buttons, show } = zoomButtons(() => opened.viewer);
  byId("full-zoom").replaceChildren(...buttons);
  plane.canvas.querySelector("img")?.addEventListener("onlypreview", () => {
    byId("full-original")?.replaceWith(el("span", {}, "This is a smaller copy; the full picture is not next to this folder."));
  });
  opened.viewer = createViewer([plane], { onslide: slider?.set, onchange: show });
  slider?.set(opened.slid);
}

// Before and after: the content covers the picture up to a movable line.
function slide(plane) {
  const range = el("input", { type: "range", min: "0", max: "100", step: "1", id: "full-range", "data-part": "range" });
  const set = (share) => {
    const percent = Math.round(share * 100);
    opened.slid = share;
    range.value = percent;
    range.setAttribute("aria-valuetext", `${percent} % content`);
    plane.canvas.style.setProperty("--slid", `${share * 100}%`);
    plane.canvas.classList.toggle("unslid", percent === 0);
  };
  range.addEventListener("input", () => set(range.value / 100));
  const field = el("label", { class: "slide-field" }, el("span", {}, "Result"), unseen(" before and after "), range, el("span", {}, "Content"));
  return { set, field };
}

// ---------------------------------------------------------------- the label beside the picture

function label(cell) {
  const content = contents.get(cell.content);
  const style = styles.get(cell.style);
  return [
    el("h2", { id: "full-title", tabindex: "-1" }, own(content.title), " ", el("span", { class: "manner" }, "in the style of ", own(style.title))),
    el("p", { class: "variant" }, variantText(cell)),
    marks(cell),
    cell.suggested && cell.suggestion ? el("p", { class: "why" }, cell.suggestion) : null,
    cell.failed ? el("p", { class: "why failed-why" }, el("strong", {}, "Failed. "), cell.reason || "Its losses became infinite or NaN.") : null,
    el("div", { class: "made-from" }, [["content", content], ["style", style]].map(([role, one]) => madeFrom(role, one))),
    measures(cell),
    curveSection(cell),
    el("section", {}, el("h3", {}, "How it was made"), facts(madeHow(cell))),
    el("details", {}, el("summary", {}, "All settings"), facts(Object.entries(settingsOf(cell)).map(([name, value]) => [settingLabel(name), settingText(value)]))),
    el("details", { class: "keys" }, el("summary", {}, "Keys"), facts(KEYS)),
  ].filter(Boolean);
}

const KEYS = [["← →", "previous, next"], ["+ −", "zoom"], ["0", "fit the picture"], ["Shift and arrows", "move the picture"],
  ["B", "result or content"], ["S", "star"], ["C", "choose for comparison"], ["Esc", "close"]];

function madeFrom(role, subject) {
  if (!subject.thumbnail) return null;
  return el("figure", {}, el("img", { src: subject.thumbnail, alt: `The ${role}: ${subject.title}` }),
    el("figcaption", {}, role === "content" ? "Content" : "Style"));
}

function measures(cell) {
  const known = METRICS.filter((metric) => metric.name in cell.metrics);
  if (!known.length) return null;
  const pair = pairs.get(pairOf(cell));
  const note = pair.length > 1 ? `Dots: the ${pair.length} cells of this pair; better values are further right.` : null;
  return el("section", {}, el("h3", {}, "Measures"),
    cell.rank ? el("p", { class: "rank" }, `${ordinal(cell.rank)} of the ${pair.length} cells of its pair.`) : null,
    el("table", { class: "measures" }, el("tbody", {}, known.map((metric) => el("tr", { title: metric.meaning },
      el("th", { scope: "row" }, metric.label), el("td", {}, number(cell.metrics[metric.name])), el("td", {}, standing(cell, metric)))))),
    note ? el("p", { class: "note" }, note) : null);
}

function curveSection(cell) {
  const curve = lossCurve(cell.trace);
  return curve ? el("section", {}, el("h3", {}, "Losses by step"), curve) : null;
}

function madeHow(cell) {
  const original = cell.full ? el("a", { href: cell.full, id: "full-original", target: "_blank", rel: "noopener" }, "Open the picture file") : null;
  return [
    ["Size", `${cell.width} × ${cell.height} px`],
    ["Recipe", own(cell.formulation || "–")],
    ["Time", cell.seconds === null ? "–" : `${number(cell.seconds)} s`],
    ["Device", own(cell.device || "–")],
    ["Fingerprint", el("code", { title: cell.fingerprint }, cell.fingerprint.slice(0, 12) || "–")],
    original ? ["File", original] : null,
  ].filter(Boolean);
}

function facts(rows) {
  return el("dl", { class: "facts" }, rows.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

function settingsOf(cell) {
  return { ...data.settings, ...cell.settings };
}

function settingText(value) {
  if (value === undefined || value === null) return "–";
  if (Array.isArray(value)) return value.map(settingText).join(", ") || "none";
  if (typeof value === "object") return Object.entries(value).map(([name, weight]) => `${name}: ${weight}`).join(", ");
  if (typeof value === "boolean") return value ? "yes" : "no";
  return String(value);
}

// ---------------------------------------------------------------- keys of the full view

const MOVES = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };

const PRESSED = {
  ArrowLeft: () => walk(-1),
  ArrowRight: () => walk(1),
  "+": () => opened.viewer.zoom(1.5),
  "=": () => opened.viewer.zoom(1.5),
  "-": () => opened.viewer.zoom(1 / 1.5),
  0: () => opened.viewer.reset(),
  b: () => flip(),
  s: () => toggleStar(opened.cell),
  c: () => toggleChosen(opened.cell),
};

function flip() {
  const range = byId("full-range");
  if (!range) return;
  range.value = Number(range.value) > 50 ? 0 : 100;
  range.dispatchEvent(new Event("input"));
}

dialog.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("[data-part=range]")) return;
  if (event.shiftKey && MOVES[event.key]) opened.viewer.pan(...MOVES[event.key]);
  else if (PRESSED[event.key.length > 1 ? event.key : event.key.toLowerCase()]) PRESSED[event.key.length > 1 ? event.key : event.key.toLowerCase()]();
  else return;
  event.preventDefault();
});

dialog.addEventListener("cancel", (event) => {
  event.preventDefault();
  leaveFull();
});
