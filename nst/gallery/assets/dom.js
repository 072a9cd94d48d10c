// ---------------------------------------------------------------- making elements
// Text reaches the page only as text nodes and attributes, so no name or title can be markup.

const SVG = "http://www.w3.org/2000/svg";
const byId = (id) => document.getElementById(id);

function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : String(value));
  }
  node.append(...children.flat().filter((child) => child || child === 0));
  return node;
}

// A user's name or title, which may run from right to left.
const own = (text) => el("bdi", {}, text);

const unseen = (text) => el("span", { class: "unseen" }, text);

const ICONS = {
  star: "M8 1.6 9.9 5.7 14.4 6.3 11.1 9.4 11.9 13.9 8 11.7 4.1 13.9 4.9 9.4 1.6 6.3 6.1 5.7Z",
  compare: "M2 3h5v10H2Z M9 3h5v10H9Z",
  close: "M3.5 3.5 12.5 12.5 M12.5 3.5 3.5 12.5",
  previous: "M10 3 5 8 10 13",
  next: "M6 3 11 8 6 13",
  plus: "M8 3v10 M3 8h10",
  minus: "M3 8h10",
  fit: "M2.5 6V2.5H6 M10 2.5h3.5V6 M13.5 10v3.5H10 M6 13.5H2.5V10",
};

function icon(name) {
  const attributes = { class: `icon icon-${name}`, viewBox: "0 0 16 16", "aria-hidden": "true" };
  return svg("svg", attributes, svg("path", { d: ICONS[name] }));
}

function iconButton(name, label, onclick, attributes = {}) {
  const button = { type: "button", class: "icon-button", "aria-label": label, title: label };
  return el("button", { ...button, ...attributes, onclick }, icon(name));
}

// Screen readers announce a repeated text only if it was cleared first.
function announce(text, id = "live") {
  const live = byId(byId("full").open && id === "live" ? "full-live" : id);
  live.textContent = "";
  window.setTimeout(() => { live.textContent = text; }, 60);
}

function warn(text) {
  const notice = byId("notice");
  notice.textContent = text;
  notice.hidden = false;
  announce(text);
}
