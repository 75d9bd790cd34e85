// What the network sees of the picture: the working picture and the window, as in src/geometry/frame.rs and src/plan/window.rs.

const CONTEXT = 1.5;
const MAX_ASPECT = 2;
const MAX_SHRINK = 1.5;
const MIN_GAIN = 1.25;
const WINDOW_STEP = TAU / 360;
const ROUNDS = 32;
const CELL = 8;
const GRID_CELL = 2;
/// Radius in working pixels of the disc that is dragged for a point.
const POINT_RADIUS = 8;

/// Returns the frame of a window [left, top, width, height] whose shorter side becomes `size` working pixels.
function frameOf(window, size) {
  const [, , width, height] = window;
  const limit = 2 * size * size;
  let scale = size / Math.min(width, height);
  let content = [Math.round(width * scale), Math.round(height * scale)];
  if (width * height * scale * scale > limit) {
    scale = Math.sqrt(limit / (width * height));
    content = [width, height].map((side) => Math.max(Math.floor(side * scale), 1));
  }
  const factors = [content[0] / width, content[1] / height];
  const mean = Math.sqrt(factors[0] * factors[1]);
  return {
    window,
    content,
    padded: content.map((side) => Math.ceil(side / CELL) * CELL),
    scale: factors,
    mean,
    place: ([x, y]) => [((x - window[0]) * content[0]) / width, ((y - window[1]) * content[1]) / height],
  };
}

/// Returns the frame that the program chooses for a drag file.
function chosenFrame(content) {
  const size = workingSize(content);
  const [width, height] = picture.size;
  const whole = frameOf([0, 0, width, height], size);
  if (setting(content, "window") === "full" || 1 / whole.mean < MAX_SHRINK) return whole;
  const needed = neededArea(content);
  if (!needed) return whole;
  let frame = whole;
  for (let round = 0; round < ROUNDS; round++) {
    const area = needed(frame.mean);
    if (!area) return whole;
    const window = windowAround(area, size);
    if (window.every((part, index) => part === frame.window[index])) break;
    frame = frameOf(window, size);
  }
  return frame.mean < MIN_GAIN * whole.mean ? whole : frame;
}

function setting(content, name) {
  const value = content.settings?.[name];
  return value === undefined || isObject(value) ? limits.defaults[name] : value;
}

function workingSize(content) {
  return Number(setting(content, "size")) || limits.size;
}

/// Returns a function from a scale to the area that a window must contain; `null` when it is unknown or everything may change.
function neededArea(content) {
  if (content.editable === "everything") return null;
  let shapes = [];
  if (content.editable !== undefined) {
    const bounds = isObject(content.editable) && shapeBounds(content.editable);
    if (!bounds) return null;
    shapes = [...bounds];
  }
  let points = [];
  for (const region of content.regions) {
    const motion = motionOf(region);
    const from = region.type === "point" ? [region.handle, region.handle] : region.region && shapeBounds(region.region);
    if (!motion || !from) return null;
    const swept = sweptCorners(motion, from);
    if (region.type === "point") points = points.concat(swept);
    else shapes = shapes.concat(swept);
  }
  const margin = content.editable === undefined ? Number(setting(content, "margin")) : 0;
  const [width, height] = picture.size;
  return (scale) => {
    const all = shapes.concat(grownBox(points, POINT_RADIUS / scale));
    if (all.length === 0) return null;
    return grownBox(all, margin / scale).map(([x, y]) => [clamp(x, 0, width), clamp(y, 0, height)]);
  };
}

/// Returns the corners of the box around points, grown on every side.
function grownBox(points, by) {
  if (points.length === 0) return [];
  const bound = (axis, pick) => points.reduce((value, point) => pick(value, point[axis]), points[0][axis]);
  return [
    [bound(0, Math.min) - by, bound(1, Math.min) - by],
    [bound(0, Math.max) + by, bound(1, Math.max) + by],
  ];
}

function sweptCorners(motion, [low, high]) {
  const corners = [low, [high[0], low[1]], high, [low[0], high[1]]];
  // With an anchor, a point moves by a part of the way.
  if (motion.kind === "anchored") return corners.concat(corners.map((corner) => plus(corner, minus(motion.to, motion.from))));
  const bounded = motion.kind === "turn" ? { ...motion, angle: clamp(motion.angle, -TAU, TAU) } : motion;
  const steps = chordsOf(bounded, WINDOW_STEP);
  const swept = [...corners];
  for (let step = 1; step <= steps; step++) {
    const pose = poseOf(bounded, step / steps);
    swept.push(...corners.map(pose.forward));
  }
  return swept;
}

function windowAround([low, high], size) {
  const [width, height] = [CONTEXT * (high[0] - low[0]), CONTEXT * (high[1] - low[1])];
  const least = Math.max(Math.max(width, height) / MAX_ASPECT, size);
  const [left, across] = windowSide(low[0], high[0], Math.max(width, least), picture.size[0]);
  const [top, down] = windowSide(low[1], high[1], Math.max(height, least), picture.size[1]);
  return [left, top, across, down];
}

function windowSide(low, high, wanted, limit) {
  const [first, last] = [Math.floor(low), Math.ceil(high)];
  const length = Math.min(Math.max(Math.ceil(wanted), last - first), limit);
  const start = clamp(clamp(Math.round((low + high - length) / 2), last - length, first), 0, limit - length);
  return [start, length];
}
