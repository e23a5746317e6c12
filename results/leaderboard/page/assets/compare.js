// ---- two backbones beside each other ----
// The numbers of a pair as Python computed them, turned round if the rows are asked for in the other order.
function findPair(board, one, other) {
  const pair = (board.pairs || []).find(([a, b]) => (a === one && b === other) || (a === other && b === one));
  if (!pair) return null;
  const [first, , difference, low, high, p, test, covers, better, worse, items, itemValue] = pair, turned = first !== one;
  return { difference: turned ? -difference : difference, low: turned ? -high : low, high: turned ? -low : high, p, items, itemValue,
    test: data.pair_words[test], covers: data.pair_words[covers], better: turned ? worse : better, worse: turned ? better : worse };
}
const quoteWord = (word) => (/^[\w./@:+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);
function compareCommand(board, first, second) {
  const folders = data.runs_option.length === 1 && data.runs_option[0] === "runs" ? "" : ` --runs ${data.runs_option.map(quoteWord).join(" ")}`;
  return `bench compare ${first.argument} ${second.argument} --task ${quoteWord(board.task)}${folders}`;
}
function makeCommand(text) {
  const button = makeButton("Copy", () => navigator.clipboard?.writeText(text).then(() => { button.textContent = "Copied"; }, () => selectText(code)));
  const code = make("code", { text });
  return make("div", { class: "command" }, code, button);
}
function selectText(element) { // where a page may not write to the clipboard
  getSelection().selectAllChildren(element);
}
function drawDifference(pair, unit) {
  const reach = Math.max(Math.abs(pair.low), Math.abs(pair.high), 1e-9) * 1.15, width = Math.min(640, innerWidth - 30);
  const view = { width, height: 92, left: 16, right: width - 16, top: 20, bottom: 50 };
  const x = { title: `difference in ${unit === "%" ? "percentage points" : unit || "the metric"}`, ticks: linearTicks(-reach, reach, width < 500 ? 5 : 8), format: formatTick, scale: makeScale(-reach, reach, view.left, view.right, false) };
  return draw("svg", { viewBox: `0 0 ${view.width} ${view.height}`, width: view.width, role: "img", "aria-label": `difference ${formatSigned(pair.difference)}, interval ${formatSigned(pair.low)} to ${formatSigned(pair.high)}` },
    drawAxes(view, x, { title: "", ticks: [], scale: () => 0, format: String }),
    draw("line", { class: "zero", x1: x.scale(0), x2: x.scale(0), y1: view.top - 6, y2: view.bottom }),
    draw("rect", { class: "band", x: round(x.scale(pair.low)), width: round(Math.max(1, x.scale(pair.high) - x.scale(pair.low))), y: 26, height: 16 }),
    draw("line", { class: "here", x1: round(x.scale(pair.difference)), x2: round(x.scale(pair.difference)), y1: 22, y2: 46 }));
}
const formatP = (p) => (p < 1e-4 ? p.toExponential(1) : String(Number(p.toPrecision(2))));
function itemParts(board, first, second, pair) {
  if (pair.itemValue === 0) return [make("p", { class: "quiet", text: `${board.metric} is computed from all ${pair.items.toLocaleString("en")} items together, so single items have no value.` })];
  const equal = pair.items - pair.better - pair.worse;
  const parts = [make("p", { text: `Of ${formatCount(pair.items, "item")}, ${pair.better.toLocaleString("en")} are better with ${first.label}, ${pair.worse.toLocaleString("en")} with ${second.label}, ${equal.toLocaleString("en")} are equal.` })];
  if (pair.itemValue === 2) parts.push(make("p", { class: "quiet", text: "The numbers of items are pseudo-values: their contributions to a score over all items." }));
  const changed = changedItems(board, first, second);
  if (!changed) return [...parts, make("p", { class: "quiet", text: "The outcomes of single items are not in this page; this command lists them:" }), makeCommand(`${compareCommand(board, first, second)} --all`)];
  const owners = new Map([first, second].flatMap((row) => row.runs.map((index) => [data.runs[index], row.label])));
  return [...parts, make("div", { class: "columns halves" }, ...[["better", first], ["worse", second]].map(([kind, row]) => make("div", {}, make("h4", { text: `Better with ${row.label} (${pair[kind]})` }), listItems(changed[kind], pair[kind], owners, itemFormat(first.outcomes, second.outcomes, board.unit)))))];
}
const MAX_LISTED = 60;
// How the two values of an item are written: nothing if "right and wrong" is all there is to say.
function itemFormat(one, other, unit) {
  if (one.seeds === 1 && other.seeds === 1) return () => "";
  if (one.seeds && one.seeds === other.seeds) return (item) => ` (right in ${Math.round((item.first * one.seeds) / 100)} and ${Math.round((item.second * one.seeds) / 100)} of ${one.seeds} seeds)`;
  const format = (value) => String(Number(value.toPrecision(4)));
  return (item) => ` (${format(item.first)} and ${format(item.second)}${unit && ` ${unit}`})`;
}
// "total" may be larger than the list: values that agree to four digits are not told apart here.
function listItems(items, total, owners, format) {
  if (!total) return make("p", { class: "quiet", text: "no item" });
  const entries = items.slice(0, MAX_LISTED).map((item) => ({ ...item, text: item.name + format(item), tile: findTile([...owners.keys()], item.name) }));
  // a small picture is the item itself, a large one what one of the two made of it
  for (const { tile } of entries) if (tile && tile.place < 0) tile.source = `; picture of ${owners.get(tile.run)}, seed ${tile.run.seed}`;
  const pictured = entries.filter((entry) => entry.tile), plain = entries.filter((entry) => !entry.tile);
  const more = total - entries.length;
  return make("div", {}, pictured.length ? make("div", { class: "tiles" }, ...pictured.map((entry) => makeTile(entry.tile, entry.text + (entry.tile.source ?? "")))) : null,
    plain.length ? make("p", { text: plain.map((entry) => entry.text).join("; ") }) : null, more > 0 ? make("p", { class: "quiet", text: `and ${more.toLocaleString("en")} more` }) : null);
}
function comparisonPart(board, first, second) {
  const pair = findPair(board, board.rows.indexOf(first), board.rows.indexOf(second));
  const head = [["first", first], ["second", second]].map(([name, row]) => make("div", {}, make("dt", { text: `${name}: ${row.label}` }), make("dd", {}, formatScore(board, row.score), make("small", { text: `${formatCount(row.seeds, "seed")}${row.interval ? `, ${formatFixed(row.interval[0])} to ${formatFixed(row.interval[1])}` : ""}` }))));
  if (!pair) {
    const why = board.pairs ? "The two rows cannot be paired on this page: their items differ or cannot be read." : `This page compares pairs on boards with up to ${data.max_compared_rows} rows, while it has room; the difference, its interval and p-value come from this command:`;
    return [make("dl", { class: "facts" }, ...head), make("p", { class: "quiet", text: why }), makeCommand(compareCommand(board, first, second))];
  }
  const winner = (pair.difference > 0) === board.higher ? first : second;
  const verdict = pair.p <= 0.05 ? (pair.covers === "items only" ? `The runs differ at 5 %: that of ${winner.label} is better.` : `Resolved at 5 %: ${winner.label} is better.`) : "Not resolved: a tie on the measured items and seeds.";
  const caution = pair.covers === "items only" ? " At least one of the two has a single seed, so this says nothing about other training runs." : "";
  const numbers = [["difference, first minus second", `${formatSigned(pair.difference)} ${board.unit === "%" ? "points" : board.unit}`, `95 % interval ${formatSigned(pair.low)} to ${formatSigned(pair.high)}, ${pair.covers}`], ["p", formatP(pair.p), `${pair.test}; for this pair alone`]];
  return [make("dl", { class: "facts" }, ...head, ...numbers.map(([name, value, small]) => make("div", {}, make("dt", { text: name }), make("dd", {}, value, make("small", { text: small }))))),
    make("p", {}, make("b", { text: verdict }), caution), drawDifference(pair, board.unit), make("h3", { text: "Items that changed" }), ...itemParts(board, first, second, pair),
    make("h3", { text: "The same in a terminal" }), makeCommand(compareCommand(board, first, second))];
}
function showComparison([one, other]) {
  const place = byId("detail"), rows = findRows(one);
  const shared = rows.map(([board, row]) => [board, row, board.rows.find((each) => each.label === other && each !== row)]).filter(([, , second]) => second);
  const title = make("h2", { tabindex: -1, text: `${one} and ${other ?? "?"}` });
  if (!shared.length) {
    const missing = [one, other].find((label) => !findRows(label ?? "").length);
    place.replaceChildren(homeLink(), title, make("p", { text: missing ? `No row is called ${missing}. The page may have been made from other runs.` : "The two have no board in common, so they cannot be compared." }));
    return;
  }
  const own = shared.filter(([board]) => board.tier === state.tier), preferred = own.length ? own : shared; // the tier that was looked at
  const chosen = shared.find(([board]) => board.key === state.board) || preferred.find(([board]) => board.pairs) || preferred[0];
  const select = make("select", { id: "compare-board" });
  fillOptions(select, shared.map(([board]) => [board.key, board.title]), chosen[0].key);
  select.addEventListener("input", () => changeState({ board: select.value }));
  place.replaceChildren(homeLink(), title,
    make("div", { class: "tools" }, make("label", {}, "Board ", select), makeButton("Swap", () => changeState({ compare: [other, one] })),
      makeLink(`page of ${shorten(one, 40)}`, hashWith({ backbone: one, compare: [] })), makeLink(`page of ${shorten(other, 40)}`, hashWith({ backbone: other, compare: [] }))),
    ...comparisonPart(...chosen));
}
