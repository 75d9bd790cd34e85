// Masks: which pixels of the picture belong to an area that was painted, or that a mask picture gives.
//
// In the page, `mask` holds a name of this table instead of a path or a data URL, so that undo and redo copy no pixels. `masks.given`
// keeps what the drag file has for a mask that was not painted on.

const masks = {
  /// Lengths of the runs outside and inside, in turn, row by row, by name.
  runs: new Map(),
  /// What the drag file has, by name; missing once it is painted on.
  given: new Map(),
  /// Decoded masks, the most recent ones last.
  planes: new Map(),
  rings: new Map(),
  count: 0,
};
const MASK_NAME = "painted mask ";
/// Decoded masks that are kept; each has a byte for every pixel of the picture.
const KEPT_PLANES = 6;
/// Longest side of the copy on which the outline of a mask is traced.
const TRACED = 512;

/// Stores a mask and returns its name.
function addMask(pixels, given) {
  const runs = [];
  let [inside, start] = [0, 0];
  for (let index = 0; index < pixels.length; index++) {
    if (pixels[index] !== inside) {
      runs.push(index - start);
      [inside, start] = [pixels[index], index];
    }
  }
  runs.push(pixels.length - start);
  const name = MASK_NAME + ++masks.count;
  masks.runs.set(name, Uint32Array.from(runs));
  if (given !== undefined) masks.given.set(name, given);
  return name;
}

/// Returns a mask with one byte, 0 or 1, for every pixel of the picture. It is not to be changed.
function maskPixels(name) {
  const [width, height] = picture.size;
  let pixels = masks.planes.get(name);
  if (!pixels) {
    pixels = new Uint8Array(width * height);
    let at = 0;
    (masks.runs.get(name) ?? []).forEach((length, index) => {
      if (index % 2) pixels.fill(1, at, at + length);
      at += length;
    });
  }
  masks.planes.delete(name);
  masks.planes.set(name, pixels);
  if (masks.planes.size > KEPT_PLANES) masks.planes.delete(masks.planes.keys().next().value);
  return pixels;
}

/// Returns whether the pixel under a point is inside.
function maskAt(name, [x, y]) {
  const [width, height] = picture.size;
  if (!(x >= 0 && y >= 0 && x <= width && y <= height)) return false;
  return maskPixels(name)[Math.min(Math.floor(y), height - 1) * width + Math.min(Math.floor(x), width - 1)] === 1;
}

/// Returns the corners of the smallest rectangle around a mask; `null` when nothing is inside.
function maskBounds(name) {
  const [width] = picture.size;
  let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
  let at = 0;
  (masks.runs.get(name) ?? []).forEach((length, index) => {
    if (index % 2 && length) {
      const [first, last] = [at, at + length - 1];
      const [from, to] = [Math.floor(first / width), Math.floor(last / width)];
      [top, bottom] = [Math.min(top, from), Math.max(bottom, to + 1)];
      left = Math.min(left, from === to ? first % width : 0);
      right = Math.max(right, from === to ? (last % width) + 1 : width);
    }
    at += length;
  });
  return left < right ? [[left, top], [right, bottom]] : null;
}

/// Returns the lines around a mask, traced on a smaller copy by marching squares.
function maskRings(name) {
  if (masks.rings.has(name)) return masks.rings.get(name);
  const [width, height] = picture.size;
  const step = Math.max(1, Math.max(width, height) / TRACED);
  const [columns, rows] = [Math.ceil(width / step), Math.ceil(height / step)];
  const pixels = maskPixels(name);
  // One more cell on each side, so that every line closes.
  const inside = (column, row) =>
    column >= 0 && row >= 0 && column < columns && row < rows &&
    pixels[Math.min(Math.floor((row + 0.5) * step), height - 1) * width + Math.min(Math.floor((column + 0.5) * step), width - 1)] === 1;
  const lines = [];
  const key = ([x, y]) => y * (4 * columns + 8) + x;
  for (let row = -1; row < rows; row++) {
    for (let column = -1; column < columns; column++) {
      const [a, b, c, d] = [inside(column, row), inside(column + 1, row), inside(column + 1, row + 1), inside(column, row + 1)];
      if (a === b && b === c && c === d) continue;
      // Middles of the four edges, in half cells from the first corner.
      const [x, y] = [2 * column + 4, 2 * row + 4];
      const [top, right, bottom, left] = [[x + 1, y], [x + 2, y + 1], [x + 1, y + 2], [x, y + 1]];
      const crossed = [];
      // Clockwise around the cell, a line starts where the inside ends and leads to where it begins again.
      if (a !== b) crossed.push([top, b]);
      if (b !== c) crossed.push([right, c]);
      if (c !== d) crossed.push([bottom, d]);
      if (d !== a) crossed.push([left, a]);
      crossed.forEach(([start, enters], index) => {
        if (!enters) lines.push([start, crossed[(index + 1) % crossed.length][0]]);
      });
    }
  }
  const rings = joined(lines, key).map((ring) => ring.map(([x, y]) => [((x - 3) / 2) * step, ((y - 3) / 2) * step]));
  masks.rings.set(name, rings);
  return rings;
}

/// Joins lines with common ends to closed ones.
function joined(lines, key) {
  const from = new Map();
  for (const [start, end] of lines) {
    const list = from.get(key(start)) ?? [];
    list.push([start, end]);
    from.set(key(start), list);
  }
  const rings = [];
  for (const list of from.values()) {
    while (list.length) {
      const ring = [];
      let line = list.pop();
      while (line) {
        ring.push(line[0]);
        line = from.get(key(line[1]))?.pop();
      }
      if (ring.length > 2) rings.push(ring);
    }
  }
  return rings;
}

/// Sets the pixels within `radius` of a line from `a` to `b`.
function paintLine(pixels, a, b, radius, value) {
  const [width, height] = picture.size;
  const [dx, dy] = minus(b, a);
  const squared = dx * dx + dy * dy;
  const range = (axis, limit) => [
    clamp(Math.floor(Math.min(a[axis], b[axis]) - radius), 0, limit),
    clamp(Math.ceil(Math.max(a[axis], b[axis]) + radius), 0, limit),
  ];
  const [[left, right], [top, bottom]] = [range(0, width), range(1, height)];
  for (let row = top; row < bottom; row++) {
    for (let column = left; column < right; column++) {
      const [x, y] = [column + 0.5 - a[0], row + 0.5 - a[1]];
      const along = squared ? clamp((x * dx + y * dy) / squared, 0, 1) : 0;
      if ((x - along * dx) ** 2 + (y - along * dy) ** 2 <= radius * radius) pixels[row * width + column] = value;
    }
  }
}

/// Returns a mask picture, white inside, as a data URL of an 8-bit grey PNG.
async function maskUrl(name) {
  const [width, height] = picture.size;
  const pixels = maskPixels(name);
  const rows = new Uint8Array((width + 1) * height);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) rows[row * (width + 1) + 1 + column] = 255 * pixels[row * width + column];
  }
  const compressed = new Response(new Blob([rows]).stream().pipeThrough(new CompressionStream("deflate")));
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header[8] = 8;
  const chunks = [pngChunk("IHDR", header), pngChunk("IDAT", new Uint8Array(await compressed.arrayBuffer())), pngChunk("IEND", new Uint8Array(0))];
  const bytes = new Uint8Array(await new Blob([Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10), ...chunks]).arrayBuffer());
  let text = "";
  for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return { url: "data:image/png;base64," + btoa(text), bytes: bytes.length };
}

function pngChunk(kind, content) {
  const chunk = new Uint8Array(content.length + 12);
  const view = new DataView(chunk.buffer);
  view.setUint32(0, content.length);
  chunk.set([...kind].map((letter) => letter.charCodeAt(0)), 4);
  chunk.set(content, 8);
  let crc = -1;
  for (const byte of chunk.subarray(4, content.length + 8)) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  view.setUint32(content.length + 8, ~crc);
  return chunk;
}

/// Reads a mask picture of the picture's size from a data URL that the program made.
async function readMask(url, given) {
  const image = new Image();
  image.src = url;
  await image.decode();
  const [width, height] = picture.size;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  const colours = context.getImageData(0, 0, width, height).data;
  const pixels = new Uint8Array(width * height);
  for (let index = 0; index < pixels.length; index++) pixels[index] = colours[4 * index] > 127 ? 1 : 0;
  return addMask(pixels, given);
}
