// ---------------------------------------------------------------- the page as a whole

const BUILD = { matrix: matrixView, all: allView, starred: starredView, compare: compareView, vote: voteView };

function showView() {
  const view = get("view");
  document.body.dataset.view = view;
  byId("main").replaceChildren(...BUILD[view]().filter(Boolean));
  if (view === "all") {
    showControls();
    showResults();
  }
}

// The state that a view depends on. A view is redrawn only when its signature changes.
function signature(of) {
  const view = of.view ?? DEFAULTS.view;
  if (view === "matrix") return JSON.stringify([view, of.content, of.style]);
  if (view === "compare") return JSON.stringify([view, of.with]);
  if (view === "starred" || view === "vote") return view;
  const { cell, with: chosen, content, style, ...rest } = of;
  return JSON.stringify([view, rest]);
}

function show(from) {
  const sameView = from && (from.view ?? DEFAULTS.view) === get("view");
  if (!from || signature(from) !== signature(state)) {
    if (sameView && get("view") === "all") {
      showControls();
      showResults();
    } else {
      showView();
      if (from && !sameView) arrive();
    }
  }
  showMarksOnly();
  showTabs();
  showTray();
  showFull();
  refreshLinks();
  document.title = opened ? `${describe(opened.cell)} · ${data.title}` : data.title;
}

function arrive() {
  window.scrollTo(0, 0);
  if (!state.cell) announce(TITLES[get("view")]);
}

function showMarksOnly() {
  for (const button of document.querySelectorAll("[data-choose]")) markChosen(button, byKey.get(button.dataset.choose));
}

// ---------------------------------------------------------------- light and dark

const darkByDefault = window.matchMedia("(prefers-color-scheme: dark)");

function isDark() {
  const wanted = document.documentElement.dataset.theme;
  return wanted ? wanted === "dark" : darkByDefault.matches;
}

function showTheme() {
  byId("theme").textContent = isDark() ? "Light" : "Dark";
  byId("theme").setAttribute("aria-label", `Change to ${isDark() ? "light" : "dark"} colours`);
}

function toggleTheme() {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  keep(THEME, document.documentElement.dataset.theme);
  showTheme();
}

// ---------------------------------------------------------------- meaning of the marks

function glossary() {
  const said = [
    ["Suggested", "The cell of its pair to look at first."],
    ["Pareto front", "No other cell of its pair is at least as good in both distances and better in one."],
    ["α/β", "The balance of content and style: a large α/β keeps the content, a small one takes the style."],
    ["Layers", "The name of the layer weighting, as in the configuration."],
  ];
  const told = METRICS.map((one) => [one.label, [one.meaning, one.better ? ` ${one.better === "higher" ? "Higher" : "Lower"} is better.` : ""]]);
  return el("dl", { class: "glossary" }, [...said, ...told].map(([name, text]) => el("div", {}, el("dt", {}, name), el("dd", {}, text))));
}

// ---------------------------------------------------------------- start

const remembered = recall(THEME);
if (remembered === "light" || remembered === "dark") document.documentElement.dataset.theme = remembered;
byId("theme").addEventListener("click", toggleTheme);
darkByDefault.addEventListener("change", showTheme);
byId("main").addEventListener("input", readControl);
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId("main").focus();
});
byId("measures").append(glossary());
state = parse(location.hash);
showTheme();
show(null);
