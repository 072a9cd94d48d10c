// ---------------------------------------------------------------- side by side

let sideBySide = null;

function compareView() {
  sideBySide?.stop();
  sideBySide = null;
  const chosen = state.with.map((key) => byKey.get(key));
  const { buttons, show } = zoomButtons(() => sideBySide);
  const head = el("div", { class: "view-head" }, el("h2", {}, "Compare"),
    chosen.length ? el("div", { class: "group" }, buttons) : null);
  if (!chosen.length) {
    return [head, el("p", { class: "empty" }, "No cells chosen. Click the two frames under a picture to choose it. You can compare up to four.")];
  }
  const planes = [];
  const narrowest = Math.min(...chosen.map((cell) => cell.width / cell.height));
  const columns = chosen.map((cell) => {
    const stage = el("div", { class: "stage" });
    stage.style.aspectRatio = narrowest;
    planes.push(buildStage(stage, cell));
    return el("figure", { class: "side", "data-key": cell.key }, stage,
      el("figcaption", {}, el("div", { class: "caption" },
        link({ cell: cell.key }, { class: "subject" }, own(contents.get(cell.content).title)),
        el("span", { class: "manner" }, own(styles.get(cell.style).title)),
        el("span", { class: "variant" }, variantText(cell)), marks(cell)),
      el("div", { class: "actions" }, starButton(cell),
        iconButton("close", `Remove ${describe(cell)}`, () => toggleChosen(cell)))));
  });
  window.requestAnimationFrame(() => {
    if (planes[0].stage.isConnected) sideBySide = createViewer(planes, { wheelAlways: false, onchange: show });
  });
  return [head, el("div", { class: `sides sides-${chosen.length}` }, columns), compareTable(chosen)];
}

function compareTable(chosen) {
  const rows = [
    ...METRICS.map((metric) => metricRow(metric, chosen)),
    ...differing(chosen).map((name) => el("tr", {}, el("th", { scope: "row" }, settingLabel(name)),
      chosen.map((cell) => el("td", {}, settingText(settingsOf(cell)[name]))))),
    el("tr", {}, el("th", { scope: "row" }, "Seconds"), chosen.map((cell) => el("td", {}, number(cell.seconds)))),
  ];
  const heads = chosen.map((cell) => el("th", { scope: "col" },
    unseen(`${contents.get(cell.content).title}, ${styles.get(cell.style).title}, `), variantText(cell)));
  return el("div", { class: "scroller", role: "region", "aria-label": "Measures and settings compared", tabindex: "0" },
    el("table", { class: "numbers-table" },
      el("caption", { class: "unseen" }, "Measures, and the settings that differ"),
      el("thead", {}, el("tr", {}, el("td", {}), heads)), el("tbody", {}, rows)));
}

function metricRow(metric, chosen) {
  const values = chosen.map((cell) => cell.metrics[metric.name]);
  const known = values.filter((value) => value !== undefined);
  const best = metric.better === "higher" ? Math.max(...known) : Math.min(...known);
  const marked = metric.better && new Set(known).size > 1;
  return el("tr", {}, el("th", { scope: "row" }, metric.label),
    values.map((value) => (marked && value === best
      ? el("td", { class: "best" }, number(value), el("span", { class: "mark mark-best" }, "best"))
      : el("td", {}, number(value)))));
}

function differing(chosen) {
  const all = chosen.map(settingsOf);
  const names = unique(all.flatMap(Object.keys));
  return names.filter((name) => new Set(all.map((one) => JSON.stringify(one[name]))).size > 1);
}

// ---------------------------------------------------------------- the tray of chosen cells

function showTray() {
  const chosen = state.with.map((key) => byKey.get(key));
  const tray = byId("tray");
  tray.hidden = !chosen.length || ["compare", "vote"].includes(get("view"));
  const inTray = tray.contains(document.activeElement);
  tray.replaceChildren(
    el("div", { class: "tray-cells" }, chosen.map((cell) => el("button", {
      type: "button", class: "tray-cell", "aria-label": `Remove ${describe(cell)}`, title: "Remove", onclick: () => toggleChosen(cell),
    }, cell.failed ? "–" : el("img", { src: cell.thumbnail, alt: "" })))),
    link({ view: "compare" }, { class: "tray-go" }, chosen.length > 1 ? `Compare ${chosen.length}` : "Compare"),
    iconButton("close", "Clear the choice", () => go({ with: [] }, { replace: true })));
  if (inTray) (tray.hidden ? byId("main") : tray.querySelector(".tray-go")).focus();
}
