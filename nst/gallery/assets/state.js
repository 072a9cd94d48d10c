// ---------------------------------------------------------------- state, kept in the address
// The state is a few named texts and the cells chosen for comparison. The hash holds all of it, so
// a link restores a view and the back button undoes a change.

const VIEWS = ["matrix", "all", "starred", "compare", "vote"];
const MOST = 4; // cells side by side
const DEFAULTS = { view: "matrix", content: cells[0].content, style: cells[0].style };
const TEXTS = /^(view|content|style|cell|q|sort|reverse|only\.\w+|(min|max)\.\w+)$/;

let state = parse("");

function parse(hash) {
  const found = { with: [] };
  for (const [name, value] of new URLSearchParams(hash.replace(/^#/, ""))) {
    if (name === "with") {
      if (byKey.has(value) && !found.with.includes(value) && found.with.length < MOST) found.with.push(value);
    } else if (TEXTS.test(name)) {
      found[name] = value;
    }
  }
  return checked(found);
}

// An address may be old or mistyped: unknown names fall back to the defaults.
function checked(found) {
  if (!VIEWS.includes(found.view)) delete found.view;
  if (!contents.has(found.content)) delete found.content;
  if (!styles.has(found.style)) delete found.style;
  if (found.cell && !byKey.has(found.cell)) {
    window.setTimeout(warn, 0, `This gallery has no cell named ${found.cell}.`);
    delete found.cell;
  }
  return found;
}

function get(name) {
  return state[name] ?? DEFAULTS[name] ?? "";
}

function format(wanted) {
  const parts = [];
  for (const [name, value] of Object.entries(wanted)) {
    if (name !== "with" && value && value !== DEFAULTS[name]) parts.push([name, value]);
  }
  for (const key of wanted.with) parts.push(["with", key]);
  const text = parts.map(([name, value]) => `${name}=${encodeURIComponent(value).replaceAll("%2F", "/")}`);
  return `#${text.join("&") || `view=${DEFAULTS.view}`}`;
}

function go(changes, { replace = false, opened = false } = {}) {
  const wanted = checked({ ...state, ...changes });
  const address = format(wanted);
  const from = state;
  if (replace || address === format(state)) history.replaceState(history.state, "", address);
  else history.pushState({ opened }, "", address);
  state = wanted;
  show(from);
}

window.addEventListener("popstate", () => {
  const from = state;
  state = parse(location.hash);
  show(from);
});

// A link whose address follows the state. A plain click changes the view without loading a page.
const changesOf = new WeakMap();

function link(changes, attributes, ...children) {
  const node = el("a", { ...attributes, "data-go": true }, ...children);
  changesOf.set(node, changes);
  node.href = format({ ...state, ...changes });
  return node;
}

function refreshLinks() {
  for (const node of document.querySelectorAll("a[data-go]")) {
    node.href = format({ ...state, ...changesOf.get(node) });
  }
}

document.addEventListener("click", (event) => {
  const node = event.target.closest("a[data-go]");
  if (!node || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  const changes = changesOf.get(node);
  go(changes, { opened: Boolean(changes.cell) });
});

// ---------------------------------------------------------------- browser storage
// Stars are stored by fingerprint, so a picture keeps its star when the grid grows or the folder
// moves.

const STARS = "nst-gallery-stars";
const THEME = "nst-gallery-theme";
let kept = true;
let stars = readStars(recall(STARS));

const starName = (cell) => cell.fingerprint || cell.key;
const isStarred = (cell) => stars.has(starName(cell));
const starred = () => cells.filter(isStarred);

function readStars(text) {
  try {
    return new Set(JSON.parse(text || "[]"));
  } catch {
    return new Set(); // not written by this page
  }
}

function recall(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    kept = false;
    return null;
  }
}

function keep(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    kept = false;
  }
}

function toggleStar(cell) {
  const name = starName(cell);
  if (!stars.delete(name)) stars.add(name);
  keep(STARS, JSON.stringify([...stars]));
  if (kept) announce(`${stars.has(name) ? "Starred" : "Star removed"}: ${describe(cell)}`);
  else warn("This browser stores nothing for pages opened from disk: stars last until the page is closed. Export them to keep them.");
  showMarks();
}

window.addEventListener("storage", (event) => {
  if (event.key !== STARS) return;
  stars = readStars(event.newValue);
  showMarks();
});

// ---------------------------------------------------------------- choosing for comparison

const isChosen = (cell) => state.with.includes(cell.key);

function toggleChosen(cell) {
  const chosen = state.with.filter((key) => key !== cell.key);
  if (!isChosen(cell)) {
    if (chosen.length >= MOST) {
      announce("Four cells can be compared at once; remove one first.");
      byId("tray").classList.add("refused");
      window.setTimeout(() => byId("tray").classList.remove("refused"), 900);
      return;
    }
    chosen.push(cell.key);
  }
  go({ with: chosen }, { replace: true });
  announce(`${plural(chosen.length, "cell")} chosen for comparison`);
}
