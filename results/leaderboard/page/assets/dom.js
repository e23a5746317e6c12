// The page's script. Its parts share one scope, see SCRIPT_FILES in write.py. Its data are the JSON in the element
// "data", which data.py builds. Values from records are not trusted: they enter the document as text (textContent)
// and attributes only, and nothing here builds markup from data.
const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId("data").textContent);
const boards = data.boards;
const boardByKey = new Map(boards.map((board, number) => [board.key, number]));
const sizeOf = (label) => (Object.hasOwn(data.sizes, label) ? data.sizes[label] : -1);

// Creates an element. Attributes: "class", "text" and "on" (listeners by event) are special, the rest are set as they
// are; null leaves an attribute out. Children are elements or text.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined) continue;
    if (name === "class") element.className = value;
    else if (name === "text") element.textContent = value;
    else if (name === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (name === "style") for (const [key, each] of Object.entries(value)) element.style.setProperty(key, each);
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}
const makeLink = (text, hash) => make("a", { href: hash, text });
const makeButton = (text, click, name = "plain") => make("button", { type: "button", class: name, text, on: { click } });

// Two decimals, rounded as Python does: a tie goes to the even digit. A double is a tie exactly if it is k / 8, k odd.
function formatFixed(value) {
  if (Math.abs((value * 8) % 2) !== 1) return value.toFixed(2);
  const below = Math.floor(value * 100);
  return ((below % 2 === 0 ? below : below + 1) / 100).toFixed(2);
}
const formatSigned = (value) => (value < 0 ? "" : "+") + formatFixed(value);
function formatQuantity(value) {
  for (const [size, unit] of [[1e9, " G"], [1e6, " M"], [1e3, " k"]]) {
    if (value >= size) return Number((value / size).toPrecision(3)) + unit;
  }
  return String(Number(value.toPrecision(3)));
}
const formatCost = (cost, value) => (cost === "latency" ? `${formatFixed(value)} ms` : formatQuantity(value));
const formatScore = (board, value) => `${formatFixed(value)} ${board.unit}`.trim();
// A published number has the digits that it was printed with, at least one of them after the decimal point.
const formatPublished = (value) => (Number.isInteger(value) ? value.toFixed(1) : String(value));
const formatCount = (number, word) => `${number.toLocaleString("en")} ${word}${number === 1 ? "" : "s"}`;
const formatSeconds = (value) => (value < 120 ? `${value} s` : value < 7200 ? `${(value / 60).toFixed(1)} min` : `${(value / 3600).toFixed(1)} h`);
const shorten = (text, most) => (text.length <= most ? text : `${text.slice(0, most - 1)}…`);

// ---- what is said when something is pointed at or focused ----
const tip = byId("tip");
let tipAnchor = null;
function showTip(anchor, lines) {
  hideTip();
  tip.replaceChildren(...lines.filter(Boolean).map((line) => make("p", { text: line })));
  tip.hidden = false;
  const box = anchor.getBoundingClientRect(), own = tip.getBoundingClientRect();
  const left = Math.min(Math.max(8, box.left + box.width / 2 - own.width / 2), innerWidth - own.width - 8);
  tip.style.left = `${Math.max(4, left)}px`;
  tip.style.top = `${box.bottom + own.height + 10 > innerHeight ? Math.max(4, box.top - own.height - 8) : box.bottom + 8}px`;
  tipAnchor = anchor;
  anchor.setAttribute("aria-describedby", "tip");
}
function hideTip() {
  if (tipAnchor) tipAnchor.removeAttribute("aria-describedby");
  tipAnchor = null;
  tip.hidden = true;
}
// Returns the lines about a row on a board.
function describeRow(board, row) {
  const lines = [`${row.label}: ${formatScore(board, row.score)}`, board.title];
  if (row.interval) lines.push(`${board.metric} ${formatFixed(row.interval[0])} to ${formatFixed(row.interval[1])} (${data.words[row.covers]})`);
  if (row.one_seed) lines.push("One seed: no claim about other training runs.");
  else if (row.rank) {
    const tied = (row.tied || []).map((number) => board.rows[number].label);
    lines.push(`Rank ${row.rank} of ${board.rows.length}${tied.length ? `, tied with ${shorten(tied.join(", "), 160)}` : ""}`);
  }
  if (row.range) lines.push(`${row.seeds} seeds, ${formatFixed(row.range[0])} to ${formatFixed(row.range[1])}`);
  if (row.published) lines.push(describePublished(row));
  if (row.note) lines.push(shorten(row.note, 300));
  return lines;
}
function describePublished(row) {
  const { value, difference, within, citation, schedule } = row.published;
  return `Published: ${formatPublished(value)} (${citation}; ${schedule}). Ours is ${formatSigned(difference)}, ${within ? "within" : "outside"} its tolerance.`;
}
function tipLines(element) {
  if (element.dataset.tip) return [element.dataset.tip];
  if (element.classList.contains("value")) {
    const board = boards[element.dataset.board];
    return describeRow(board, board.rows[element.dataset.row]);
  }
  return element.tipLines || null;
}
const tipTarget = (node) => (node instanceof Element ? node.closest("[data-tip], .value, .has-tip") : null);
for (const [start, end] of [["mouseover", "mouseout"], ["focusin", "focusout"]]) {
  document.addEventListener(start, (event) => {
    const found = tipTarget(event.target), lines = found && tipLines(found);
    if (lines) showTip(found, lines);
  });
  document.addEventListener(end, hideTip);
}
document.addEventListener("scroll", hideTip, { capture: true, passive: true });
