// Shapes of the drag file: rect, ellipse, polygon and mask. The pixels of a shape follow src/outline.rs.

/// Corners of the polygon as which an ellipse is drawn.
const ELLIPSE_CORNERS = 128;

/// Returns which kind of shape this is; `undefined` for a value that is none.
function shapeKind(shape) {
  return shape && ["rect", "ellipse", "polygon", "mask"].find((kind) => kind in shape);
}

/// Returns the top left and bottom right corner of a shape; `null` for an empty mask.
function shapeBounds(shape) {
  switch (shapeKind(shape)) {
    case "rect": {
      const [left, top, right, bottom] = shape.rect;
      return [[left, top], [right, bottom]];
    }
    case "ellipse": {
      const [cx, cy, rx, ry] = shape.ellipse;
      return [[cx - rx, cy - ry], [cx + rx, cy + ry]];
    }
    case "polygon": {
      const [xs, ys] = [0, 1].map((axis) => shape.polygon.map((corner) => corner[axis]));
      return [[Math.min(...xs), Math.min(...ys)], [Math.max(...xs), Math.max(...ys)]];
    }
    case "mask":
      return maskBounds(shape.mask);
    default:
      return null;
  }
}

/// Returns the middle of a shape's bounding box; the picture's middle for a shape without one.
function shapeMiddle(shape) {
  const bounds = shapeBounds(shape) ?? [[0, 0], picture.size];
  return between(bounds[0], bounds[1], 0.5);
}

/// Returns the closed lines around a shape.
function shapeRings(shape) {
  switch (shapeKind(shape)) {
    case "rect": {
      const [left, top, right, bottom] = shape.rect;
      return [[[left, top], [right, top], [right, bottom], [left, bottom]]];
    }
    case "ellipse": {
      const [cx, cy, rx, ry] = shape.ellipse;
      const corner = (_, index) => {
        const angle = (TAU * index) / ELLIPSE_CORNERS;
        return [cx + rx * Math.cos(angle), cy + ry * Math.sin(angle)];
      };
      return [Array.from({ length: ELLIPSE_CORNERS }, corner)];
    }
    case "polygon":
      return [shape.polygon];
    case "mask":
      return maskRings(shape.mask);
    default:
      return [];
  }
}

/// Returns a closed line with more points, for a motion that bends it.
function dividedRing(ring, parts) {
  return ring.flatMap((from, index) => {
    const to = ring[(index + 1) % ring.length];
    return Array.from({ length: parts }, (_, step) => between(from, to, step / parts));
  });
}

/// Returns whether a point lies in a shape.
function shapeContains(shape, [x, y]) {
  if (shapeKind(shape) === "mask") return maskAt(shape.mask, [x, y]);
  const crossings = shapeCrossings(shape, y);
  for (let index = 0; index + 1 < crossings.length; index += 2) {
    if (x >= crossings[index] && x < crossings[index + 1]) return true;
  }
  return false;
}

/// Returns where the horizontal line at `y` crosses an outline, from left to right.
function shapeCrossings(shape, y) {
  if (shape.rect) {
    const [left, top, right, bottom] = shape.rect;
    return top <= y && y < bottom ? [left, right] : [];
  }
  if (shape.ellipse) {
    const [cx, cy, rx, ry] = shape.ellipse;
    const height = (y - cy) / ry;
    if (Math.abs(height) >= 1) return [];
    const half = rx * Math.sqrt(1 - height * height);
    return [cx - half, cx + half];
  }
  const places = [];
  shape.polygon.forEach((a, index) => {
    const b = shape.polygon[(index + 1) % shape.polygon.length];
    if (a[1] <= y !== b[1] <= y) places.push(a[0] + ((y - a[1]) / (b[1] - a[1])) * (b[0] - a[0]));
  });
  return places.sort((a, b) => a - b);
}

/// Returns an outline with its points mapped by a shift and a scale along each axis.
function mappedOutline(shape, [x, y], [sx, sy]) {
  const mapped = (point) => [(point[0] - x) * sx, (point[1] - y) * sy];
  if (shape.rect) return { rect: [...mapped(shape.rect), ...mapped(shape.rect.slice(2))] };
  if (shape.ellipse) return { ellipse: [...mapped(shape.ellipse), shape.ellipse[2] * sx, shape.ellipse[3] * sy] };
  return { polygon: shape.polygon.map(mapped) };
}

/// Returns the pixels whose centres lie in a shape, of a window of the picture at `corner` with `scale` pixels per pixel of the picture.
function rasterOf(shape, width, height, corner, scale) {
  const pixels = new Uint8Array(width * height);
  if (shapeKind(shape) === "mask") {
    for (let row = 0, index = 0; row < height; row++) {
      for (let column = 0; column < width; column++, index++) {
        const point = [(column + 0.5) / scale[0] + corner[0], (row + 0.5) / scale[1] + corner[1]];
        pixels[index] = maskAt(shape.mask, point) ? 1 : 0;
      }
    }
    return pixels;
  }
  const outline = mappedOutline(shape, corner, scale);
  const column = (x) => clamp(Math.ceil(x - 0.5), 0, width);
  for (let row = 0; row < height; row++) {
    const crossings = shapeCrossings(outline, row + 0.5);
    for (let index = 0; index + 1 < crossings.length; index += 2) {
      const [from, to] = [column(crossings[index]), column(crossings[index + 1])];
      if (to > from) pixels.fill(1, row * width + from, row * width + to);
    }
  }
  return pixels;
}

/// Moves a shape; a mask stays as it is.
function movedShape(shape, [dx, dy]) {
  const { rect, ellipse, polygon } = shape;
  if (rect) return { ...shape, rect: [rect[0] + dx, rect[1] + dy, rect[2] + dx, rect[3] + dy].map(rounded) };
  if (ellipse) return { ...shape, ellipse: [rounded(ellipse[0] + dx), rounded(ellipse[1] + dy), ellipse[2], ellipse[3]] };
  if (polygon) return { ...shape, polygon: polygon.map(([x, y]) => [rounded(x + dx), rounded(y + dy)]) };
  return shape;
}

/// Scales a shape about its middle; a mask stays as it is.
function scaledShape(shape, factor) {
  const middle = shapeMiddle(shape);
  const scaled = (point) => roundedPoint(plus(middle, minus(point, middle).map((part) => part * factor)));
  const { rect, ellipse, polygon } = shape;
  if (rect) return { ...shape, rect: [...scaled(rect.slice(0, 2)), ...scaled(rect.slice(2))] };
  if (ellipse) return { ...shape, ellipse: [ellipse[0], ellipse[1], rounded(ellipse[2] * factor), rounded(ellipse[3] * factor)] };
  if (polygon) return { ...shape, polygon: polygon.map(scaled) };
  return shape;
}

/// Returns a coordinate as it stands in a drag file: with one decimal.
const rounded = (value) => Math.round(value * 10) / 10;
const roundedPoint = (point) => point.map(rounded);
