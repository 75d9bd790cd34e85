// Elements of the page, built from text that is never markup.

/// Creates an element with properties, attributes and children. Strings become text nodes.
function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key in made && !["list", "form"].includes(key)) made[key] = value;
    else if (value !== undefined && value !== null) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/// Returns a text as nodes: what stands between backticks becomes code.
function coded(text) {
  const parts = text.split("`");
  // A backtick without a second one stays.
  if (parts.length % 2 === 0) parts.push(`${parts.splice(-2, 1)[0]}\`${parts.pop()}`);
  return parts.map((part, index) => (index % 2 ? element("code", {}, part) : part)).filter((part) => part !== "");
}

let fieldCount = 0;

/// Returns a labelled field; faults at `pointer` are shown below it.
function field(label, input, pointer, note) {
  input.id ||= `field-${++fieldCount}`;
  if (pointer) input.dataset.pointer = pointer;
  return element("div", { className: "field" }, element("label", { htmlFor: input.id }, label), input, note ? element("small", {}, ...coded(note)) : null);
}

/// Returns a field of several numbers in one line, such as a point or the edges of a rectangle.
function numbersField(label, names, values, pointer, set) {
  let present = values;
  const inputs = values.map((value, index) => {
    const input = element("input", { type: "number", step: "any", value: String(value), "aria-label": `${label}: ${names[index]}` });
    input.dataset.pointer = `${pointer}/${index}`;
    input.dataset.shown = input.value;
    input.addEventListener("change", () => {
      const number = input.valueAsNumber;
      if (!Number.isFinite(number)) return refresh();
      present = present.map((old, other) => (other === index ? number : old));
      change(() => set(present));
    });
    return element("span", { className: "number" }, element("span", { "aria-hidden": "true" }, names[index]), input);
  });
  const group = element("div", { className: "numbers", role: "group", "aria-label": label }, ...inputs);
  group.dataset.pointer = pointer;
  return element("div", { className: "field" }, element("span", { className: "label" }, label), group);
}

/// Returns a select with options [value, text].
function choice(options, value, set) {
  const select = element("select", { onchange: () => set(select.value) }, ...options.map(([key, text]) => element("option", { value: key }, text)));
  select.value = value;
  return select;
}

const button = (text, act, properties = {}) => element("button", { type: "button", onclick: act, ...properties }, text);
