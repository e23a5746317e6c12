// ---- the page of a backbone ----
const MAX_OPEN_BOARDS = 4;
function findRows(label) { // [board, row] of each board that has the backbone
  return boards.flatMap((board) => board.rows.filter((row) => row.label === label).map((row) => [board, row]));
}
const allLabels = () => Object.keys(data.sizes);
const homeLink = () => makeLink("← all backbones", hashWith({ backbone: "", compare: [] }));
function scoreTable(found) {
  return make("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": "Scores over tasks" }, make("table", {},
    make("thead", {}, make("tr", {}, ...["board", "score", "interval", "among the rows of its board", "rank", "published"].map((name, i) => make("th", { scope: "col", class: i === 1 ? "number" : null, text: name })))),
    make("tbody", {}, ...found.map(([board, row]) => make("tr", {}, make("th", { scope: "row", text: board.title }),
      make("td", { class: "number", text: formatScore(board, row.score) }),
      make("td", {}, row.interval ? `${formatFixed(row.interval[0])} to ${formatFixed(row.interval[1])}` : "none", make("small", { text: row.interval ? data.words[row.covers] : "" })),
      make("td", {}, board.rows.length > 1 ? drawStrip(board, row) : make("span", { class: "quiet", text: "the only row" })),
      make("td", {}, row.one_seed ? make("span", { class: "chip", text: "1 seed" }) : row.rank ? `${row.rank}${row.tied ? "=" : ""} of ${board.rows.length}` : "not ranked"),
      make("td", {}, row.published ? make("span", { class: "published", text: formatPublished(row.published.value), "data-tip": describePublished(row) }) : make("span", { class: "quiet", text: "none" })))))));
}
function costFacts(found) {
  const facts = [];
  for (const cost of Object.keys(data.costs)) {
    const values = found.map(([, row]) => row).filter((row) => row[cost] !== undefined && !(cost === "latency" && row.busy)).map((row) => row[cost]);
    if (!values.length) continue;
    const low = formatCost(cost, Math.min(...values)), high = formatCost(cost, Math.max(...values));
    const where = cost === "latency" ? [...new Set(found.map(([, row]) => row.setup).filter((each) => each !== undefined))].map((each) => data.words[each]).join("; ") : "";
    facts.push(make("div", {}, make("dt", { text: data.costs[cost] }), make("dd", {}, low === high ? low : `${low} – ${high}`, where ? make("small", { text: where }) : null)));
  }
  return make("dl", { class: "facts" }, ...facts);
}
function boardPart([board, row], open) {
  const runs = row.runs.map((index) => data.runs[index]), parts = [];
  const pictured = runs.filter(hasPictures);
  if (pictured.length) parts.push(make("h4", { text: pictured.length > 1 ? `Pictures of seed ${pictured[0].seed}` : "Pictures" }), showPictures(pictured[0]));
  const curved = runs.filter((run) => run.curves);
  if (curved.length) parts.push(make("h4", { text: `Training${curved.length > 1 || runs.length > 1 ? ` of seed ${curved[0].seed}` : ""}` }), drawCurves(curved[0]));
  const columns = row.extremes ? ["worst", "best"].filter((kind) => row.extremes[kind].length).map((kind) =>
    make("div", {}, make("h4", { text: `${kind === "worst" ? "Worst" : "Best"} items${runs.length > 1 ? ` of seed ${runs[0].seed}` : ""}` }), extremesTable(row.extremes, kind, runs, board.title))) : [];
  const perClass = runs.map((run) => run.details && Object.entries(run.details).find(([name, value]) => name.endsWith("_by_class") && value && typeof value === "object")).find(Boolean);
  const drawn = pictured.length > 0 && pictured[0].pictures.some((picture) => picture.kind === "class_bars");
  if (perClass && !drawn) columns.push(make("div", {}, make("h4", { text: perClass[0].replaceAll("_", " ") }), classBars(perClass[1], board.unit)));
  if (row.confusion?.hardest) columns.push(make("div", {}, make("h4", { text: "Hardest classes (% right)" }), classBars(Object.fromEntries(row.confusion.hardest.map(([name, right, total]) => [`${name} (${total} items)`, (100 * right) / total])), "%")));
  else if (row.confusion) columns.push(make("div", {}, make("h4", { text: "Confusion matrix" }), confusionTable(row.confusion, board.title)));
  if (columns.length) parts.push(make("div", { class: "columns" }, ...columns));
  if (runs.some((run) => run.pictures_left_out)) parts.push(make("p", { class: "quiet", text: "This page has no room for some pictures of these runs; they lie in the folder pictures of each run." }));
  parts.push(make("h4", { text: runs.length > 1 ? `${runs.length} runs` : "Run" }), ...runs.map((run) => runDetails(run, [pictured[0], curved[0]])));
  if (row.note) parts.unshift(make("p", { class: "quiet", text: row.note }));
  return makeDetails(`${board.title}: ${formatScore(board, row.score)}`, () => parts, open);
}
function originPart(found) {
  const origin = found.map(([, row]) => row.origin).find((index) => index !== undefined);
  if (origin === undefined) return [];
  const run = data.runs[origin];
  return [make("h3", { text: "The pre-training that made the start weights" }), ...(hasPictures(run) ? [showPictures(run)] : []), ...(run.curves ? [drawCurves(run)] : []), runDetails(run, [run, run])];
}
function showBackbone(label) {
  // the tier that was looked at comes first; a short schedule would else stand above the complete one
  const order = [state.tier, ...tiers], found = findRows(label).sort(([a], [b]) => order.indexOf(a.tier) - order.indexOf(b.tier)), place = byId("detail");
  if (!found.length) {
    place.replaceChildren(homeLink(), make("h2", { tabindex: -1, text: "Not on this page" }), make("p", { text: `No row is called ${label}. The page may have been made from other runs.` }));
    return;
  }
  const others = allLabels().filter((each) => each !== label && findRows(each).some(([board]) => found.some(([own]) => own === board)));
  const choice = make("select", { id: "compare-with" }, make("option", { value: "", text: "choose a backbone" }), ...others.map((each) => make("option", { value: each, text: each })));
  choice.addEventListener("input", () => choice.value && changeState({ compare: [label, choice.value], backbone: "" }));
  const first = found[0][1];
  place.replaceChildren(homeLink(), make("h2", { tabindex: -1, text: label }),
    make("p", { class: "quiet", text: `Start: ${first.start}${first.floor ? ", the floor that any pre-training has to beat" : ""}. ${formatCount(found.length, "board")}.` }),
    costFacts(found), ...(others.length ? [make("div", { class: "tools" }, make("label", {}, "Compare with ", choice))] : []),
    make("h3", { text: "Scores over tasks" }), scoreTable(found), ...originPart(found), make("h3", { text: "Board by board" }), ...found.map((each, i) => boardPart(each, found.length <= MAX_OPEN_BOARDS || i === 0)));
}
