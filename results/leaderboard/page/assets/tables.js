// ---- sorting ----
// The server writes the sort value of every cell into data-sort; it is empty if the cell has no value.
function compareValues(a, b) { // as numbers if both are numbers, else as text in which "b10" comes after "b9"
  const x = Number(a), y = Number(b);
  return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, "en", { numeric: true }) : x - y;
}
const initialRows = new Map(); // the rows of each table body in the order in which the server wrote them
function rowsOf(body) {
  if (!initialRows.has(body)) initialRows.set(body, [...body.rows].filter((row) => !row.classList.contains("group")));
  return initialRows.get(body);
}
const columnOf = (button) => button.dataset.column ?? [...button.closest("tr").children].indexOf(button.closest("th"));
// An entry of the state is "table~column~direction"; the id of a table may hold any character.
function parseSort(entry) {
  const parts = entry.split("~"), direction = parts.pop(), column = parts.pop();
  return [parts.join("~"), column, direction === "descending" ? direction : "ascending"];
}
// Brings a table into the order that the state names, or into its first order.
function orderTable(table) {
  const [, column, direction] = state.sort.map(parseSort).find(([id]) => id === table.id) || [];
  const wanted = column === undefined ? "" : `${column} ${direction}`;
  const merged = table.classList.contains("ungrouped");
  if ((table.dataset.order || "") === `${wanted} ${merged}`) return;
  table.dataset.order = `${wanted} ${merged}`;
  for (const button of table.querySelectorAll("thead .sort")) {
    const sorted = column !== undefined && String(columnOf(button)) === column;
    button.closest("th").setAttribute("aria-sort", sorted ? direction : "none");
  }
  const bodies = [...table.tBodies], groups = bodies.map(rowsOf);
  for (const [i, rows] of (merged ? [groups.flat()] : groups).entries()) {
    const keyed = rows.map((row) => [column === undefined ? "" : row.children[column]?.dataset.sort ?? "", row]);
    if (column !== undefined) {
      keyed.sort(([a], [b]) => {
        if (a === "" || b === "") return (a === "") - (b === ""); // rows without a value come last in both directions
        return direction === "ascending" ? compareValues(a, b) : compareValues(b, a);
      });
    }
    // appending a row that is already in the table moves it; sort() is stable, so equal rows keep their order
    bodies[i].append(...keyed.map(([, row]) => row));
  }
}
function sortBy(button) {
  const table = button.closest("table"), column = String(columnOf(button)), first = button.dataset.first || "ascending";
  const before = button.closest("th").getAttribute("aria-sort");
  const direction = before === "none" ? first : before === "ascending" ? "descending" : "ascending";
  const others = state.sort.filter((each) => parseSort(each)[0] !== table.id);
  changeState({ sort: [...others, `${table.id}~${column}~${direction}`] });
}

// ---- the table backbones x tasks ----
const overviews = [...document.querySelectorAll(".overview")];
const hiddenColumns = () => state.hide ?? (narrow.matches ? ["parameters", "macs", "latency", "throughput"] : []);
function showOverview() {
  const hidden = new Set(hiddenColumns());
  for (const table of overviews) {
    table.parentElement.hidden = table.dataset.tier !== state.tier;
    if (table.parentElement.hidden) continue;
    table.classList.toggle("no-published", state.unpublished);
    table.classList.toggle("ungrouped", state.ungrouped);
    for (const cell of table.querySelectorAll("[data-col]")) {
      cell.hidden = hidden.has(cell.dataset.col) || Boolean(state.task && cell.dataset.task && cell.dataset.task !== state.task);
    }
    const shown = [...table.tHead.rows[1].cells].filter((cell) => !cell.hidden);
    for (const head of table.tHead.rows[0].querySelectorAll(".task")) {
      const span = shown.filter((cell) => ("costs" in head.dataset ? !cell.dataset.task : cell.dataset.task === head.dataset.task)).length;
      head.hidden = span === 0;
      head.colSpan = Math.max(1, span);
    }
    const labels = new Set();
    for (const board of boards) board.rows.forEach((row, number) => { if (rowMatches(board, number)) labels.add(row.label); });
    for (const row of table.querySelectorAll("tbody tr[data-label]")) row.hidden = !labels.has(row.dataset.label);
    for (const body of table.tBodies) {
      const group = body.querySelector(".group");
      group.hidden = ![...body.rows].some((row) => row !== group && !row.hidden);
      group.firstElementChild.colSpan = 1 + shown.length;
    }
    orderTable(table);
    setFocusable(table);
  }
}
// One cell of the table is a stop of the tab key; the arrow keys move from cell to cell.
function setFocusable(table) {
  const cells = [...table.querySelectorAll(".value")];
  if (!cells.some((cell) => cell.tabIndex === 0 && cell.offsetParent)) {
    for (const cell of cells) cell.tabIndex = -1;
    const first = cells.find((cell) => cell.offsetParent);
    if (first) first.tabIndex = 0;
  }
}
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
function moveFocus(event) {
  const step = STEPS[event.key], from = event.target;
  if (!step || !from.classList.contains("value")) return;
  const table = from.closest("table"), cell = from.closest("td");
  const rows = [...table.querySelectorAll("tbody tr[data-label]")].filter((row) => !row.hidden);
  let y = rows.indexOf(cell.parentElement), x = cell.cellIndex, found = null;
  do {
    x += step[0];
    y += step[1];
    const next = rows[y]?.cells[x];
    if (!next) break;
    found = next.hidden ? null : next.querySelector(".value");
  } while (!found);
  event.preventDefault();
  if (!found) return;
  for (const each of table.querySelectorAll(".value[tabindex='0']")) each.tabIndex = -1;
  found.tabIndex = 0;
  found.focus();
}
function fillColumnList() {
  const hidden = new Set(hiddenColumns()), list = byId("column-list");
  const table = overviews.find((each) => each.dataset.tier === state.tier);
  if (!table) return;
  list.replaceChildren(...[...table.tHead.rows[1].cells].map((cell) => {
    const board = boards[boardByKey.get(cell.dataset.col)];
    const box = make("input", { type: "checkbox", on: { change: (event) => {
      const now = new Set(hiddenColumns());
      if (event.target.checked) now.delete(cell.dataset.col); else now.add(cell.dataset.col);
      changeState({ hide: [...now] });
    } } });
    box.checked = !hidden.has(cell.dataset.col);
    return make("label", {}, box, board ? board.title : cell.querySelector(".sort").textContent);
  }));
}

// ---- boards and the tables below them ----
function showBoards() {
  let shownBoards = 0, shownRows = 0;
  for (const article of document.querySelectorAll(".board")) {
    const board = boards[article.dataset.board];
    let visible = 0;
    for (const row of article.querySelectorAll("tbody tr")) {
      row.hidden = !rowMatches(board, Number(row.dataset.row));
      visible += !row.hidden;
    }
    article.hidden = visible === 0;
    shownBoards += visible > 0;
    shownRows += visible;
    if (!article.hidden) orderTable(article.querySelector("table"));
  }
  for (const part of document.querySelectorAll(".summary")) {
    part.hidden = part.dataset.tier !== state.tier;
    for (const row of part.querySelectorAll("tbody tr")) row.hidden = !labelMatches(row.dataset.label);
    orderTable(part.querySelector("table"));
  }
  if (byId("summary")) byId("summary").hidden = ![...document.querySelectorAll(".summary")].some((part) => !part.hidden);
  const word = state.q.trim().toLowerCase();
  for (const row of document.querySelectorAll("#unmatched tbody tr")) {
    row.hidden = Boolean(state.task && row.dataset.task !== state.task) || !row.dataset.label.toLowerCase().includes(word);
  }
  if (byId("table-unmatched")) orderTable(byId("table-unmatched"));
  byId("count").textContent = `${formatCount(shownRows, "row")} on ${formatCount(shownBoards, "board")}`;
}

// ---- selection ----
function showSelection() {
  const chosen = new Set(state.sel);
  for (const box of document.querySelectorAll(".pick")) {
    box.checked = chosen.has(box.dataset.label);
    box.closest("tr").classList.toggle("selected", box.checked);
  }
  const bar = byId("selection");
  bar.hidden = state.sel.length === 0 || Boolean(state.backbone) || state.compare.length > 0;
  if (bar.hidden) return;
  const compare = makeButton("Compare", () => changeState({ compare: state.sel.slice(0, 2), backbone: "" }), "primary");
  compare.disabled = state.sel.length !== 2;
  const only = make("label", { class: "switch" }, make("input", { type: "checkbox", on: { change: (event) => changeState({ only: event.target.checked }) } }), "show only these");
  only.firstElementChild.checked = state.only;
  const names = state.sel.length <= 2 ? state.sel.map((label) => shorten(label, 40)).join(" and ") : `${state.sel.length} backbones`;
  bar.replaceChildren(make("b", { text: names }),
    state.sel.length === 2 ? compare : make("span", { class: "quiet", text: state.sel.length < 2 ? "tick one more to compare" : "tick two to compare" }),
    only, makeButton("Clear", () => changeState({ sel: [], only: false })));
}
function pick(box) {
  const label = box.dataset.label, others = state.sel.filter((each) => each !== label);
  changeState({ sel: box.checked ? [...others, label] : others });
}
