// Keys. Letters choose tools; arrow keys move the selected region's target, or the whole region while shapes are adjusted.

const TOOL_KEYS = { v: "drag", a: "adjust", r: "rect", e: "ellipse", p: "polygon", l: "lasso", b: "brush", x: "eraser", t: "point", h: "pan" };
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function onKeyDown(event) {
  const isTyping = event.target.matches?.("input, textarea, select");
  // Where nothing was typed, the page's steps are undone rather than the field's.
  const isChanged = event.target.matches?.("textarea") || (event.target.matches?.("input") && event.target.value !== event.target.dataset.shown);
  // Without a focus of its own, the page is the picture.
  const isStage = event.target === stage || event.target === document.body;
  const key = event.key.toLowerCase();
  if (event.ctrlKey || event.metaKey) {
    if (key === "s") return taken(event, save);
    if (isChanged) return undefined;
    if (key === "z") return taken(event, event.shiftKey ? redo : undo);
    if (key === "y") return taken(event, redo);
    return undefined;
  }
  if (isTyping || event.altKey || document.querySelector("dialog[open]")) return undefined;
  if (event.key === "?") return taken(event, showKeys);
  if (key === "n") return taken(event, beginRegion);
  if (key === "w") return taken(event, toggleWarp);
  if (key === "0") return taken(event, fitView);
  if (key === "1") return taken(event, () => zoomBy(1 / view.zoom));
  if (key === "+" || key === "=") return taken(event, () => zoomBy(1.25));
  if (key === "-") return taken(event, () => zoomBy(0.8));
  if (key === "[" || key === "]") return taken(event, () => resize(key === "]" ? 1 : -1));
  if (TOOL_KEYS[key] && event.key.length === 1) return taken(event, () => setTool(TOOL_KEYS[key]));
  if (event.key === "Escape") return taken(event, () => (drawing.draft || drawing.gesture ? cancelGesture() : select(null)));
  const row = event.target.closest?.("[data-region]");
  if (row && event.key === "Delete") return taken(event, () => deleteRegion(Number(row.dataset.region)));
  if (!isStage) return undefined;
  if (ARROWS[event.key]) return taken(event, () => nudge(ARROWS[event.key], event.shiftKey ? 10 : 1));
  if (event.key === "Enter") return taken(event, () => (drawing.draft?.line ? closePolygon() : placeInMiddle()));
  if (event.key === "Delete" || event.key === "Backspace") return taken(event, deleteSelected);
  if (event.key === " ") return taken(event, () => (drawing.isSpaceDown = true));
  return undefined;
}

function taken(event, act) {
  event.preventDefault();
  act();
}

/// Moves the selected region by keys: its target, or all of it while shapes are adjusted.
function nudge(direction, step) {
  const region = selectedRegion();
  if (!region) return panBy(direction.map((part) => -part * step * 8));
  const delta = direction.map((part) => part * step);
  change(() => {
    if (drawing.tool === "adjust") moveWhole(region, copied(region), delta);
    else if (region.type === "rotation") setAngle(region, rotationAngle(region) - (delta[0] + delta[1]) * DEGREE);
    else if (region.type === "scale") setFactor(region, scaleFactor(region) + (delta[0] - delta[1]) / 100);
    else dragBody(region, copied(region), [0, 0], delta);
  }, "nudge");
}

/// Changes the size of the brush, or of the selected shape while shapes are adjusted.
function resize(direction) {
  if (drawing.tool !== "adjust") return setBrush(drawing.brush * 1.2 ** direction);
  const region = selectedRegion();
  const shape = region?.region ?? (file.selected === "editable" ? file.content.editable : null);
  if (!isObject(shape) || shapeKind(shape) === "mask") return undefined;
  const made = scaledShape(shape, 1.05 ** direction);
  return change(() => {
    if (region) {
      region.region = made;
      keepHandleInside(region);
    } else file.content.editable = made;
  }, "resize");
}

/// Draws a shape in the middle of what is seen, for those who have no pointer.
function placeInMiddle() {
  // The part of the picture that is on the screen.
  const seen = [toPicture([0, 0]), toPicture(view.size)].map(withinPicture);
  const middle = roundedPoint(between(...seen, 0.5));
  const reach = Math.max(...[8, Math.min(...picture.size) / 8].map(Math.round));
  const shape = boxShape("rect", plus(middle, [-reach, -reach]), plus(middle, [reach, reach]));
  switch (drawing.tool) {
    case "rect":
      return finishShape(shape, "box");
    case "ellipse":
    case "lasso":
    case "brush":
      return finishShape({ ellipse: [...middle, reach, reach] }, "oval");
    case "polygon":
      return finishShape({ polygon: shapeRings(shape)[0] }, "shape");
    case "point":
      change(() => addRegion({ id: newId("point"), type: "point", handle: middle, target: [...middle] }));
      return setTool("drag");
    default:
      return undefined;
  }
}

function listenToKeys() {
  document.addEventListener("keydown", onKeyDown);
  document.addEventListener("keyup", (event) => {
    if (event.key === " ") drawing.isSpaceDown = false;
  });
  window.addEventListener("blur", () => (drawing.isSpaceDown = false));
}
