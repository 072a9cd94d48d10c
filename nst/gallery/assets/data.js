// ---------------------------------------------------------------- the cells

const data = JSON.parse(byId("data").textContent);
const contents = new Map(data.contents.map((one) => [one.name, one]));
const styles = new Map(data.styles.map((one) => [one.name, one]));
// During a run, cells that are not finished have places in the matrix and no data.
const places = unpack(data.cells).map(prepare);
const cells = places.filter((cell) => !cell.waiting);
const byKey = new Map(cells.map((cell) => [cell.key, cell]));
const pairs = grouped(cells, pairOf);
const pairPlaces = grouped(places, pairOf);
const LAYERS = unique(places.map((cell) => cell.weights));
const VARIED = unique(places.flatMap((cell) => [...cell.varied.keys()]));
const RATIOS = unique(places.map((cell) => cell.ratio));
const METRICS = describedMetrics().filter(({ name }) => cells.some((cell) => name in cell.metrics));
const metrics = new Map(METRICS.map((one) => [one.name, one]));
const RANKED = cells.some((cell) => cell.rank !== null);

// The numbers of cells: column of the table, label, better direction and meaning. The direction is
// empty for a number that does not rank cells.
function describedMetrics() {
  return [
    ["preference", "Preference", "higher", "The predicted share of votes for this cell against another cell of its pair."],
    ["content_distance", "Content distance", "lower", "How far the features are from the content's; 0 is no change."],
    ["style_distance", "Style distance", "lower", "How far the 7×7 px patches, at all octaves, are from the style's; 0 is the same."],
    ["colour_distance", "Colour distance", "lower", "How far the colours are from the style's; 0 is the same palette."],
    ["ssim", "Structure kept (SSIM)", "higher", "How much of the content's light and dark structure is kept; 1 is all of it."],
    ["relative_content", "Relative content loss", "lower", "The content loss by one definition for all recipes; 1 is no better than a featureless picture."],
    ["relative_style", "Relative style loss", "lower", "The style loss by one definition for all recipes; 1 is no better than a featureless picture."],
    ["content_loss", "Content loss", "", "In the recipe's own units, before weighting; not for comparing recipes."],
    ["style_loss", "Style loss", "", "In the recipe's own units, before weighting; not for comparing recipes."],
    ["tv_loss", "Total variation", "", "How rough the picture is; 0 is one flat tone."],
    ["total_loss", "Total loss", "", "What the optimiser minimises; comparable only at the same α and β."],
  ].map(([name, label, better, meaning]) => ({ name, label, better, meaning }));
}

// The page stores cells by columns and equal values once.
function unpack({ count, columns }) {
  const items = Array.from({ length: count }, () => ({ metrics: {}, trace: {} }));
  for (const { path: [name, part], each, values, indices } of columns) {
    items.forEach((item, i) => {
      const value = each ? each[i] : values[indices[i]];
      if (part === undefined) item[name] = value;
      else if (value !== null) item[name][part] = value;
    });
  }
  return items;
}

function prepare(cell, place) {
  const content = contents.get(cell.content);
  const style = styles.get(cell.style);
  // The settings that vary follow the name of the layer weighting: all/colours=style/seed=1.
  const [weights, ...varied] = cell.layers.split("/");
  const words = [
    content.title, cell.content, style.title, cell.style,
    cell.layers, cell.ratio, cell.formulation, cell.status,
  ];
  return {
    ...cell,
    place,
    weights,
    varied: new Map(varied.map((part) => part.split("="))),
    key: [cell.content, cell.style, cell.layers, cell.ratio].join("/"),
    failed: cell.status === "failed",
    waiting: cell.status === "waiting",
    words: plain(words.join(" ")),
  };
}

function unique(values) {
  return [...new Set(values)];
}

function grouped(items, nameOf) {
  if (Map.groupBy) return Map.groupBy(items, nameOf);
  const groups = new Map();
  for (const item of items) {
    const name = nameOf(item);
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push(item);
  }
  return groups;
}

function pairOf(cell) {
  return JSON.stringify([cell.content, cell.style]);
}

// For searching: ignores case and accents.
function plain(text) {
  return text.normalize("NFKD").replace(/\p{Mark}/gu, "").toLowerCase();
}

// The alternative text of a cell's picture: one sentence that describes it.
function describe(cell) {
  const subject = contents.get(cell.content).title;
  const manner = styles.get(cell.style).title;
  const variant = `layers ${spoken(cell.layers)}, alpha/beta ${cell.ratio}`;
  if (cell.failed) return `Failed: ${subject} in the style of ${manner}, ${variant}`;
  if (cell.waiting) return `Still to come: ${subject} in the style of ${manner}, ${variant}`;
  return `${subject} redrawn in the style of ${manner}, ${variant}`;
}

const settingLabel = (name) => name.replaceAll("_", " ");

// Readable form of a variant's name: all/style_scale=0.5 becomes all, style scale 0.5.
function spoken(layers, between = ", ") {
  return layers.split("/").map((part) => part.replace(/^\w+=/, (name) => `${settingLabel(name.slice(0, -1))} `)).join(between);
}

const RAISED = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };

// α/β in print, 10⁻¹, with the label 1e-1 for screen readers.
function ratioText(label) {
  const parts = /^([\d.]+)e(-?\d+)$/.exec(label);
  if (!parts) return own(label);
  const [, digits, exponent] = parts;
  if (exponent === "0") return el("span", {}, digits);
  const power = `10${[...exponent].map((one) => RAISED[one]).join("")}`;
  const shown = digits === "1" ? power : `${digits} × ${power}`;
  return el("span", {}, el("span", { "aria-hidden": "true" }, shown), unseen(label));
}

function variantText(cell) {
  return el("span", {}, own(spoken(cell.layers, " · ")), " · ", el("span", { class: "balance" }, "α/β ", ratioText(cell.ratio)));
}

// Three digits are enough to compare cells.
function number(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e6) return value.toLocaleString("en");
  if (size >= 1e6 || (size < 1e-3 && size > 0)) return value.toExponential(1);
  if (size >= 1000) return Math.round(value).toLocaleString("en");
  return value.toPrecision(3);
}

function ordinal(count) {
  const tens = count % 100;
  const ending = tens > 10 && tens < 14 ? "th" : ["th", "st", "nd", "rd"][count % 10] || "th";
  return `${count}${ending}`;
}

function plural(count, noun) {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

// The two most informative measures, for captions.
const HEADLINE = [["content_distance", "style_distance"], ["relative_content", "relative_style"]]
  .find((names) => names.every((name) => metrics.has(name))) || METRICS.slice(0, 2).map((one) => one.name);
