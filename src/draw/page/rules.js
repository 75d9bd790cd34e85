// The rules of a drag file on its picture: what `dragnext validate FILE --image IMAGE` reports, with the same kinds, places and messages.
// tests/draw holds both to one table of cases. The rules of methods other than the default are checked by the program alone.

const MIN_RADIUS = 0.5;
const FLAT = 1e-6;
const MAX_DEGREES = 3600;

/// Returns the findings on a drag file. A fault has `pointer`, `kind`, `message` and `hint`; a warning has `pointer`, `message` and, where
/// a region does not move, `kind`.
function check(content) {
  const found = { faults: [], warnings: [] };
  const fault = (pointer, kind, message, hint = "") => found.faults.push({ pointer, kind, message, hint });
  const warn = (pointer, message, kind = null) => found.warnings.push({ pointer, message, kind });
  checkFile(content, fault);
  // What depends on the picture is checked when the file itself is right, as the program does.
  if (found.faults.length === 0) {
    checkOnPicture(content, fault, warn);
    checkPrompts(content, warn);
  }
  return found;
}

function checkFile(content, fault) {
  if (content.regions.length === 0) fault("/regions", "instruction.no_regions", "there is no region to drag", "draw a shape around what should move");
  if (content.regions.length > limits.regions) {
    fault("/regions", "instruction.too_large", `there are ${content.regions.length} regions; at most ${limits.regions} are allowed`);
  }
  const ids = new Map();
  const budget = { points: 0 };
  if (isObject(content.editable)) checkShape(content.editable, "/editable", budget, fault);
  content.regions.forEach((region, index) => {
    const place = `/regions/${index}`;
    const id = region.id ?? `region-${index + 1}`;
    const at = region.id === undefined ? place : `${place}/id`;
    if (typeof id !== "string" || [...id].length === 0 || [...id].length > limits.id || /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(id)) {
      fault(at, "instruction.range", `an id has 1 to ${limits.id} visible characters`);
    } else if (ids.has(id)) {
      fault(at, "instruction.duplicate_id", `${id} is also the id at ${ids.get(id)}`);
    }
    ids.set(id, at);
    if (isObject(region.region)) checkShape(region.region, `${place}/region`, budget, fault);
    checkMotion(region, place, fault);
  });
  for (const [name, value] of Object.entries(content.settings ?? {})) {
    const form = limits.settings.find((entry) => entry.name === name);
    const reason = form && settingMisfit(form, value);
    if (reason) fault(`/settings/${name}`, reason.kind, reason.message);
  }
  const isLong = (key) => typeof content[key] === "string" && [...content[key]].length > limits.prompt;
  const long = ["prompt", "edit_prompt"].filter(isLong);
  for (const key of long) {
    fault(`/${key}`, "instruction.prompt_too_long", `longer than ${limits.prompt} characters, of which a text encoder reads a few hundred`);
  }
  if (long.length === 0) checkUse(content, fault);
}

// The words of a prompt, as the tokenizer splits them; each is at least one token.
const WORDS = /<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+/gu;

/// Warns of prompts of which the text encoder does not read the end. The tokens of a word depend on the model.
function checkPrompts(content, warn) {
  for (const key of limits.texts.includes(content.method) ? ["prompt", "edit_prompt"] : ["prompt"]) {
    if (typeof content[key] !== "string") continue;
    const words = content[key].normalize("NFC").toLowerCase().match(WORDS) ?? [];
    const tokens = words.length + 2;
    if (tokens > limits.tokens) {
      warn(`/${key}`, `\`${key}\` has at least ${tokens} tokens with its start and end mark, and the text encoder reads ${limits.tokens}; the end is left out`, "prompt.cut");
    }
  }
}

/// Checks that the method uses the settings, where all of them are right by themselves.
function checkUse(content, fault) {
  const unused = limits.unused[content.method ?? limits.method];
  if (!unused || Object.keys(content.settings ?? {}).some((name) => isMisfit(name, content.settings[name]))) return;
  for (const name of Object.keys(content.settings ?? {})) {
    if (Object.hasOwn(unused, name)) fault(`/settings/${name}`, "setting", `\`${name}\` ${unused[name]}`, "remove it, or choose a method that uses it");
  }
}

function isMisfit(name, value) {
  const form = limits.settings.find((entry) => entry.name === name);
  return Boolean(form && settingMisfit(form, value));
}

function checkShape(shape, place, budget, fault) {
  const kind = shapeKind(shape);
  const range = (message) => fault(`${place}/${kind}`, "instruction.range", message);
  const numbers = kind === "polygon" ? shape.polygon.flat() : kind === "mask" ? [] : shape[kind];
  numbers.forEach((number, index) => {
    if (!(Math.abs(number) <= limits.coordinate)) {
      const at = kind === "polygon" ? `${place}/polygon/${Math.floor(index / 2)}/${index % 2}` : `${place}/${kind}/${index}`;
      fault(at, "instruction.range", `${number} is not between -${limits.coordinate} and ${limits.coordinate}`);
    }
  });
  if (kind === "rect") {
    const [left, top, right, bottom] = shape.rect;
    if (left >= right || top >= bottom) range("a rectangle [x0, y0, x1, y1] needs x0 < x1 and y0 < y1");
  } else if (kind === "ellipse") {
    if (shape.ellipse[2] <= 0 || shape.ellipse[3] <= 0) range("the radii of an ellipse [cx, cy, rx, ry] must be above 0");
  } else if (kind === "polygon") {
    budget.points += shape.polygon.length;
    if (budget.points > limits.points) fault(`${place}/polygon`, "instruction.too_large", `the file's polygons have more than ${limits.points} points`);
    else if (shape.polygon.length < 3) range(`a polygon needs at least 3 points, found ${shape.polygon.length}`);
    else if (isFlat(shape.polygon)) range("the polygon's points lie on one line");
  }
}

function isFlat(corners) {
  const a = corners[0];
  const b = corners.reduce((far, corner) => (distance(a, corner) >= distance(a, far) ? corner : far), a);
  const length = distance(a, b);
  return corners.every((c) => Math.abs((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])) <= FLAT * length);
}

function checkMotion(region, place, fault) {
  const range = (key, message, hint) => fault(`${place}/${key}`, "instruction.range", message, hint);
  const isAngle = (angle) => Math.abs(angle) <= MAX_DEGREES;
  const [least, most] = limits.factors;
  switch (region.type) {
    case "translation":
    case "rotation":
      if (region.angle !== undefined && !isAngle(region.angle)) range("angle", `${region.angle} is not between -${MAX_DEGREES} and ${MAX_DEGREES}`);
      break;
    case "deformation": {
      if (!region.anchor) break;
      const axis = minus(region.handle, region.anchor);
      const length = Math.hypot(...axis);
      const [x, y] = minus(region.target, region.anchor);
      if (length < MIN_RADIUS) {
        range("anchor", "the anchor lies on the handle, so nothing is between them to stretch", "move the anchor to the end that stays");
      } else if ((x * axis[0] + y * axis[1]) / length < least * length) {
        range("target", "the target lies at the anchor or beyond it, so the region would fold", "move the target or the anchor, so that the target stays on the handle's side");
      }
      break;
    }
    case "scale": {
      const bounds = `it must be ${least} to ${most}`;
      if (region.factor !== undefined) {
        if (!(region.factor >= least && region.factor <= most)) range("factor", `the factor must be ${least} to ${most}, found ${region.factor}`);
      } else if (distance(region.handle, region.center) < MIN_RADIUS) {
        range("handle", "the handle lies on the centre, so the factor is not defined", "move it away from the centre");
      } else {
        const factor = scaleFactor(region);
        if (!(factor >= least && factor <= most)) range("target", `the region would scale by ${factor.toFixed(3)}; ${bounds}`, "the factor is the target's distance from the centre over the handle's");
      }
      break;
    }
    case "affine":
      checkAffine(region, range);
  }
}

function checkAffine({ handles, targets }, range) {
  const [least, most] = limits.factors;
  const areas = [handles, targets].map((points) => linear.determinant(linear.edges(points)) / 2);
  if (Math.abs(areas[0]) < 1) return range("handles", "the handles lie on one line", "choose three points around the region");
  if (Math.abs(areas[1]) < 1) return range("targets", "the targets lie on one line", "choose three points that span an area");
  if (areas[0] < 0 !== areas[1] < 0) return range("targets", "the targets mirror the region", "handles and targets go around in the same direction");
  const [small, large] = linear.factors(linear.between(handles, targets));
  if (small < least || large > most) {
    const beyond = small < least ? small : large;
    range("targets", `the region would stretch by ${beyond.toFixed(3)}; it must be ${least} to ${most}`, "keep the targets' triangle closer to the handles'");
  }
}

/// Returns why a setting's value is refused; `null` for a valid one.
function settingMisfit(form, value) {
  const number = isRaw(value) ? Number(value.rawJSON) : value;
  const isNumber = typeof number === "number";
  const range = { kind: "instruction.range", message: `${form.name} ${form.bounds}` };
  const type = { kind: "instruction.type", message: `expected ${form.expected}` };
  if (form.words) {
    if (form.words.includes(value)) return null;
    if (!form.numeric) return typeof value === "string" ? range : type;
  }
  if (form.kind === "switch") return typeof value === "boolean" ? null : type;
  if (form.kind === "stages") {
    const isList = Array.isArray(value) && value.every(Number.isInteger);
    if (!isList) return type;
    const isValid = value.length > 0 && new Set(value).size === value.length && value.every((stage) => stage >= 1 && stage <= form.high);
    return isValid ? null : range;
  }
  if (!isNumber || (form.kind === "whole" && !Number.isInteger(number))) return type;
  const isIn = (form.exclusive ? number > form.low : number >= form.low) && number <= form.high;
  return isIn || (form.zero && number === 0) ? null : range;
}
