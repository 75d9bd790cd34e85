// The sidebar: the regions, the selected one with its values, the editable area, and what goes with the file.

const TYPES = [
  ["translation", "Move", "The whole object moves; background appears where it was."],
  ["deformation", "Stretch", "A part moves and stretches the rest of its object."],
  ["rotation", "Rotate", "The object turns about a centre: drag it around the centre, or the centre itself."],
  ["scale", "Scale", "The object grows or shrinks about a centre: drag it away from the centre or towards it."],
  ["affine", "Three points", "The object moves, turns and stretches as three points of it do."],
  ["point", "Point", "A single point moves; there is no region."],
];

/// When the sidebar is built anew: not while a pointer is pressed on it, whose click would find another element.
const rebuilding = { timer: 0, isPressed: false, isFieldLeft: false };

/// Builds the sidebar anew: after a click on it, or when the focus has arrived that leaves a changed field.
function showInspectorSoon() {
  if (rebuilding.isPressed) rebuilding.timer ||= -1;
  else if (rebuilding.isFieldLeft) rebuilding.timer ||= setTimeout(showInspector);
  else showInspector();
}

function listenToInspector() {
  const aside = document.querySelector("aside");
  aside.addEventListener("pointerdown", () => (rebuilding.isPressed = true));
  // A text field may tell its change while the focus goes from it to another.
  aside.addEventListener("change", (event) => (rebuilding.isFieldLeft = event.target.matches("input")), { capture: true });
  aside.addEventListener("change", () => (rebuilding.isFieldLeft = false));
  for (const type of ["pointerup", "pointercancel"]) {
    document.addEventListener(type, () => {
      rebuilding.isPressed = false;
      // After the click.
      if (rebuilding.timer === -1) rebuilding.timer = setTimeout(showInspector);
    });
  }
}

/// Builds the sidebar anew, with the focus where it was.
function showInspector() {
  clearTimeout(rebuilding.timer);
  rebuilding.timer = 0;
  const focused = document.activeElement;
  const key = focused?.closest("aside") ? focusKey(focused) : null;
  const values = document.querySelector("aside .values");
  const top = values.scrollTop;
  fillRegions();
  fillSelected();
  fillEditable();
  fillPrompt();
  fillSettings();
  showFindings();
  values.scrollTop = top;
  if (!key || focused.isConnected) return;
  const twin = [...document.querySelectorAll("aside [data-pointer], aside [data-key]")].find((each) => focusKey(each) === key);
  (twin ?? stage).focus({ preventScroll: true });
  if (twin?.matches("input")) twin.select();
}

const focusKey = (each) => (each.dataset ? each.dataset.key ?? each.dataset.pointer ?? null : null);
const panel = (id) => document.getElementById(id);

function fillRegions() {
  const items = regions().map((region, index) => {
    const name = String(region.id ?? `region-${index + 1}`);
    const type = TYPES.find(([key]) => key === region.type)?.[1] ?? region.type;
    const open = button("", () => select(index), { className: "row", "aria-pressed": String(index === file.selected) });
    open.dataset.key = `row-${index}`;
    open.dataset.region = String(index);
    open.append(element("span", { className: "dot", "aria-hidden": "true" }), element("span", { className: "name" }, name), element("span", { className: "kind" }, type));
    const remove = button("×", () => deleteRegion(index), { className: "icon", title: "Delete", "aria-label": `Delete ${name}` });
    remove.dataset.key = `remove-${index}`;
    return element("li", {}, open, remove);
  });
  panel("regions").replaceChildren(...items);
  panel("empty").hidden = items.length > 0;
}

function fillSelected() {
  const region = selectedRegion();
  panel("selected").hidden = !region;
  if (!region) return;
  const place = `/regions/${file.selected}`;
  const fields = [idField(region, place), typeField(region), ...amountFields(region, place)];
  for (const key of ["handle", "target", "center", "anchor"]) {
    if (isPoint(region[key])) fields.push(pointField(region, key, place));
  }
  if (["translation", "deformation", "point"].includes(region.type)) fields.push(wayField(region, place));
  if (region.type === "affine") {
    for (const key of ["handles", "targets"]) {
      region[key].forEach((point, index) => {
        const label = `${key === "handles" ? "Handle" : "Target"} ${index + 1}`;
        fields.push(numbersField(label, ["x", "y"], point, `${place}/${key}/${index}`, (to) => (region[key][index] = to)));
      });
    }
  }
  if (isObject(region.region)) fields.push(...shapeFields(region.region, `${place}/region`, (shape) => (region.region = shape)));
  panel("selected-fields").replaceChildren(...fields);
}

function idField(region, place) {
  const input = element("input", { value: String(region.id ?? ""), placeholder: `region-${file.selected + 1}`, maxLength: limits.id, spellcheck: false });
  input.addEventListener("change", () => change(() => (input.value ? (region.id = input.value) : delete region.id)));
  return field("Name", input, `${place}/id`);
}

function typeField(region) {
  const select = choice(TYPES.map(([key, text]) => [key, text]), region.type, (type) => change(() => setType(region, type)));
  select.dataset.key = "type";
  return field("What it does", select, null, TYPES.find(([key]) => key === region.type)?.[2]);
}

function pointField(region, key, place) {
  const label = { handle: "Handle", target: "Target", center: "Centre", anchor: "Anchor, which stays" }[key];
  const made = numbersField(label, ["x", "y"], region[key], `${place}/${key}`, (point) => (region[key] = point));
  if (key === "anchor") made.append(button("Remove anchor", () => change(() => delete region.anchor), { className: "link" }));
  return made;
}

/// Returns how far the target lies from the handle, which can be typed, too.
function wayField(region, place) {
  const way = minus(region.target, region.handle).map(rounded);
  return numbersField("Moves by", ["right", "down"], way, `${place}/way`, (to) => (region.target = roundedPoint(plus(region.handle, to))));
}

/// Returns the fields of the angle, the factor and the anchor.
function amountFields(region, place) {
  const number = (label, key, value, set, note) => {
    const input = element("input", { type: "number", step: "any", value: String(Math.round(value * 1000) / 1000) });
    input.dataset.shown = input.value;
    input.addEventListener("change", () => (Number.isFinite(input.valueAsNumber) ? change(() => set(input.valueAsNumber)) : refresh()));
    return field(label, input, `${place}/${key}`, note);
  };
  const note = isPoint(region.handle) ? "A number typed here replaces handle and target." : null;
  switch (region.type) {
    case "translation":
      return [number("Turn, in degrees counter-clockwise", "angle", region.angle ?? 0, (angle) => (angle === 0 ? delete region.angle : (region.angle = angle)))];
    case "rotation":
      return [number("Angle, in degrees counter-clockwise", "angle", rotationAngle(region) / DEGREE, (angle) => setExactAngle(region, angle), note)];
    case "scale":
      return [number("Factor", "factor", scaleFactor(region), (factor) => setExactFactor(region, factor), note)];
    case "deformation":
      if (isPoint(region.anchor)) return [];
      return [button("Add an anchor, the end that stays", () => change(() => addAnchor(region)))];
    default:
      return [];
  }
}

/// Sets the angle of a rotation; one of more than half a turn, or to outside the picture, cannot be given by points.
function setExactAngle(region, angle) {
  delete region.handle;
  delete region.target;
  region.angle = angle;
}

function setExactFactor(region, factor) {
  delete region.handle;
  delete region.target;
  region.factor = factor;
}

/// Puts the anchor at the end of the shape that lies opposite to the target, or else to the handle.
function addAnchor(region) {
  const middle = isObject(region.region) ? shapeMiddle(region.region) : region.handle;
  const moved = minus(region.target, region.handle);
  const direction = Math.hypot(...moved) >= 1 ? moved : minus(region.handle, middle);
  const bounds = (isObject(region.region) && shapeBounds(region.region)) || [region.handle, region.handle];
  const reach = Math.max(distance(...bounds) / 2, 20);
  const length = Math.hypot(...direction) || 1;
  const unit = Math.hypot(...direction) ? direction.map((part) => part / length) : [1, 0];
  region.anchor = withinPicture(minus(region.handle, unit.map((part) => part * reach)));
}

function shapeFields(shape, place, set) {
  switch (shapeKind(shape)) {
    case "rect":
      return [numbersField("Rectangle", ["left", "top", "right", "bottom"], shape.rect, `${place}/rect`, (rect) => set({ ...shape, rect }))];
    case "ellipse":
      return [numbersField("Ellipse", ["x", "y", "rx", "ry"], shape.ellipse, `${place}/ellipse`, (ellipse) => set({ ...shape, ellipse }))];
    case "polygon":
      return [noteField(`Polygon with ${shape.polygon.length} corners`, `${place}/polygon`)];
    default: {
      const given = masks.given.get(shape.mask);
      const isFile = typeof given === "string" && !given.startsWith("data:");
      return [noteField(isFile ? `Mask ${given}; painting on it stores it in the drag file` : "Painted mask", `${place}/mask`)];
    }
  }
}

function noteField(text, pointer) {
  const note = element("p", { className: "note", tabIndex: -1 }, text);
  note.dataset.pointer = pointer;
  return note;
}

function fillEditable() {
  const { editable } = file.content;
  const kind = editable === undefined ? "swept" : editable === "everything" ? "everything" : "shape";
  const options = [["swept", "What the drag sweeps, with a margin"], ["shape", "A shape that I draw"], ["everything", "Everything"]];
  const set = (value) => {
    const make = { swept: undefined, everything: "everything" };
    if (value === "shape") {
      change((content) => {
        if (!isObject(content.editable)) delete content.editable;
        file.selected = "editable";
      });
      setTool("rect");
      return;
    }
    change((content) => {
      if (make[value] === undefined) delete content.editable;
      else content.editable = make[value];
      if (file.selected === "editable") file.selected = null;
    });
  };
  const select = choice(options, file.selected === "editable" ? "shape" : kind, set);
  select.dataset.key = "editable";
  const parts = [field("Editable area", select, "/editable")];
  if (file.selected === "editable" && !isObject(editable)) parts.push(element("p", { className: "note" }, "Draw the area that may change with any shape tool or the brush."));
  if (isObject(editable)) {
    parts.push(...shapeFields(editable, "/editable", (shape) => (file.content.editable = shape)));
    const isSelected = file.selected === "editable";
    parts.push(button(isSelected ? "Done" : "Edit the area", () => choose(isSelected ? null : "editable"), { "aria-pressed": String(isSelected) }));
  }
  panel("editable").replaceChildren(...parts);
}

function fillPrompt() {
  const { content } = file;
  const text = (key, label, placeholder, note) => {
    const input = element("textarea", { rows: 2, value: typeof content[key] === "string" ? content[key] : "", placeholder });
    input.addEventListener("input", () => {
      remember(`text ${key}`);
      if (input.value || key === "prompt") content[key] = input.value;
      else delete content[key];
      refresh(false);
    });
    return field(label, input, `/${key}`, note);
  };
  const methods = [["", `Default (${limits.method})`], ...limits.methods.map((name) => [name, name])];
  const method = choice(methods, content.method ?? "", (name) => change((edited) => (name ? (edited.method = name) : delete edited.method)));
  panel("prompt").replaceChildren(
    text("prompt", "What the picture shows", "a cat on a sofa", "A few words; may stay empty."),
    ...(content.edit_prompt !== undefined || limits.texts.includes(content.method) ? [text("edit_prompt", "What the edited picture shows", "a cat that looks up")] : []),
    field("Method", method, "/method"),
  );
}

function fillSettings() {
  const given = isObject(file.content.settings) ? file.content.settings : {};
  const names = Object.keys(given).filter((name) => limits.settings.some((form) => form.name === name));
  const rows = names.map((name) => settingField(limits.settings.find((form) => form.name === name), given[name]));
  const unused = limits.unused[file.content.method ?? limits.method] ?? {};
  const left = limits.settings.filter((form) => !names.includes(form.name) && !Object.hasOwn(unused, form.name));
  const add = choice([["", "Add a setting…"], ...left.map((form) => [form.name, form.name])], "", (name) => {
    const form = limits.settings.find((entry) => entry.name === name);
    change((content) => define((content.settings ??= {}), name, form.default));
  });
  add.dataset.key = "add-setting";
  add.setAttribute("aria-label", "Add a setting");
  panel("settings").replaceChildren(...rows, add);
}

function settingField(form, value) {
  const set = (to) => change((content) => define(content.settings, form.name, to));
  let input;
  if (form.words && !form.numeric) input = choice(form.words.map((word) => [word, word]), value, set);
  else if (form.kind === "switch") input = choice([["true", "true"], ["false", "false"]], String(value), (text) => set(text === "true"));
  else {
    input = element("input", { value: isRaw(value) ? value.rawJSON : typeof value === "string" ? value : JSON.stringify(value), spellcheck: false });
    input.addEventListener("change", () => set(readSetting(input.value)));
  }
  const made = field(form.name, input, `/settings/${form.name}`, `${form.text} ${form.bounds}.`);
  made.append(button("Remove", () => change((content) => delete content.settings[form.name]), { className: "link", "aria-label": `Remove ${form.name}` }));
  return made;
}

/// Reads what was typed for a setting: JSON, or else a word.
function readSetting(text) {
  try {
    return readJson(text);
  } catch {
    return text;
  }
}
