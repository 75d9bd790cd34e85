// What leaves the page: the findings, the saved drag file and the command.

const findings = { faults: [], warnings: [], timer: 0 };

/// Checks the file soon; now and then while it is being changed.
function checkSoon() {
  findings.timer ||= setTimeout(checkNow, 150);
}

function checkNow() {
  clearTimeout(findings.timer);
  findings.timer = 0;
  Object.assign(findings, check(file.content));
  findings.faults.unshift(...start.faults.filter((fault) => isUnchanged(fault)));
  showFindings();
  showHint();
  showCommand();
}

/// Returns whether a mask that could not be read still stands in the file.
function isUnchanged({ pointer, mask }) {
  const shape = pointer === "/editable/mask" ? file.content.editable : regions()[Number(pointer.split("/")[2])]?.region;
  return isObject(shape) && shape.mask === mask;
}

/// Returns whether no region moves, so that an edit would change nothing.
function movesNothing() {
  const { faults, warnings } = findings;
  return faults.length === 0 && warnings.filter(({ kind }) => kind === "region.no_motion").length === regions().length;
}

/// Returns the state of the file, for its colour, and what is said about it.
function verdict() {
  const { faults, warnings } = findings;
  if (regions().length === 0) return ["empty", ""];
  if (faults.length) return ["fault", `${faults.length} ${faults.length === 1 ? "fault" : "faults"} to mend`];
  if (movesNothing()) return ["warning", "Nothing moves yet"];
  return warnings.length ? ["warning", "Valid, with warnings"] : ["valid", "Valid"];
}

/// Shows the findings in the list, at their fields and at their regions.
function showFindings() {
  const { faults, warnings } = findings;
  const hasRegions = regions().length > 0;
  const shown = hasRegions ? faults : [];
  const item = (entry, className) => {
    const index = Number(/^\/regions\/(\d+)/.exec(entry.pointer)?.[1] ?? NaN);
    const name = Number.isInteger(index) ? `${regionName(index)}: ` : "";
    const open = button("", () => showPlace(entry.pointer), { className });
    open.append(element("strong", {}, name), ...coded(entry.message), entry.hint ? element("small", {}, ...coded(entry.hint)) : "");
    return element("li", {}, open);
  };
  panel("findings").replaceChildren(...shown.map((entry) => item(entry, "fault")), ...(hasRegions && !movesNothing() ? warnings : []).map((entry) => item(entry, "warning")));
  const [state, text] = verdict();
  panel("state").textContent = text;
  panel("state").dataset.state = state;
  const { method } = file.content;
  const isOther = hasRegions && method !== undefined && method !== limits.method;
  panel("other-rules").replaceChildren(...(isOther ? coded(`\`dragnext validate\` also checks the rules of \`${method}\`.`) : []));
  panel("other-rules").hidden = !isOther;
  document.querySelectorAll("aside [data-pointer]").forEach((each) => {
    const fault = shown.find(({ pointer }) => pointer === each.dataset.pointer || pointer.startsWith(each.dataset.pointer + "/") && each.matches(".numbers"));
    each.toggleAttribute("data-fault", Boolean(fault));
    if (each.matches("input, select, textarea")) each.setAttribute("aria-invalid", String(Boolean(fault)));
  });
  document.querySelectorAll("#regions [data-region]").forEach((row) => {
    const place = `/regions/${row.dataset.region}`;
    row.toggleAttribute("data-fault", shown.some(({ pointer }) => pointer === place || pointer.startsWith(place + "/")));
  });
}

/// Selects the region of a finding, and focuses its field.
function showPlace(pointer) {
  const index = /^\/regions\/(\d+)/.exec(pointer)?.[1];
  if (index !== undefined) select(Number(index));
  const fields = [...document.querySelectorAll("aside [data-pointer]")];
  const found = fields.find((each) => each.dataset.pointer === pointer) ?? fields.find((each) => each.dataset.pointer.startsWith(pointer));
  const input = found?.matches("input, select, textarea, p") ? found : found?.querySelector("input, select, textarea");
  input?.focus();
  input?.scrollIntoView({ block: "nearest" });
}

/// Saves the drag file through the browser's downloads.
async function save() {
  // A value that is still being typed counts.
  if (document.activeElement?.matches("input, textarea")) document.activeElement.blur();
  if (regions().length === 0) return say("Nothing is saved: a drag file needs a region. Draw one around what should move.");
  let text;
  try {
    text = await fileText();
  } catch (error) {
    return say(error.message);
  }
  const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  const name = saves.next();
  const link = element("a", { href: url, download: name });
  link.click();
  saves.add();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
  checkNow();
  const faults = findings.faults.length;
  if (faults) return say(`Saved ${name} with ${faults} ${faults === 1 ? "fault" : "faults"}.`);
  if (movesNothing()) return say(`Saved ${name}, in which nothing moves yet.`);
  return say(`Saved ${name}. Run the command below in the folder where your browser put it, or put the path before the name.`);
}

/// Returns a text as one word of a shell's command line.
function shellWord(text) {
  return /^[\p{L}\p{N}/._\-+:@%,=]+$/u.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/// Returns the command that edits the picture with the drag file as it is shown: the one that was saved last, or that will be.
function command() {
  const name = saves.present();
  // A name that begins with a dash would be taken for a flag.
  const drag = name.startsWith("-") ? `./${name}` : name;
  const model = panel("model").value.trim();
  // A second file has a result of its own, beside the first one's.
  const number = /-(\d{1,6})(?:\.[^.]*)?$/.exec(name)?.[1];
  const result = name !== start.first && number ? start.result.replace(/(?=\.edited\.png$)/, `-${number}`) : null;
  return `${start.command} --drag ${shellWord(drag)}${model ? ` --model ${shellWord(model)}` : ""}${result ? ` -o ${shellWord(result)}` : ""}`;
}

function showCommand() {
  panel("command").textContent = command();
  panel("to-do").textContent = saves.isCurrent() ? "Saved as" : "Save";
  panel("save-name").textContent = saves.present();
  panel("save").title = `Save ${saves.next()} (Ctrl+S)`;
}

async function copyCommand() {
  try {
    await navigator.clipboard.writeText(command());
    say("Copied.");
  } catch {
    // Without the permission, the command is selected for the keyboard's copy.
    getSelection().selectAllChildren(panel("command"));
    say("Press Ctrl+C to copy.");
  }
}

let sayTimer = 0;

/// Shows a message for a while, also to screen readers.
function say(text) {
  panel("message").textContent = text;
  panel("message").hidden = false;
  clearTimeout(sayTimer);
  sayTimer = setTimeout(() => (panel("message").hidden = true), 6000);
}

/// Says what can be done next.
function showHint() {
  const region = selectedRegion();
  const texts = {
    rect: "Drag across the picture to draw a rectangle. Shift makes a square.",
    ellipse: "Drag across the picture to draw an ellipse. Shift makes a circle.",
    polygon: "Click corner by corner; click the first one again, or press Enter, to close it.",
    lasso: "Draw around all of what should move.",
    brush: region ? `Painting adds to ${regionName(file.selected)}. N starts another region. [ and ] change the brush.` : "Paint over what should move. [ and ] change the brush.",
    eraser: "Erase from the selected region. [ and ] change the eraser.",
    point: "Press where the point is, and drag to where it should go.",
    pan: "Drag to move the view. Scroll to zoom.",
    adjust: region ? "Drag corners to change the shape, or its inside to move all of it, as arrow keys do." : "Select a region to change its shape.",
    drag: dragHint(region),
  };
  const text = drawing.goal === "editable" && drawing.tool in { rect: 1, ellipse: 1, lasso: 1, polygon: 1, brush: 1 } ? "Draw the area that may change." : texts[drawing.tool];
  panel("hint").textContent = text;
}

/// What to do with a region of each type: before it moves, and afterwards.
const DRAG_HINTS = {
  rotation: ["Now drag the object around its centre to turn it.", "Drag the object around its centre, or the centre itself. Arrow keys turn it by a degree."],
  scale: ["Now drag the object away from its centre to enlarge it, or towards it to shrink it.", "Drag away from the centre or towards it. Arrow keys change the factor by 0.01."],
  affine: ["Now drag the object, or one of its three targets.", "Drag the object or its three targets. Arrow keys move it by a pixel."],
  deformation: ["Now drag the part to where it should go; the rest of the object follows.", "Drag the part or its marks. Arrow keys move it by a pixel."],
  point: ["Now drag the point to where it should go.", "Drag the point or its target. Arrow keys move the target by a pixel."],
};

function dragHint(region) {
  if (regions().length === 0) return "Choose a shape on the left and draw it around what should move.";
  if (!region) return "Select a region, or draw another one.";
  const [before, after] = DRAG_HINTS[region.type] ?? ["Now drag the object to where it should go.", "Drag the object or its marks. Arrow keys move it by a pixel."];
  return isMoving(region) ? after : before;
}
