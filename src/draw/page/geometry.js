// Points, linear maps and motions, as in src/geometry and src/region/motion.rs. A point is [x, y] in pixels of the upright picture,
// y down; angles are radians, counter-clockwise on the screen.

const TAU = 2 * Math.PI;
const DEGREE = Math.PI / 180;

const distance = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]);
const plus = (a, b) => [a[0] + b[0], a[1] + b[1]];
const minus = (a, b) => [a[0] - b[0], a[1] - b[1]];
const between = (a, b, share) => [a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1])];
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const isPoint = (value) => Array.isArray(value) && value.length === 2 && value.every(Number.isFinite);

/// Returns the angle in (-pi, pi] that turns `handle` about `center` to the direction of `target`.
function turnAngle(handle, target, center) {
  const [hx, hy] = minus(handle, center);
  const [tx, ty] = minus(target, center);
  // Adding zero turns -0 into 0; atan2 distinguishes them.
  const angle = Math.atan2(hy * tx - hx * ty + 0, hx * tx + hy * ty);
  return angle <= -Math.PI ? Math.PI : angle;
}

/// Linear maps are [xx, xy, yx, yy].
const linear = {
  identity: [1, 0, 0, 1],
  scale: (factor) => [factor, 0, 0, factor],
  turn: (angle) => [Math.cos(angle), Math.sin(angle), -Math.sin(angle), Math.cos(angle)],
  of: (m, x, y) => [m[0] * x + m[1] * y, m[2] * x + m[3] * y],
  after(m, first) {
    const [xx, yx] = linear.of(m, first[0], first[2]);
    const [xy, yy] = linear.of(m, first[1], first[3]);
    return [xx, xy, yx, yy];
  },
  determinant: (m) => m[0] * m[3] - m[1] * m[2],
  inverse(m) {
    const by = linear.determinant(m);
    return [m[3] / by, -m[1] / by, -m[2] / by, m[0] / by];
  },
  edges: ([a, b, c]) => [b[0] - a[0], c[0] - a[0], b[1] - a[1], c[1] - a[1]],
  between: (handles, targets) => linear.after(linear.edges(targets), linear.inverse(linear.edges(handles))),
  /// Returns the map at a share of the way from the identity to this one.
  share: (m, share) => [1 + share * (m[0] - 1), share * m[1], share * m[2], 1 + share * (m[3] - 1)],
  /// Splits a map that does not mirror into an angle and a symmetric stretch, which comes first.
  polar(m) {
    const angle = Math.atan2(m[1] - m[2] + 0, m[0] + m[3]);
    const stretch = linear.after(linear.turn(-angle), m);
    const across = (stretch[1] + stretch[2]) / 2;
    return [angle, [stretch[0], across, across, stretch[3]]];
  },
  /// Returns the smallest and the largest factor by which the map stretches a vector.
  factors(m) {
    const s = linear.polar(m)[1];
    const middle = (s[0] + s[3]) / 2;
    const radius = Math.hypot((s[0] - s[3]) / 2, s[1]);
    return [middle - radius, middle + radius];
  },
};

const centroid = ([a, b, c]) => [(a[0] + b[0] + c[0]) / 3, (a[1] + b[1] + c[1]) / 3];

/// Returns the motion of a region of the drag file; `place` maps its points to other coordinates. `null` when points are missing.
function motionOf(region, place = (point) => point) {
  const { type, handle, target, center, anchor } = region;
  const hasPair = isPoint(handle) && isPoint(target);
  const shift = () => {
    const [from, to] = [place(handle), place(target)];
    return { kind: "shift", offset: minus(to, from) };
  };
  switch (type) {
    case "translation":
      if (!hasPair) return null;
      if (!Number.isFinite(region.angle)) return shift();
      return { kind: "affine", from: place(handle), to: place(target), angle: region.angle * DEGREE, stretch: linear.identity };
    case "deformation":
      if (!hasPair) return null;
      return isPoint(anchor) ? { kind: "anchored", anchor: place(anchor), from: place(handle), to: place(target) } : shift();
    case "point":
      return hasPair ? shift() : null;
    case "rotation":
      if (!isPoint(center) || !(hasPair || Number.isFinite(region.angle))) return null;
      return { kind: "turn", center: place(center), angle: rotationAngle(region) };
    case "scale":
      if (!isPoint(center) || !(hasPair || Number.isFinite(region.factor))) return null;
      return { kind: "scale", center: place(center), factor: scaleFactor(region) };
    case "affine": {
      const triples = [region.handles, region.targets];
      if (!triples.every((triple) => Array.isArray(triple) && triple.length === 3 && triple.every(isPoint))) return null;
      const [handles, targets] = triples.map((triple) => triple.map(place));
      const [angle, stretch] = linear.polar(linear.between(handles, targets));
      return { kind: "affine", from: centroid(handles), to: centroid(targets), angle, stretch };
    }
    default:
      return null;
  }
}

/// Returns the angle of a rotation in radians.
function rotationAngle(region) {
  return Number.isFinite(region.angle) ? region.angle * DEGREE : turnAngle(region.handle, region.target, region.center);
}

/// Returns the factor of a scale.
function scaleFactor(region) {
  if (Number.isFinite(region.factor)) return region.factor;
  return distance(region.target, region.center) / distance(region.handle, region.center);
}

/// Returns the motion at progress `eta` as a map of points and its inverse.
function poseOf(motion, eta = 1) {
  switch (motion.kind) {
    case "shift": {
      const [dx, dy] = motion.offset.map((part) => eta * part);
      return { forward: ([x, y]) => [x + dx, y + dy], back: ([x, y]) => [x - dx, y - dy] };
    }
    case "turn":
      return affinePose(motion.center, motion.center, linear.turn(eta * motion.angle));
    case "scale":
      return affinePose(motion.center, motion.center, linear.scale(motion.factor ** eta));
    case "affine": {
      const map = linear.after(linear.turn(eta * motion.angle), linear.share(motion.stretch, eta));
      return affinePose(motion.from, between(motion.from, motion.to, eta), map);
    }
    default:
      return anchoredPose(motion, eta);
  }
}

function affinePose(from, to, map) {
  const back = linear.inverse(map);
  return {
    forward: ([x, y]) => plus(to, linear.of(map, x - from[0], y - from[1])),
    back: ([x, y]) => plus(from, linear.of(back, x - to[0], y - to[1])),
  };
}

function anchoredPose({ anchor, from, to }, eta) {
  const [x, y] = minus(from, anchor);
  const squared = x * x + y * y;
  const axis = [x / squared, y / squared];
  const offset = minus(to, from).map((part) => eta * part);
  const growth = 1 + axis[0] * offset[0] + axis[1] * offset[1];
  const along = (point) => (point[0] - anchor[0]) * axis[0] + (point[1] - anchor[1]) * axis[1];
  const moved = (point, share, sign) => plus(point, [sign * share * offset[0], sign * share * offset[1]]);
  return {
    forward: (point) => moved(point, clamp(along(point), 0, 1), 1),
    back: (point) => moved(point, clamp(along(point) / growth, 0, 1), -1),
  };
}

/// Returns into how many chords the paths of a motion are divided, so that none turns by more than `step` radians.
function chordsOf(motion, step) {
  return motion.kind === "turn" || motion.kind === "affine" ? 16 + Math.ceil(Math.abs(motion.angle) / step) : 1;
}
