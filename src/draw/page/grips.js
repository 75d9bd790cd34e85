// Grips: the points of the selected region that can be dragged with a pointer or moved by keys.

/// Distance in pixels of the screen of the knob that turns a translated region, from its target.
const KNOB = 46;

/// Returns the grips of the drag of a region: `kind` says how they look, `point` where they are, `move` takes a new place.
function dragGrips(region) {
  const grips = [];
  const add = (kind, label, point, move) => isPoint(point) && grips.push({ kind, label, point, move });
  const set = (key) => (point) => (region[key] = withinPicture(point));
  switch (region.type) {
    case "rotation":
      add("center", "Centre", region.center, (point) => moveCenter(region, point));
      add("handle", "Handle", firstHandle(region), region.angle === undefined ? (point) => moveTurned(region, point) : null);
      add("target", "Target", rawTarget(region), (point) => turnTo(region, point));
      break;
    case "scale":
      add("center", "Centre", region.center, (point) => moveCenter(region, point));
      add("handle", "Handle", firstHandle(region), region.factor === undefined ? set("handle") : null);
      add("target", "Target", rawTarget(region), (point) => scaleTo(region, point));
      break;
    case "affine":
      region.handles.forEach((handle, index) => add("handle", `Handle ${index + 1}`, handle, (point) => (region.handles[index] = withinPicture(point))));
      region.targets.forEach((target, index) => add("target", `Target ${index + 1}`, target, (point) => (region.targets[index] = withinPicture(point))));
      break;
    default:
      add("anchor", "Anchor", region.anchor, set("anchor"));
      add("handle", "Handle", region.handle, set("handle"));
      if (region.type === "translation") {
        const knob = plus(region.target, linear.of(linear.turn((region.angle ?? 0) * DEGREE), KNOB / view.zoom, 0));
        add("knob", "Turn", knob, (point) => turnTranslation(region, point));
      }
      add("target", "Target", region.target, set("target"));
  }
  return grips;
}

/// Returns where the handle goes, also outside the picture.
function rawTarget(region) {
  const motion = motionOf(region);
  return motion ? poseOf(motion).forward(firstHandle(region)) : region.target;
}

function moveCenter(region, point) {
  region.center = roundedPoint(point);
  if (region.type === "rotation" && region.angle === undefined) turnTo(region, region.target);
}

/// Moves the handle of a rotation and keeps its angle.
function moveTurned(region, point) {
  const angle = rotationAngle(region);
  region.handle = withinPicture(point);
  setAngle(region, angle);
}

function turnTo(region, point) {
  setAngle(region, turnAngle(firstHandle(region), point, region.center));
}

function setAngle(region, angle) {
  if (region.angle !== undefined) region.angle = rounded(angle / DEGREE);
  else region.target = withinPicture(plus(region.center, linear.of(linear.turn(angle), ...minus(region.handle, region.center))));
}

function scaleTo(region, point) {
  setFactor(region, distance(point, region.center) / Math.max(distance(firstHandle(region), region.center), 1e-9));
}

function setFactor(region, factor) {
  const bounded = clamp(factor, ...limits.factors);
  if (region.factor !== undefined) region.factor = Math.round(bounded * 1000) / 1000;
  else region.target = withinPicture(between(region.center, region.handle, bounded));
}

/// Turns a translated region about its target; a turn by less than a degree is none.
function turnTranslation(region, point) {
  const angle = Math.round(turnAngle(plus(region.target, [1, 0]), point, region.target) / DEGREE);
  if (angle === 0) delete region.angle;
  else region.angle = angle;
}

/// Moves a region's content as if it were taken at `from` and brought to `to`; `start` is the region before.
function dragBody(region, start, from, to) {
  const delta = minus(to, from);
  if (region.type === "rotation") setAngle(region, rotationAngle(start) + turnAngle(from, to, region.center));
  else if (region.type === "scale") setFactor(region, (scaleFactor(start) * distance(to, region.center)) / Math.max(distance(from, region.center), 1));
  else if (region.type === "affine") region.targets = start.targets.map((target) => withinPicture(plus(target, delta)));
  else region.target = withinPicture(plus(start.target, delta));
}

/// Returns the grips of a shape.
function shapeGrips(shape, replace) {
  const grips = [];
  const add = (label, point, make) => grips.push({ kind: "corner", label, point, move: (to) => replace(make(roundedPoint(to))) });
  if (shape.rect) {
    const [left, top, right, bottom] = shape.rect;
    const rect = (...edges) => ({ ...shape, rect: [Math.min(edges[0], edges[2]), Math.min(edges[1], edges[3]), Math.max(edges[0], edges[2]), Math.max(edges[1], edges[3])] });
    add("Top left corner", [left, top], ([x, y]) => rect(x, y, right, bottom));
    add("Top right corner", [right, top], ([x, y]) => rect(left, y, x, bottom));
    add("Bottom right corner", [right, bottom], ([x, y]) => rect(left, top, x, y));
    add("Bottom left corner", [left, bottom], ([x, y]) => rect(x, top, right, y));
  } else if (shape.ellipse) {
    const [cx, cy, rx, ry] = shape.ellipse;
    const across = ([x]) => ({ ...shape, ellipse: [cx, cy, Math.max(rounded(Math.abs(x - cx)), 1), ry] });
    const down = ([, y]) => ({ ...shape, ellipse: [cx, cy, rx, Math.max(rounded(Math.abs(y - cy)), 1)] });
    add("Right end", [cx + rx, cy], across);
    add("Left end", [cx - rx, cy], across);
    add("Bottom end", [cx, cy + ry], down);
    add("Top end", [cx, cy - ry], down);
  } else if (shape.polygon && shape.polygon.length <= 200) {
    shape.polygon.forEach((corner, index) =>
      add(`Corner ${index + 1}`, corner, (to) => ({ ...shape, polygon: shape.polygon.map((old, other) => (other === index ? to : old)) })),
    );
  }
  return grips;
}

/// Moves a region with its shape and all of its points.
function moveWhole(region, start, delta) {
  const moved = (point) => withinPicture(plus(point, delta));
  if (region.region) region.region = movedShape(start.region, delta);
  for (const key of ["handle", "target", "center", "anchor"]) if (isPoint(start[key])) region[key] = moved(start[key]);
  for (const key of ["handles", "targets"]) if (start[key]) region[key] = start[key].map(moved);
}
