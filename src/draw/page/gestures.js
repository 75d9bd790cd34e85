// Pointers on the stage: drawing shapes, painting masks, dragging regions and grips, panning and pinching.

/// Distance in pixels of the screen within which a grip is taken.
const NEAR = { mouse: 11, pen: 14, touch: 24 };
/// Shorter shapes, in pixels of the screen, are clicks.
const SMALLEST = 5;

const drawing = { tool: "drag", draft: null, brush: 20, pointers: new Map(), gesture: null, isSpaceDown: false };
Object.defineProperty(drawing, "goal", { get: () => (file.selected === "editable" ? "editable" : "region") });

const stagePoint = (event) => {
  const box = stage.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
};

function setTool(tool) {
  cancelGesture();
  drawing.tool = tool;
  document.querySelectorAll("[data-tool]").forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.tool === tool)));
  document.getElementById("brush").hidden = !["brush", "eraser"].includes(tool);
  stage.dataset.tool = tool;
  showHint();
  paint();
}

function cancelGesture() {
  drawing.draft = null;
  drawing.gesture = null;
  paint();
}

function onPointerDown(event) {
  const at = stagePoint(event);
  drawing.pointers.set(event.pointerId, at);
  if (drawing.pointers.size === 2) {
    // The second finger makes it a pinch; what the first one began is dropped.
    const pinched = drawing.gesture;
    if (pinched?.isRemembered) travel(file.undo, file.redo);
    drawing.draft = drawing.tool === "polygon" ? drawing.draft : null;
    drawing.gesture = { kind: "pinch", at: [...drawing.pointers.values()] };
    return;
  }
  if (drawing.pointers.size > 2) return;
  // A pointer that a script made cannot be captured.
  if (event.isTrusted) stage.setPointerCapture(event.pointerId);
  if (event.button === 1 || drawing.isSpaceDown || drawing.tool === "pan") {
    drawing.gesture = { kind: "pan", at };
  } else if (event.button === 0) {
    beginGesture(event, at, toPicture(at));
  }
  // The middle button would scroll. The others keep their default, which puts the focus on the stage.
  if (event.button === 1) event.preventDefault();
}

function beginGesture(event, at, point) {
  const begin = (gesture) => (drawing.gesture = { at, from: point, moved: false, ...gesture });
  switch (drawing.tool) {
    case "drag":
    case "adjust":
      return begin(beginTake(event, at, point));
    case "polygon":
      return addCorner(at, point);
    case "brush":
    case "eraser":
      return beginPainting(point);
    case "lasso":
      drawing.draft = { line: [withinPicture(point)] };
      return begin({ kind: "lasso" });
    default:
      return begin({ kind: drawing.tool });
  }
}

/// Takes the nearest grip, else the region under the pointer, else the picture.
function beginTake(event, at, point) {
  const isAdjusting = drawing.tool === "adjust";
  const region = selectedRegion();
  const editable = file.selected === "editable" && isObject(file.content.editable) ? file.content.editable : null;
  const shape = region?.region ?? editable;
  const replace = (made) => (region ? (selectedRegion().region = made) : (file.content.editable = made));
  const grips = isAdjusting ? (isObject(shape) ? shapeGrips(shape, replace) : []) : region ? dragGrips(region) : [];
  const near = NEAR[event.pointerType] ?? NEAR.mouse;
  const distances = grips.map((grip) => (grip.move ? distance(toStage(grip.point), at) : Infinity));
  const best = Math.min(...distances);
  // Of grips at one place, the last: a new region's target lies on its handle.
  const index = distances.findLastIndex((length) => length <= best + 0.5);
  if (best <= near) return { kind: "grip", index, offset: minus(toPicture(at), grips[index].point) };
  const found = regionAt(point);
  if (found !== null) {
    if (found !== file.selected) select(found);
    return { kind: "body", start: copied(selectedRegion()) };
  }
  if (isAdjusting && editable && shapeKind(editable) !== "mask" && shapeContains(editable, point)) return { kind: "editable", start: copied(editable) };
  return { kind: "pan", isClick: true };
}

/// Returns the index of the region at a point: where it goes, or where it is. The selected one comes first.
function regionAt(point) {
  const near = 12 / view.zoom;
  const holds = (region) => {
    if (region.type === "point") return distance(point, region.handle) <= near || distance(point, region.target) <= near;
    if (!isObject(region.region)) return false;
    if (shapeContains(region.region, point)) return true;
    const motion = drawing.tool === "drag" ? motionOf(region) : null;
    return motion !== null && isMotionSound(motion) && shapeContains(region.region, poseOf(motion).back(point));
  };
  const order = regions().map((_, index) => index).reverse();
  if (selectedRegion() && holds(selectedRegion())) return file.selected;
  return order.find((index) => holds(regions()[index])) ?? null;
}

function onPointerMove(event) {
  const at = stagePoint(event);
  painting.hover = toPicture(at);
  const { gesture } = drawing;
  if (drawing.pointers.has(event.pointerId)) drawing.pointers.set(event.pointerId, at);
  if (gesture?.kind === "pinch") return movePinch(gesture);
  if (!gesture) {
    if (drawing.draft?.line && drawing.tool === "polygon") drawing.draft.next = toPicture(at);
    if (["brush", "eraser", "polygon"].includes(drawing.tool)) paint();
    return;
  }
  if (!drawing.pointers.has(event.pointerId)) return;
  if (gesture.kind === "pan") {
    gesture.isMoved ||= distance(at, gesture.at) > 3;
    panBy(minus(at, gesture.at));
    gesture.at = at;
    return;
  }
  if (!gesture.moved && distance(at, gesture.at) < 2) return;
  gesture.moved = true;
  const events = event.getCoalescedEvents?.() ?? [];
  const points = (events.length ? events : [event]).map((each) => toPicture(stagePoint(each)));
  moveGesture(gesture, points, event);
}

function moveGesture(gesture, points, event) {
  const point = points.at(-1);
  switch (gesture.kind) {
    case "grip":
    case "body":
    case "editable":
      return moveTaken(gesture, point);
    case "rect":
    case "ellipse":
      drawing.draft = { shape: boxShape(gesture.kind, gesture.from, point, event.shiftKey) };
      return paint();
    case "lasso":
      for (const each of points) if (distance(toStage(each), toStage(drawing.draft.line.at(-1))) > 3) drawing.draft.line.push(withinPicture(each));
      return paint();
    case "paint":
      for (const each of points) paintTo(gesture, each);
      return paint();
    case "point":
      drawing.draft = { line: [gesture.from, point] };
      return paint();
  }
}

function moveTaken(gesture, point) {
  if (!gesture.isRemembered) {
    remember();
    gesture.isRemembered = true;
  }
  const region = selectedRegion();
  const isAdjusting = drawing.tool === "adjust";
  if (gesture.kind === "grip") {
    const shape = region?.region ?? file.content.editable;
    const replace = (made) => (region ? (region.region = made) : (file.content.editable = made));
    const grips = isAdjusting ? shapeGrips(shape, replace) : dragGrips(region);
    grips[gesture.index]?.move(minus(point, gesture.offset));
  } else if (gesture.kind === "editable") {
    file.content.editable = movedShape(gesture.start, minus(point, gesture.from));
  } else if (isAdjusting) {
    moveWhole(region, gesture.start, minus(point, gesture.from));
  } else {
    dragBody(region, gesture.start, gesture.from, point);
  }
  refresh();
}

/// Returns the rectangle or ellipse between two corners; a square or circle with `isEqual`.
function boxShape(kind, from, to, isEqual) {
  const [a, b] = [withinPicture(from), withinPicture(to)];
  let [width, height] = [Math.abs(b[0] - a[0]), Math.abs(b[1] - a[1])];
  if (isEqual) width = height = Math.min(width, height);
  const left = b[0] < a[0] ? a[0] - width : a[0];
  const top = b[1] < a[1] ? a[1] - height : a[1];
  if (kind === "rect") return { rect: [left, top, left + width, top + height].map(rounded) };
  return { ellipse: [left + width / 2, top + height / 2, width / 2, height / 2].map(rounded) };
}

function onPointerUp(event) {
  drawing.pointers.delete(event.pointerId);
  const { gesture } = drawing;
  if (!gesture) return;
  if (gesture.kind === "pinch") {
    if (drawing.pointers.size === 0) drawing.gesture = null;
    return;
  }
  drawing.gesture = null;
  const point = toPicture(stagePoint(event));
  const isCancelled = event.type === "pointercancel";
  switch (gesture.kind) {
    case "pan":
      if (gesture.isClick && !gesture.isMoved && !isCancelled) select(null);
      break;
    case "rect":
    case "ellipse": {
      const { shape } = drawing.draft ?? {};
      drawing.draft = null;
      const bounds = shape && shapeBounds(shape);
      if (!isCancelled && bounds && Math.min(...minus(bounds[1], bounds[0])) * view.zoom >= SMALLEST) finishShape(shape, gesture.kind === "rect" ? "box" : "oval");
      break;
    }
    case "lasso": {
      const { line } = drawing.draft ?? {};
      drawing.draft = null;
      if (!isCancelled && line?.length >= 3) finishShape({ polygon: simplified(line, 0.75 / view.zoom) }, "shape");
      break;
    }
    case "point": {
      drawing.draft = null;
      if (isCancelled || !isInPicture(gesture.from)) break;
      change(() => addRegion({ id: newId("point"), type: "point", handle: withinPicture(gesture.from), target: withinPicture(gesture.moved ? point : gesture.from) }));
      setTool("drag");
      break;
    }
    case "paint":
      endPainting(gesture, isCancelled);
      break;
    case "grip":
      if (drawing.tool === "adjust" && selectedRegion()) keepHandleInside(selectedRegion());
      break;
  }
  file.last = null;
  refresh();
}

function finishShape(shape, word) {
  change(() => placeShape(shape, word));
  if (drawing.goal === "region") setTool("drag");
}

function addCorner(at, point) {
  const line = drawing.draft?.line ?? [];
  if (line.length >= 3 && distance(toStage(line[0]), at) < 12) return closePolygon();
  // A double click gives one corner.
  if (line.length === 0 || distance(toStage(line.at(-1)), at) > 3) drawing.draft = { line: [...line, withinPicture(point)] };
  paint();
}

function closePolygon() {
  const line = drawing.draft?.line ?? [];
  drawing.draft = null;
  if (line.length >= 3) finishShape({ polygon: line }, "shape");
  paint();
}

/// Leaves out points that lie within `tolerance` of the line between others (Douglas and Peucker 1973).
function simplified(line, tolerance) {
  const keep = new Set([0, line.length - 1]);
  const parts = [[0, line.length - 1]];
  while (parts.length) {
    const [first, last] = parts.pop();
    let [far, most] = [-1, tolerance];
    const [a, b] = [line[first], line[last]];
    const length = distance(a, b);
    for (let index = first + 1; index < last; index++) {
      const c = line[index];
      const away = length === 0 ? distance(a, c) : Math.abs((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])) / length;
      if (away > most) [far, most] = [index, away];
    }
    if (far > 0) {
      keep.add(far);
      parts.push([first, far], [far, last]);
    }
  }
  return line.filter((_, index) => keep.has(index));
}

function movePinch(gesture) {
  const now = [...drawing.pointers.values()];
  if (now.length < 2) return;
  const middle = (points) => between(points[0], points[1], 0.5);
  view.origin = plus(view.origin, minus(middle(now), middle(gesture.at)));
  zoomBy(distance(...now) / Math.max(distance(...gesture.at), 1), middle(now));
  gesture.at = now;
}

function onWheel(event) {
  event.preventDefault();
  // Wheels report lines or pixels; a touchpad's pinch reports small steps with ctrlKey.
  const step = event.deltaY * (event.deltaMode === 1 ? 24 : 1) * (event.ctrlKey ? 4 : 1);
  if (event.shiftKey) panBy([-step, 0]);
  else zoomBy(Math.exp(-clamp(step, -400, 400) / 500), stagePoint(event));
}

function listenToStage() {
  stage.addEventListener("pointerdown", onPointerDown);
  stage.addEventListener("pointermove", onPointerMove);
  stage.addEventListener("pointerup", onPointerUp);
  stage.addEventListener("pointercancel", onPointerUp);
  stage.addEventListener("pointerleave", () => {
    painting.hover = null;
    paint();
  });
  stage.addEventListener("dblclick", () => drawing.tool === "polygon" && closePolygon());
  stage.addEventListener("wheel", onWheel, { passive: false });
  stage.addEventListener("contextmenu", (event) => event.preventDefault());
}
