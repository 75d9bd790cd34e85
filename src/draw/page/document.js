// The drag file as the page holds it: the JSON value itself, so that keys which the page does not know are kept, with undo and redo.

/// A drag file of a picture on which nothing has been drawn.
const EMPTY = { version: 1, prompt: "", regions: [] };
/// States that can be undone.
const MAX_UNDO = 200;
/// Longest list that stays on one line of the file.
const LINE = 100;

/// Reads JSON. Whole numbers that are not exact in JavaScript, such as large seeds, keep their digits where the browser can.
function readJson(text) {
  return JSON.parse(text, (_, value, context) => {
    const isExact = typeof value !== "number" || !Number.isInteger(value) || Number.isSafeInteger(value);
    return isExact || !context || !JSON.rawJSON ? value : JSON.rawJSON(context.source);
  });
}

const isRaw = (value) => Boolean(JSON.isRawJSON?.(value));
const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value) && !isRaw(value);

/// Returns a deep copy.
function copied(value) {
  if (Array.isArray(value)) return value.map(copied);
  if (!isObject(value)) return value;
  const copy = {};
  for (const key of Object.keys(value)) define(copy, key, copied(value[key]));
  return copy;
}

/// Sets a key of the file's own, even one such as `__proto__`.
function define(object, key, value) {
  Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
}

/// Writes JSON with short lists on one line.
function writeJson(value, indent = "") {
  const inner = indent + "  ";
  if (Array.isArray(value)) {
    const isFlat = value.every((entry) => !isObject(entry) && (!Array.isArray(entry) || entry.every((part) => typeof part === "number")));
    const flat = isFlat && `[${value.map((entry) => writeJson(entry)).join(", ")}]`;
    if (isFlat && flat.length <= LINE) return flat;
    if (isFlat && value.every((entry) => Array.isArray(entry))) {
      const lines = [];
      for (let index = 0; index < value.length; index += 6) {
        lines.push(inner + value.slice(index, index + 6).map((point) => writeJson(point)).join(", "));
      }
      return `[\n${lines.join(",\n")}\n${indent}]`;
    }
    return `[\n${value.map((entry) => inner + writeJson(entry, inner)).join(",\n")}\n${indent}]`;
  }
  if (isObject(value)) {
    const entries = Object.entries(value).filter(([, entry]) => entry !== undefined);
    if (entries.length === 0) return "{}";
    const isShape = entries.length === 1 && ["rect", "ellipse"].includes(entries[0][0]);
    if (isShape) return `{ ${JSON.stringify(entries[0][0])}: ${writeJson(entries[0][1], inner)} }`;
    return `{\n${entries.map(([key, entry]) => `${inner}${JSON.stringify(key)}: ${writeJson(entry, inner)}`).join(",\n")}\n${indent}}`;
  }
  return JSON.stringify(value);
}

const file = {
  /// The drag file; never changed in place between `change` calls of others.
  content: copied(EMPTY),
  /// Index of the selected region; "editable" for the editable area; `null` for nothing.
  selected: null,
  undo: [],
  redo: [],
  /// The state that was saved last, to warn before the page is left.
  saved: null,
  /// Names the kind of the last change, so that repeated changes of one field are one step.
  last: null,
};

/// The names under which the drag file is saved: a browser keeps the files that it saved, and would give a second one of a name another. The number of
/// files is also that of before the page was opened again, where the browser remembers it.
const saves = {
  key: `dragnext ${location.pathname} ${start.file}`,
  count: 0,
  /// Whether this page saved a file since it was opened.
  isUsed: false,
  read() {
    try {
      this.count = Number(localStorage.getItem(this.key)) || 0;
    } catch {
      // The browser keeps nothing for this page.
    }
  },
  /// Returns the name of a file, counted from 0: `cat.json`, `cat-2.json`; after `cat-2.json` comes `cat-3.json`.
  name(index) {
    const [, stem, number, extension] = /^(.*?)(?:-(\d{1,6}))?(\.[^.]*)?$/s.exec(start.file);
    return index === 0 ? start.file : `${stem}-${Number(number ?? 1) + index}${extension ?? ""}`;
  },
  /// Returns whether the file stands as it was saved last.
  isCurrent() {
    return this.isUsed && JSON.stringify(file.content) === file.saved;
  },
  /// Returns the name of the file that was saved last, or of the one that holds what has changed since.
  present() {
    return this.name(this.isCurrent() ? this.count - 1 : this.count);
  },
  next() {
    return this.name(this.count);
  },
  add() {
    this.count += 1;
    this.isUsed = true;
    file.saved = JSON.stringify(file.content);
    try {
      localStorage.setItem(this.key, String(this.count));
    } catch {
      // As above.
    }
  },
};

const regions = () => file.content.regions;
const selectedRegion = () => (typeof file.selected === "number" ? regions()[file.selected] : undefined);

/// Remembers the present state as one that can be undone. Changes with the same `label` in a row are one step.
function remember(label = null) {
  if (label !== null && label === file.last) return;
  file.last = label;
  file.undo.push({ content: copied(file.content), selected: file.selected });
  if (file.undo.length > MAX_UNDO) file.undo.shift();
  file.redo = [];
}

/// Changes the file in one step that can be undone, and shows it.
function change(edit, label = null) {
  remember(label);
  edit(file.content);
  refresh();
}

/// Goes one step back or forth.
function travel(from, to) {
  const state = from.pop();
  if (!state) return;
  to.push({ content: copied(file.content), selected: file.selected });
  file.content = state.content;
  file.selected = state.selected;
  file.last = null;
  cancelGesture();
  refresh();
}
const undo = () => travel(file.undo, file.redo);
const redo = () => travel(file.redo, file.undo);

/// Returns every shape of a drag file with its JSON pointer.
function shapesOf(content) {
  const shapes = content.regions.map((region, index) => [`/regions/${index}/region`, region.region]);
  return [...shapes, ["/editable", content.editable]].filter(([, shape]) => isObject(shape));
}

/// Returns the text of the drag file, with painted masks as data URLs. Throws an `Error` with a message for the user.
async function fileText() {
  const content = copied(file.content);
  let bytes = 0;
  for (const [, shape] of shapesOf(content)) {
    if (!(typeof shape.mask === "string" && masks.runs.has(shape.mask))) continue;
    if (masks.given.has(shape.mask)) {
      shape.mask = masks.given.get(shape.mask);
      continue;
    }
    const painted = await maskUrl(shape.mask);
    bytes += painted.bytes;
    shape.mask = painted.url;
  }
  if (bytes > limits.embedded) {
    throw new Error(`The painted masks have ${bytes} bytes; a drag file holds ${limits.embedded}. Paint fewer or simpler masks.`);
  }
  return writeJson(content) + "\n";
}

/// Returns a new name for a region.
function newId(word) {
  const taken = new Set(regions().map((region, index) => region.id ?? `region-${index + 1}`));
  for (let number = 1; ; number++) {
    const id = number === 1 ? word : `${word}-${number}`;
    if (!taken.has(id)) return id;
  }
}

/// Adds a region and selects it.
function addRegion(region) {
  regions().push(region);
  file.selected = regions().length - 1;
}

/// Puts a shape into the region that is drawn or the editable area, and gives a new region its handle and target.
function placeShape(shape, word) {
  if (drawing.goal === "editable") {
    file.content.editable = keptShape(file.content.editable, shape);
    file.selected = "editable";
    return;
  }
  const middle = roundedPoint(insidePoint(shape));
  addRegion({ id: newId(word), type: "translation", region: shape, handle: middle, target: [...middle] });
}

/// Returns a point well inside a shape: its middle, or else the middle of the longest row of pixels inside.
function insidePoint(shape) {
  const middle = shapeMiddle(shape);
  if (shapeContains(shape, middle)) return middle;
  const bounds = shapeBounds(shape);
  if (!bounds) return middle;
  const [[left, top], [right, bottom]] = bounds;
  const steps = 64;
  let [best, longest] = [middle, 0];
  for (let row = 1; row < steps; row++) {
    const y = top + ((bottom - top) * row) / steps;
    let run = 0;
    for (let column = 0; column <= steps; column++) {
      const x = left + ((right - left) * column) / steps;
      run = shapeContains(shape, [x, y]) ? run + 1 : 0;
      if (run > longest) [best, longest] = [[x - ((right - left) * (run - 1)) / (2 * steps), y], run];
    }
  }
  return best;
}

/// Gives a region another type, with points that fit it.
function setType(region, type) {
  const hadPair = isPoint(region.handle);
  const old = { handle: firstHandle(region), target: firstTarget(region), center: region.center };
  for (const key of ["handle", "target", "center", "angle", "factor", "handles", "targets", "anchor"]) delete region[key];
  region.type = type;
  const shape = region.region;
  const middle = roundedPoint(shape ? insidePoint(shape) : old.handle);
  const [[left, top], [right, bottom]] = (shape && shapeBounds(shape)) ?? [middle, middle];
  const isInside = hadPair && (shape ? shapeContains(shape, old.handle) : true);
  const handle = isInside ? old.handle : middle;
  if (type === "point") delete region.region;
  else region.region ??= { ellipse: [...handle, 24, 24] };
  if (["translation", "deformation", "point"].includes(type)) {
    region.handle = handle;
    region.target = isInside ? old.target : [...handle];
  } else if (type === "affine") {
    const box = shape ? [left, top, right, bottom] : [handle[0] - 24, handle[1] - 24, handle[0] + 24, handle[1] + 24];
    region.handles = [[box[0], box[1]], [box[2], box[1]], [box[0], box[3]]].map(withinPicture);
    region.targets = copied(region.handles);
  } else {
    region.center = roundedPoint(old.center ?? middle);
    region.handle = edgePoint(region.region, region.center);
    region.target = [...region.handle];
  }
}

/// Returns the point of a shape near its edge, to the right of `center` or, where that is outside, in another direction.
function edgePoint(shape, center) {
  const bounds = shapeBounds(shape) ?? [center, center];
  const reach = Math.max(...bounds.flatMap((corner) => [Math.abs(corner[0] - center[0]), Math.abs(corner[1] - center[1])]), 2);
  for (const angle of [0, 90, 180, 270, 45, 135, 225, 315]) {
    for (let share = 0.95; share > 0.1; share -= 0.05) {
      const point = roundedPoint(plus(center, linear.of(linear.turn(angle * DEGREE), share * reach, 0)));
      if (shapeContains(shape, point) && isInPicture(point)) return point;
    }
  }
  return roundedPoint(withinPicture(plus(center, [reach, 0])));
}

const isInPicture = ([x, y]) => x >= 0 && y >= 0 && x <= picture.size[0] && y <= picture.size[1];
const withinPicture = ([x, y]) => [clamp(rounded(x), 0, picture.size[0]), clamp(rounded(y), 0, picture.size[1])];

/// Returns the handle of a region, or the one of its handles that stands for it.
function firstHandle(region) {
  if (isPoint(region.handle)) return region.handle;
  if (isPoint(region.handles?.[0])) return region.handles[0];
  return isObject(region.region) ? edgePoint(region.region, region.center ?? shapeMiddle(region.region)) : [0, 0];
}

/// Returns where the region's first handle goes.
function firstTarget(region) {
  if (isPoint(region.target)) return region.target;
  const motion = motionOf(region);
  return motion ? withinPicture(poseOf(motion).forward(firstHandle(region))) : [...firstHandle(region)];
}
