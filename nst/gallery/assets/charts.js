// ---------------------------------------------------------------- small drawings

const CURVES = ["total", "content", "style"];

// The losses by step, on a logarithmic scale. Lines differ by dashes; a label at the end names each.
function lossCurve(trace) {
  const steps = trace.evaluation || [];
  const drawn = CURVES.filter((name) => (trace[name] || []).some((value) => value > 0));
  if (steps.length < 2 || !drawn.length) return null;
  const values = drawn.flatMap((name) => trace[name]).filter((value) => value > 0).map(Math.log10);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const [left, right, top, bottom] = [44, 296, 10, 128];
  const x = (step) => left + ((step - steps[0]) / (steps.at(-1) - steps[0])) * (right - left);
  const y = (value) => bottom - ((Math.log10(value) - low) / (high - low || 1)) * (bottom - top);
  const said = drawn.map((name) => spokenCurve(name, trace[name]));
  return el("figure", { class: "curve" },
    svg("svg", { viewBox: "0 0 360 150", role: "img", "aria-label": `Losses over ${number(steps.at(-1))} evaluations: ${said.join("; ")}.` },
      ticks(low, high).map((power) => gridLine(y(10 ** power), power, left, right)),
      svg("path", { class: "axis", d: `M${left} ${bottom + 4}H${right}` }),
      svg("text", { x: left, y: bottom + 19 }, number(steps[0])),
      svg("text", { x: right, y: bottom + 19, "text-anchor": "end" }, number(steps.at(-1))),
      svg("text", { x: (left + right) / 2, y: bottom + 19, "text-anchor": "middle" }, "evaluations"),
      drawn.map((name) => svg("path", { class: `line line-${name}`, d: path(steps, trace[name], x, y) })),
      apart(drawn.map((name) => ({ name, y: y(lastPositive(trace[name])) })))
        .map((label) => svg("text", { class: "line-name", x: right + 6, y: label.y + 4 }, label.name))));
}

const lastPositive = (values) => values.findLast((value) => value > 0);

function spokenCurve(name, values) {
  return `${name} from ${number(values.find((value) => value > 0))} to ${number(lastPositive(values))}`;
}

function path(steps, values, x, y) {
  let pen = "M";
  return steps.map((step, i) => {
    if (!(values[i] > 0)) { pen = "M"; return ""; }
    const point = `${pen}${x(step).toFixed(1)} ${y(values[i]).toFixed(1)}`;
    pen = "L";
    return point;
  }).join("");
}

// Whole powers of ten; only every second or third if there are many.
function ticks(low, high) {
  const powers = [];
  for (let power = Math.ceil(low); power <= high; power += 1) powers.push(power);
  const every = Math.ceil(powers.length / 5);
  return powers.filter((_, i) => i % every === 0);
}

function gridLine(at, power, left, right) {
  return svg("g", {},
    svg("path", { class: "grid-line", d: `M${left} ${at}H${right}` }),
    svg("text", { x: left - 6, y: at + 4, "text-anchor": "end" }, power > -4 && power < 5 ? String(Number(`1e${power}`)) : `1e${power}`));
}

// Moves overlapping labels apart.
function apart(labels) {
  const sorted = [...labels].sort((a, b) => a.y - b.y);
  for (let i = 1; i < sorted.length; i += 1) sorted[i].y = Math.max(sorted[i].y, sorted[i - 1].y + 14);
  const over = Math.max(0, (sorted.at(-1)?.y ?? 0) - 130);
  for (const label of sorted) label.y -= over;
  return sorted;
}

// A dot for each cell of the pair, with better values to the right; the largest is this cell.
function standing(cell, metric) {
  if (!metric.better) return null;
  const values = pairs.get(pairOf(cell)).map((one) => one.metrics[metric.name]).filter((value) => value !== undefined);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  if (values.length < 2 || low === high) return null;
  const place = (value) => {
    const share = (value - low) / (high - low);
    return 5 + 90 * (metric.better === "lower" ? 1 - share : share);
  };
  return svg("svg", { class: "standing", viewBox: "0 0 100 12", "aria-hidden": "true" },
    svg("path", { class: "axis", d: "M5 6H95" }),
    values.map((value) => svg("circle", { cx: place(value), cy: 6, r: 2 })),
    svg("circle", { class: "here", cx: place(cell.metrics[metric.name]), cy: 6, r: 4 }));
}
