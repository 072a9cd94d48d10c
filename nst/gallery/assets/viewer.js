// ---------------------------------------------------------------- zoom and pan
// One or more stages share a view (centre and scale), so that pictures side by side show the same
// place. Points are fractions of the picture, from 0 to 1.

const CLOSEST = 8; // screen px for one px of the picture

// Fills a stage with the picture and, over it and clipped at a line, the content.
function buildStage(stage, cell, { before = false } = {}) {
  const layers = [];
  if (cell.failed) {
    layers.push(failure(cell));
  } else {
    layers.push(sharpening(el("img", { alt: describe(cell), draggable: "false" }), cell));
    const content = contents.get(cell.content);
    if (before && content.preview) {
      const image = el("img", { alt: "", src: content.preview, class: "before", draggable: "false" });
      layers.push(image, el("div", { class: "divider", "aria-hidden": "true" }, el("span")));
    }
  }
  const canvas = el("div", { class: "canvas" }, layers);
  stage.replaceChildren(canvas);
  return { stage, canvas, width: cell.width, height: cell.height };
}

// Shows the preview, then the full picture. It is missing if only the gallery's folder was copied.
function sharpening(image, cell) {
  image.src = cell.preview;
  if (!cell.full) return image;
  const full = new Image();
  full.onload = () => { image.src = full.src; image.dataset.source = "full"; };
  full.onerror = () => { image.dataset.source = "preview"; image.dispatchEvent(new Event("onlypreview")); };
  full.src = cell.full;
  return image;
}

function createViewer(planes, { wheelAlways = true, onslide = null, onchange = () => {} } = {}) {
  const view = { scale: 1, x: 0.5, y: 0.5 };
  const first = planes[0];

  function fitted({ stage, width, height }) {
    const fit = Math.min(stage.clientWidth / width, stage.clientHeight / height, 6);
    return { fit, width: width * fit, height: height * fit };
  }

  function draw() {
    const { fit, width, height } = fitted(first);
    if (!fit) return;
    view.scale = Math.max(1, Math.min(view.scale, Math.max(4, CLOSEST / fit)));
    view.x = held(view.x, first.stage.clientWidth / (2 * width * view.scale));
    view.y = held(view.y, first.stage.clientHeight / (2 * height * view.scale));
    for (const plane of planes) place(plane);
    onchange(Math.round(view.scale * fit * 100), view.scale > 1);
  }

  function place(plane) {
    const size = fitted(plane);
    const { style } = plane.canvas;
    style.width = `${size.width}px`;
    style.height = `${size.height}px`;
    const [x, y] = [-view.x * size.width * view.scale, -view.y * size.height * view.scale];
    style.transform = `translate(${x}px, ${y}px) scale(${view.scale})`;
    style.setProperty("--thin", 1 / view.scale);
    plane.canvas.classList.toggle("pixels", view.scale > 1 && view.scale * size.fit >= 6);
    plane.stage.classList.toggle("zoomed", view.scale > 1);
  }

  // Limits the centre so that the picture fills the stage.
  function held(middle, half) {
    return half >= 0.5 ? 0.5 : Math.max(half, Math.min(1 - half, middle));
  }

  function from(plane, event) {
    const box = plane.stage.getBoundingClientRect();
    return { x: event.clientX - box.left - box.width / 2, y: event.clientY - box.top - box.height / 2 };
  }

  function zoom(factor, plane = first, at = { x: 0, y: 0 }) {
    const { fit, width, height } = fitted(plane);
    const [x, y] = [view.x + at.x / (width * view.scale), view.y + at.y / (height * view.scale)];
    view.scale = Math.max(1, Math.min(view.scale * factor, Math.max(4, CLOSEST / fit)));
    view.x = x - at.x / (width * view.scale);
    view.y = y - at.y / (height * view.scale);
    draw();
  }

  function pan(x, y, plane = first) {
    const { width, height } = fitted(plane);
    view.x -= x / (width * view.scale);
    view.y -= y / (height * view.scale);
    draw();
  }

  function reset() {
    Object.assign(view, { scale: 1, x: 0.5, y: 0.5 });
    draw();
  }

  // Zooms to full size, but at least by a factor of three.
  function toggleClose(plane, at) {
    if (view.scale > 1) reset();
    else zoom(Math.max(1 / fitted(plane).fit, 3), plane, at);
  }

  // The pointer's horizontal position in the picture, from 0 to 1, for the slider.
  function along(plane, event) {
    const box = plane.canvas.getBoundingClientRect();
    return Math.max(0, Math.min(1, (event.clientX - box.left) / box.width));
  }

  function listen(plane) {
    const pointers = new Map();
    let sliding = false;
    const { stage } = plane;

    stage.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      stage.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, event);
      sliding = Boolean(onslide) && (view.scale === 1 || Boolean(event.target.closest(".divider")));
      if (sliding && event.target.closest(".divider")) event.preventDefault();
    });

    stage.addEventListener("pointermove", (event) => {
      const last = pointers.get(event.pointerId);
      if (!last) return;
      if (pointers.size === 2) pinch(event, last);
      else if (sliding) onslide(along(plane, event));
      else pan(event.clientX - last.clientX, event.clientY - last.clientY, plane);
      pointers.set(event.pointerId, event);
    });

    function pinch(event, last) {
      const other = [...pointers.values()].find((one) => one.pointerId !== event.pointerId);
      const apart = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
      const middle = { clientX: (event.clientX + other.clientX) / 2, clientY: (event.clientY + other.clientY) / 2 };
      zoom(apart(event) / Math.max(apart(last), 1), plane, from(plane, middle));
    }

    for (const name of ["pointerup", "pointercancel"]) {
      stage.addEventListener(name, (event) => pointers.delete(event.pointerId));
    }
    stage.addEventListener("dblclick", (event) => toggleClose(plane, from(plane, event)));
    stage.addEventListener("wheel", (event) => {
      if (!(wheelAlways || event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      zoom(Math.exp(-event.deltaY * 0.002), plane, from(plane, event));
    }, { passive: false });
  }

  planes.forEach(listen);
  const resized = new ResizeObserver(draw);
  resized.observe(first.stage);
  draw();
  return { zoom, pan, reset, stop: () => resized.disconnect(), zoomed: () => view.scale > 1 };
}

function zoomButtons(viewer) {
  const shown = el("output", { class: "percent", "aria-label": "Zoom" });
  const buttons = [
    iconButton("minus", "Zoom out", () => viewer().zoom(1 / 1.5)),
    shown,
    iconButton("plus", "Zoom in", () => viewer().zoom(1.5)),
    iconButton("fit", "Fit the picture", () => viewer().reset()),
  ];
  return { buttons, show: (percent) => { shown.textContent = `${percent} %`; } };
}
