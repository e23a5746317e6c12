// ---- score against cost ----
const frontKey = (front) => (front.setup === null ? front.cost : `${front.cost}@${data.words[front.setup]}`);
// The board of the plot: the chosen one if the filters leave it, else the one with most rows among those with a cost.
function plottedBoard() {
  const chosen = boardByKey.get(state.board);
  if (chosen !== undefined && boardMatches(boards[chosen])) return chosen;
  let best = -1;
  boards.forEach((board, number) => {
    if (boardMatches(board) && board.fronts.length && (best < 0 || board.rows.length > boards[best].rows.length)) best = number;
  });
  return best < 0 ? boards.findIndex(boardMatches) : best;
}
function plottedFront(board) {
  return board.fronts.find((front) => frontKey(front) === state.cost) ||
    board.fronts.find((front) => front.cost === state.cost.split("@")[0]) ||
    board.fronts.filter((front) => front.cost === "latency").sort((a, b) => countMeasured(board, b) - countMeasured(board, a))[0] ||
    board.fronts[0];
}
// Timings of another machine or runtime are not comparable and are left out.
const isMeasured = (row, front) => row[front.cost] !== undefined && (front.cost !== "latency" || row.setup === front.setup);
const countMeasured = (board, front) => board.rows.filter((row) => isMeasured(row, front)).length;
function fillOptions(select, options, value) {
  select.replaceChildren(...options.map(([key, text]) => make("option", { value: key, text })));
  select.value = value;
  select.disabled = options.length < 2;
}
function pointKind(board, number, front) {
  if (front.cost === "latency" && board.rows[number].busy) return "busy";
  // the floor keeps its shape on the front, so that it is never taken for a pre-training
  return board.rows[number].floor ? "floor" : front.rows.includes(number) ? "front" : "row";
}
function listPoints(board, front) {
  const points = [];
  board.rows.forEach((row, number) => {
    if (!rowMatches(board, number) || !isMeasured(row, front)) return;
    const kind = pointKind(board, number, front), cost = row[front.cost];
    const open = () => changeState({ backbone: row.label, compare: [] });
    const costLine = `${data.costs[front.cost]}: ${formatCost(front.cost, cost)}${kind === "busy" ? ", busy machine" : ""}${front.rows.includes(number) ? ", on the front" : ""}`;
    points.push({ x: cost, y: row.score, kind, label: row.label, interval: row.interval, chosen: state.sel.includes(row.label), open,
      lines: [describeRow(board, row)[0], costLine, ...describeRow(board, row).slice(2)] });
    if (row.published && !state.unpublished) {
      points.push({ x: cost, y: row.published.value, kind: "reported", label: `${row.backbone}, published`, chosen: false, open, lines: [`${row.backbone}, published: ${formatPublished(row.published.value)} ${board.unit}`.trim(), describePublished(row)] });
    }
  });
  return points;
}
function showPlot() {
  const number = plottedBoard(), board = boards[number], place = byId("plot");
  byId("plot-section").hidden = !board;
  if (!board) return;
  const candidates = boards.map((each, i) => [each.key, each.title, i]).filter(([, , i]) => boardMatches(boards[i]));
  fillOptions(byId("plot-board"), candidates, board.key);
  const front = plottedFront(board);
  fillOptions(byId("plot-cost"), board.fronts.map((each) => [frontKey(each), data.costs[each.cost] + (each.setup === null ? "" : ` on ${data.words[each.setup]}`)]), front ? frontKey(front) : "");
  const points = front ? listPoints(board, front) : [];
  byId("save-png").disabled = points.length === 0;
  place.hidden = points.length === 0;
  if (points.length === 0) {
    byId("plot-text").textContent = front ? "The filters leave no row of this board with this cost." : "No cost was measured for the rows of this board.";
    return;
  }
  const costName = byId("plot-cost").selectedOptions[0].textContent, metric = (board.unit ? `${board.metric} (${board.unit})` : board.metric) + (board.higher ? "" : ", lower is better");
  // rows that are filtered out leave the front's line as well; the front itself is that of the whole board
  const line = front.rows.filter((i) => rowMatches(board, i)).map((i) => [board.rows[i][front.cost], board.rows[i].score]);
  const fits = textWidth(costName) + 110 < place.clientWidth; // where and how it was timed also stands below the plot
  const titles = { x: `${fits ? costName : data.costs[front.cost]} (logarithmic)`, y: metric, label: `${metric} against ${costName}, ${board.title}` };
  const format = front.cost === "latency" ? formatTick : formatQuantity;
  place.replaceChildren(drawLegend(new Set(points.map((point) => point.kind))), drawScatter(Math.max(300, place.clientWidth), points, line, titles, format));
  byId("plot-text").textContent = `Front ${front.text}.${line.length < front.rows.length ? " The filters hide some of its rows." : ""}`;
}
