// ---------------------------------------------------------------- one cell in a list

const STANDING = [["suggested", "Suggested"], ["pareto", "Pareto front"]];

function marks(cell) {
  const shown = STANDING.filter(([name]) => cell[name]);
  if (!shown.length) return null;
  return el("span", { class: "marks" }, shown.map(([name, text]) => el("span", { class: `mark mark-${name}` }, text)));
}

function failure(cell) {
  return el("span", { class: "failure", role: "img", "aria-label": describe(cell) },
    el("strong", { "aria-hidden": "true" }, "Failed"));
}

function thumbnail(cell, { eager = false } = {}) {
  if (cell.failed) return failure(cell);
  return el("img", {
    src: cell.thumbnail, alt: describe(cell), width: cell.width, height: cell.height,
    loading: eager ? "eager" : "lazy", decoding: "async",
  });
}

// A plate: the picture as a link to its full view, a caption and buttons.
function plate(cell, caption, options) {
  if (cell.waiting) {
    return el("figure", { class: "plate" }, el("span", { class: "waiting", role: "img", "aria-label": describe(cell) },
      el("span", { "aria-hidden": "true" }, "still to come")), el("figcaption", {}, el("div", { class: "caption" }, caption)));
  }
  return el("figure", { class: "plate", "data-key": cell.key },
    link({ cell: cell.key }, { class: "picture" }, thumbnail(cell, options)),
    el("figcaption", {}, actions(cell), el("div", { class: "caption" }, caption)));
}

function actions(cell) {
  return el("div", { class: "actions" }, starButton(cell), chooseButton(cell));
}

function starButton(cell) {
  const button = iconButton("star", "Star", () => toggleStar(cell), { "data-star": cell.key });
  button.setAttribute("aria-label", `Star: ${describe(cell)}`);
  return markStar(button, cell);
}

function chooseButton(cell) {
  const button = iconButton("compare", "Compare", () => toggleChosen(cell), { "data-choose": cell.key });
  button.setAttribute("aria-label", `Compare: ${describe(cell)}`);
  return markChosen(button, cell);
}

function markStar(button, cell) {
  button.setAttribute("aria-pressed", isStarred(cell));
  return button;
}

function markChosen(button, cell) {
  button.setAttribute("aria-pressed", isChosen(cell));
  return button;
}

function headline(cell) {
  if (cell.failed) return cell.reason;
  const shown = HEADLINE.filter((name) => name in cell.metrics);
  return shown.map((name) => el("span", {}, `${metrics.get(name).label} ${number(cell.metrics[name])}`));
}

function matrixCaption(cell) {
  return [
    marks(cell),
    el("span", { class: "only-print" }, variantText(cell)),
    cell.rank ? el("span", { class: "rank" }, `${ordinal(cell.rank)} of ${pairs.get(pairOf(cell)).length}`) : null,
    el("span", { class: "numbers" }, headline(cell)),
  ];
}

function cardCaption(cell, metric) {
  const value = metric && metric in cell.metrics ? `${metrics.get(metric).label} ${number(cell.metrics[metric])}` : null;
  return [
    el("span", { class: "subject" }, own(contents.get(cell.content).title)),
    el("span", { class: "manner" }, own(styles.get(cell.style).title)),
    el("span", { class: "variant" }, variantText(cell)),
    marks(cell),
    el("span", { class: "numbers" }, cell.failed ? cell.reason : value),
  ];
}

// Updates stars and choices on the existing cards. No card is redrawn, so focus stays.
function showMarks() {
  for (const button of document.querySelectorAll("[data-star]")) markStar(button, byKey.get(button.dataset.star));
  for (const button of document.querySelectorAll("[data-choose]")) markChosen(button, byKey.get(button.dataset.choose));
  showTabs();
  if (get("view") === "starred") showView();
  if (get("view") === "all" && get("only.mark") === "starred") showResults();
}
