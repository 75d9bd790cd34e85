// Paints the stage: the picture, what the drag makes of it, and the marks of the regions.

const COLOURS = { source: "#e5383b", target: "#1d6ff2", center: "#12a150", anchor: "#e08a00", veil: "rgba(12, 16, 24, 0.55)", halo: "rgba(255, 255, 255, 0.9)" };
const painting = { bitmap: null, isPending: false, isWarpShown: true, warpKey: "", hasWarp: false, hover: null };

/// Asks for the stage to be painted before the next frame.
function paint() {
  if (painting.isPending) return;
  painting.isPending = true;
  requestAnimationFrame(() => {
    painting.isPending = false;
    paintNow();
  });
}

function paintNow() {
  const context = stage.getContext("2d");
  const ratio = stage.width / Math.max(view.size[0], 1);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, ...view.size);
  if (!painting.bitmap) return;
  const [left, top] = view.origin;
  const [width, height] = picture.size.map((side) => side * view.zoom);
  context.imageSmoothingEnabled = view.zoom * (picture.size[0] / painting.bitmap.width) < 3;
  context.imageSmoothingQuality = "high";
  context.drawImage(painting.bitmap, left, top, width, height);
  if (isWarpVisible()) paintWarp(context, [left, top, width, height]);
  paintEditable(context, [left, top, width, height]);
  regions().forEach((region, index) => index !== file.selected && paintRegion(context, region, index, false));
  if (selectedRegion()) paintRegion(context, selectedRegion(), file.selected, true);
  paintGesture(context);
}

/// Returns whether the warped picture is shown: not while shapes are drawn or changed, which need the original.
function isWarpVisible() {
  return painting.isWarpShown && ["drag", "pan"].includes(drawing.tool);
}

function paintWarp(context, box) {
  const key = JSON.stringify([regions(), file.content.editable]);
  if (key !== painting.warpKey) {
    painting.warpKey = key;
    painting.hasWarp = drawWarped(file.content);
  }
  if (painting.hasWarp) context.drawImage(warp.canvas, ...box);
}

function tracePath(context, rings, map = (point) => point) {
  context.beginPath();
  for (const ring of rings) {
    ring.forEach((point, index) => {
      const [x, y] = toStage(map(point));
      if (index) context.lineTo(x, y);
      else context.moveTo(x, y);
    });
    context.closePath();
  }
}

/// Strokes the present path with a light border, so that it is seen on any picture.
function strokeClear(context, colour, width, dash = []) {
  context.setLineDash([]);
  context.lineJoin = "round";
  context.lineCap = "round";
  context.strokeStyle = COLOURS.halo;
  context.lineWidth = width + 2;
  context.stroke();
  context.setLineDash(dash);
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.stroke();
  context.setLineDash([]);
}

/// Dims what cannot change, where the file gives the editable area as a shape.
function paintEditable(context, [left, top, width, height]) {
  const shape = file.content.editable;
  if (!isObject(shape) || !shapeKind(shape)) return;
  const rings = shapeRings(shape);
  tracePath(context, rings);
  context.rect(left, top, width, height);
  context.fillStyle = COLOURS.veil;
  context.fill("evenodd");
  tracePath(context, rings);
  strokeClear(context, COLOURS.center, file.selected === "editable" ? 2.5 : 1.5, [2, 5]);
  if (file.selected === "editable" && drawing.tool === "adjust") shapeGrips(shape, () => {}).forEach((grip) => paintGrip(context, grip));
}

function paintRegion(context, region, index, isSelected) {
  const shape = region.region;
  const rings = isObject(shape) && shapeKind(shape) ? shapeRings(shape) : region.type === "point" ? [] : [];
  const width = isSelected ? 2 : 1.25;
  context.globalAlpha = isSelected || file.selected === null ? 1 : 0.65;
  if (rings.length) {
    tracePath(context, rings);
    if (isSelected && !isWarpVisible()) {
      context.fillStyle = "rgba(229, 56, 59, 0.14)";
      context.fill("evenodd");
    }
    strokeClear(context, COLOURS.source, width, isWarpVisible() ? [3, 4] : []);
  }
  const motion = motionOf(region);
  if (motion && isMotionSound(motion)) {
    const pose = poseOf(motion);
    const bent = motion.kind === "anchored" ? rings.map((ring) => dividedRing(ring, ring.length > 32 ? 1 : 24)) : rings;
    if (rings.length && isMoving(region)) {
      tracePath(context, bent, pose.forward);
      strokeClear(context, COLOURS.target, width, [7, 5]);
    }
    paintArrows(context, region, motion, isSelected);
  }
  if (isSelected && drawing.tool !== "adjust") dragGrips(region).forEach((grip) => paintGrip(context, grip));
  if (isSelected && drawing.tool === "adjust" && rings.length) shapeGrips(shape, () => {}).forEach((grip) => paintGrip(context, grip));
  paintLabel(context, region, index, isSelected);
  context.globalAlpha = 1;
}

/// Returns whether the region moves by as much as can be seen.
function isMoving(region) {
  const motion = motionOf(region);
  if (!motion) return false;
  const pose = poseOf(motion);
  const bounds = isObject(region.region) ? shapeBounds(region.region) : null;
  const points = bounds ? boxCorners(bounds) : [firstHandle(region)];
  return points.some((point) => distance(point, pose.forward(point)) >= 0.5);
}

function paintArrows(context, region, motion, isSelected) {
  const width = isSelected ? 2.5 : 1.75;
  const pairs = region.type === "affine" ? region.handles.map((handle, index) => [handle, region.targets[index]]) : [[firstHandle(region), rawTarget(region)]];
  for (const [from, to] of pairs) {
    if (!isPoint(from) || !isPoint(to)) continue;
    const isArc = motion.kind === "turn";
    const steps = isArc ? Math.max(Math.ceil(Math.abs(motion.angle) / 0.08), 2) : 1;
    const path = Array.from({ length: steps + 1 }, (_, step) => toStage(isArc ? poseOf(motion, step / steps).forward(from) : between(from, to, step / steps)));
    const [before, end] = path.slice(-2);
    if (distance(path[0], end) < 4 && steps < 12) continue;
    context.beginPath();
    path.forEach(([x, y]) => context.lineTo(x, y));
    const angle = Math.atan2(end[1] - before[1], end[0] - before[0]);
    for (const side of [2.6, -2.6]) {
      context.moveTo(...end);
      context.lineTo(end[0] + 11 * Math.cos(angle + side), end[1] + 11 * Math.sin(angle + side));
    }
    strokeClear(context, COLOURS.target, width);
  }
}

function paintGrip(context, { kind, point }) {
  const [x, y] = toStage(point);
  context.beginPath();
  switch (kind) {
    case "handle":
      context.arc(x, y, 6, 0, TAU);
      fillClear(context, COLOURS.source);
      break;
    case "target":
      context.moveTo(x, y - 9);
      context.lineTo(x + 9, y);
      context.lineTo(x, y + 9);
      context.lineTo(x - 9, y);
      context.closePath();
      fillClear(context, COLOURS.target);
      break;
    case "knob":
      context.arc(x, y, 5, 0, TAU);
      fillClear(context, "#ffffff", COLOURS.target);
      break;
    case "center":
      context.moveTo(x - 8, y);
      context.lineTo(x + 8, y);
      context.moveTo(x, y - 8);
      context.lineTo(x, y + 8);
      strokeClear(context, COLOURS.center, 3);
      break;
    case "anchor":
      context.rect(x - 6, y - 6, 12, 12);
      fillClear(context, COLOURS.anchor);
      break;
    default:
      context.rect(x - 5, y - 5, 10, 10);
      fillClear(context, "#ffffff", COLOURS.source);
  }
}

function fillClear(context, colour, border = "#ffffff") {
  context.fillStyle = colour;
  context.fill();
  context.strokeStyle = border;
  context.lineWidth = 2;
  context.stroke();
}

/// Writes a region's name above it.
function paintLabel(context, region, index, isSelected) {
  const bounds = isObject(region.region) ? shapeBounds(region.region) : null;
  const [x, y] = toStage(bounds ? bounds[0] : firstHandle(region));
  const text = String(region.id ?? `region-${index + 1}`).slice(0, 24);
  context.font = "600 12px system-ui, sans-serif";
  const width = context.measureText(text).width + 12;
  context.fillStyle = isSelected ? COLOURS.source : "rgba(20, 24, 32, 0.75)";
  context.beginPath();
  context.roundRect(x, y - 24, width, 19, 4);
  context.fill();
  context.fillStyle = "#ffffff";
  context.fillText(text, x + 6, y - 10);
}

/// Paints what is being drawn, and the brush.
function paintGesture(context) {
  const { draft, brush } = drawing;
  if (draft?.shape) {
    tracePath(context, shapeRings(draft.shape));
    context.fillStyle = "rgba(229, 56, 59, 0.14)";
    context.fill("evenodd");
    strokeClear(context, COLOURS.source, 2);
  }
  if (draft?.line?.length) {
    context.beginPath();
    draft.line.concat(draft.next ? [draft.next] : []).forEach((point) => context.lineTo(...toStage(point)));
    strokeClear(context, COLOURS.source, 2);
    if (drawing.tool === "polygon") draft.line.forEach((point) => paintGrip(context, { kind: "corner", point }));
  }
  if (draft?.overlay) {
    const [left, top] = view.origin;
    context.globalAlpha = 0.55;
    context.drawImage(draft.overlay.canvas, left, top, ...picture.size.map((side) => side * view.zoom));
    context.globalAlpha = 1;
  }
  if (["brush", "eraser"].includes(drawing.tool) && painting.hover) {
    context.beginPath();
    context.arc(...toStage(painting.hover), brush * view.zoom, 0, TAU);
    strokeClear(context, drawing.tool === "brush" ? COLOURS.source : "#20242c", 1.5);
  }
}
