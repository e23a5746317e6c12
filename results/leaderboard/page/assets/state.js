// ---- the state of the page, which stands in the address ----
// Lists are joined by commas; each part is encoded, so that a name may hold any character.
const narrow = matchMedia("(max-width: 40rem)");
const tiers = [...document.querySelectorAll("input[name=tier]")].map((input) => input.value);
const WORDS = ["tier", "q", "task", "size", "front", "board", "cost", "backbone"]; // single values
const SWITCHES = ["only", "unpublished", "ungrouped"]; // off unless named
const LISTS = ["sel", "sort", "compare"];

function parseState(hash) {
  const state = { tier: tiers[0] || "", q: "", task: "", size: "", front: "", board: "", cost: "", backbone: "" };
  for (const name of SWITCHES) state[name] = false;
  for (const name of LISTS) state[name] = [];
  state.hide = null; // null: the columns that the width of the window suggests
  for (const part of hash.replace(/^#/, "").split("&")) {
    const at = part.indexOf("="), name = part.slice(0, at), text = part.slice(at + 1);
    if (at < 0) continue;
    try {
      if (WORDS.includes(name)) state[name] = decodeURIComponent(text);
      else if (SWITCHES.includes(name)) state[name] = text === "1";
      else if (LISTS.includes(name) || name === "hide") state[name] = text.split(",").filter(Boolean).map(decodeURIComponent);
    } catch { /* a broken percent code: the part is left out */ }
  }
  if (!tiers.includes(state.tier)) state.tier = tiers[0] || "";
  // what this page does not offer would hide every row: a link may come from a page of other runs
  for (const name of ["task", "size", "front"]) {
    if (![...byId(name).options].some((option) => option.value === state[name])) state[name] = "";
  }
  state.sel = state.sel.filter((label) => Object.hasOwn(data.sizes, label));
  return state;
}
function formatState(state) {
  const parts = [], encode = encodeURIComponent;
  for (const name of WORDS) if (state[name] && !(name === "tier" && state.tier === tiers[0])) parts.push(`${name}=${encode(state[name])}`);
  for (const name of LISTS) if (state[name].length) parts.push(`${name}=${state[name].map(encode).join(",")}`);
  for (const name of SWITCHES) if (state[name]) parts.push(`${name}=1`);
  if (state.hide !== null) parts.push(`hide=${state.hide.map(encode).join(",")}`);
  return `#${parts.join("&")}`;
}
let state = parseState(location.hash);
let renderPage = () => {}; // main.js sets it

// Changes the state. A new entry in the history, so that the back button undoes it; typing replaces the entry.
function changeState(changes, replace = false) {
  const next = { ...state, ...changes }, hash = formatState(next);
  if (hash === formatState(state)) return;
  history[replace ? "replaceState" : "pushState"](null, "", hash);
  state = next;
  renderPage();
}
const hashWith = (changes) => formatState({ ...state, ...changes });
function readAddress() {
  // a link to a place on the page, such as "Skip to the table", is no state
  if (location.hash && !location.hash.includes("=")) return;
  state = parseState(location.hash);
  renderPage();
}
addEventListener("popstate", readAddress);
addEventListener("hashchange", readAddress);

// ---- which rows the filters leave ----
const onFront = (board, number, cost) => board.fronts.some((front) => front.cost === cost && front.rows.includes(number));
const boardMatches = (board) => board.tier === state.tier && (!state.task || board.task === state.task);
function labelMatches(label) {
  return label.toLowerCase().includes(state.q.trim().toLowerCase()) &&
    (state.size === "" || sizeOf(label) === Number(state.size)) &&
    (!state.only || state.sel.length === 0 || state.sel.includes(label));
}
const rowMatches = (board, number) =>
  boardMatches(board) && labelMatches(board.rows[number].label) && (!state.front || onFront(board, number, state.front));
