// The picture as the drag leaves it, at the size of a screen: every region's pixels at their target over a smooth fill of what they leave.
// The geometry is that of src/region; what the program does beyond it (objects, shadows, texture) is left out.

/// Longest side of the copy that is warped.
const WARPED = 1000;
/// Pixels around a region that are filled with it, because an object's edge is soft.
const FRINGE = 2;

const warp = { canvas: null, context: null, size: [0, 0], scale: 1, pixels: null, rasters: new Map(), fillKey: "", fill: null, hole: null };

/// Makes the copy of the picture that is warped.
function prepareWarp(bitmap) {
  warp.scale = Math.min(1, WARPED / Math.max(...picture.size));
  warp.size = picture.size.map((side) => Math.max(1, Math.round(side * warp.scale)));
  const [width, height] = warp.size;
  const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  copy.imageSmoothingQuality = "high";
  copy.drawImage(bitmap, 0, 0, width, height);
  warp.pixels = copy.getImageData(0, 0, width, height).data;
  warp.canvas = new OffscreenCanvas(width, height);
  warp.context = warp.canvas.getContext("2d");
}

const warpFactors = () => warp.size.map((side, axis) => side / picture.size[axis]);

/// Returns the pixels of a shape on the copy.
function warpRaster(shape) {
  const key = JSON.stringify(shape);
  let raster = warp.rasters.get(key);
  if (!raster) {
    raster = rasterOf(shape, ...warp.size, [0, 0], warpFactors());
    if (warp.rasters.size > 16) warp.rasters.clear();
    warp.rasters.set(key, raster);
  }
  return raster;
}

/// Draws what the drag changes onto the transparent `warp.canvas`. Returns whether anything moves.
function drawWarped(content) {
  const [width, height] = warp.size;
  const factors = warpFactors();
  const place = (point) => point.map((value, axis) => value * factors[axis]);
  const moving = content.regions.flatMap((region) => {
    const motion = isObject(region.region) && shapeBounds(region.region) ? motionOf(region, place) : null;
    if (!motion || !isMotionSound(motion)) return [];
    const pose = poseOf(motion);
    const box = shapeBounds(region.region).map(place);
    return boxCorners(box).every((corner) => distance(corner, pose.forward(corner)) < 0.5) ? [] : [{ region, pose, box, raster: warpRaster(region.region), isBent: motion.kind === "anchored" }];
  });
  if (moving.length === 0) return false;
  fillVacated(moving.filter(({ region }) => region.type !== "deformation"));
  const shown = warp.context.createImageData(width, height);
  if (warp.hole) {
    for (let index = 0; index < warp.hole.length; index++) if (warp.hole[index]) setPixel(shown.data, index, warp.fill, 3 * index, 1);
  }
  for (const layer of moving) drawLayer(shown.data, layer);
  if (isObject(content.editable) && shapeBounds(content.editable)) {
    const editable = warpRaster(content.editable);
    for (let index = 0; index < editable.length; index++) if (!editable[index]) shown.data[4 * index + 3] = 0;
  }
  warp.context.putImageData(shown, 0, 0);
  return true;
}

const boxCorners = ([low, high]) => [low, [high[0], low[1]], high, [low[0], high[1]]];

/// Returns whether a motion can be drawn: finite, and neither folded nor collapsed.
function isMotionSound(motion) {
  const pose = poseOf(motion);
  const there = [[0, 0], [1, 0], [0, 1]].map((point) => pose.forward(point));
  const back = there.map((point) => pose.back(point));
  return there.concat(back).every((point) => point.every((value) => Number.isFinite(value) && Math.abs(value) < 1e7));
}

function setPixel(shown, index, from, at, opacity) {
  const [to, under] = [4 * index, shown[4 * index + 3] > 0 ? shown : warp.pixels];
  for (let channel = 0; channel < 3; channel++) {
    shown[to + channel] = under[to + channel] + opacity * (from[at + channel] - under[to + channel]);
  }
  shown[to + 3] = 255;
}

/// Draws a region's pixels where they go, with soft edges.
function drawLayer(shown, { pose, box, raster, isBent }) {
  const [width, height] = warp.size;
  // A bent region also covers points between where it was and where it goes.
  const moved = boxCorners(box).map(pose.forward).concat(isBent ? boxCorners(box) : []);
  const range = (axis, limit) => {
    const values = moved.map((point) => point[axis]);
    return [clamp(Math.floor(Math.min(...values)) - 1, 0, limit), clamp(Math.ceil(Math.max(...values)) + 1, 0, limit)];
  };
  const [[left, right], [top, bottom]] = [range(0, width), range(1, height)];
  const { pixels } = warp;
  const colour = new Float64Array(3);
  for (let row = top; row < bottom; row++) {
    for (let column = left; column < right; column++) {
      const source = pose.back([column + 0.5, row + 0.5]);
      if (!(source[0] > 0 && source[1] > 0 && source[0] < width && source[1] < height)) continue;
      const x = clamp(source[0] - 0.5, 0, width - 1);
      const y = clamp(source[1] - 0.5, 0, height - 1);
      const a = Math.floor(y) * width + Math.floor(x);
      const b = a + (x + 1 < width ? 1 : 0);
      const down = y + 1 < height ? width : 0;
      const c = a + down;
      const d = b + down;
      if (!(raster[a] | raster[b] | raster[c] | raster[d])) continue;
      const fx = x - Math.floor(x);
      const fy = y - Math.floor(y);
      const wa = (1 - fx) * (1 - fy);
      const wb = fx * (1 - fy);
      const wc = (1 - fx) * fy;
      const wd = fx * fy;
      for (let channel = 0; channel < 3; channel++) {
        colour[channel] = wa * pixels[4 * a + channel] + wb * pixels[4 * b + channel] + wc * pixels[4 * c + channel] + wd * pixels[4 * d + channel];
      }
      setPixel(shown, row * width + column, colour, 0, wa * raster[a] + wb * raster[b] + wc * raster[c] + wd * raster[d]);
    }
  }
}

/// Fills what the regions leave, by averages of ever larger surroundings (pull and push). The result is kept while the shapes stay.
function fillVacated(leaving) {
  const key = JSON.stringify(leaving.map(({ region }) => region.region));
  if (key === warp.fillKey) return;
  warp.fillKey = key;
  warp.hole = null;
  if (leaving.length === 0) return;
  const [width, height] = warp.size;
  const hole = new Uint8Array(width * height);
  for (const { raster } of leaving) for (let index = 0; index < hole.length; index++) hole[index] |= raster[index];
  warp.hole = grown(hole, FRINGE);
  const level = { width, height, colours: new Float32Array(3 * hole.length), weights: new Float32Array(hole.length) };
  for (let index = 0; index < hole.length; index++) {
    if (warp.hole[index]) continue;
    level.weights[index] = 1;
    for (let channel = 0; channel < 3; channel++) level.colours[3 * index + channel] = warp.pixels[4 * index + channel];
  }
  pullAndPush(level);
  warp.fill = level.colours;
}

/// Dilates a mask by a square.
function grown(mask, radius) {
  const [width, height] = warp.size;
  const spread = (from, stride, length, lines, step) => {
    const to = new Uint8Array(from.length);
    for (let line = 0; line < lines; line++) {
      for (let at = 0, reach = 0; at < length + radius; at++) {
        const index = line * step + at * stride;
        if (at < length && from[index]) reach = at + 2 * radius + 1;
        if (at >= radius) to[line * step + (at - radius) * stride] = at < reach ? 1 : 0;
      }
    }
    return to;
  };
  return spread(spread(mask, 1, width, height, width), width, height, width, 1);
}

function pullAndPush(level) {
  const { width, height, colours, weights } = level;
  if (width <= 1 && height <= 1) return;
  const [w, h] = [Math.ceil(width / 2), Math.ceil(height / 2)];
  const half = { width: w, height: h, colours: new Float32Array(3 * w * h), weights: new Float32Array(w * h) };
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const [from, to] = [row * width + column, (row >> 1) * w + (column >> 1)];
      half.weights[to] += weights[from];
      for (let channel = 0; channel < 3; channel++) half.colours[3 * to + channel] += weights[from] * colours[3 * from + channel];
    }
  }
  for (let index = 0; index < half.weights.length; index++) {
    if (half.weights[index] === 0) continue;
    for (let channel = 0; channel < 3; channel++) half.colours[3 * index + channel] /= half.weights[index];
    half.weights[index] = Math.min(1, half.weights[index]);
  }
  pullAndPush(half);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const index = row * width + column;
      if (weights[index] >= 1) continue;
      const [x, y] = [clamp((column + 0.5) / 2 - 0.5, 0, w - 1), clamp((row + 0.5) / 2 - 0.5, 0, h - 1)];
      const [left, top] = [Math.floor(x), Math.floor(y)];
      const [right, bottom] = [Math.min(left + 1, w - 1), Math.min(top + 1, h - 1)];
      const [fx, fy] = [x - left, y - top];
      for (let channel = 0; channel < 3; channel++) {
        const at = (r, c) => half.colours[3 * (r * w + c) + channel];
        const upper = at(top, left) * (1 - fx) + at(top, right) * fx;
        const lower = at(bottom, left) * (1 - fx) + at(bottom, right) * fx;
        const filled = upper * (1 - fy) + lower * fy;
        colours[3 * index + channel] += (1 - weights[index]) * (filled - colours[3 * index + channel]);
      }
      weights[index] = 1;
    }
  }
}
