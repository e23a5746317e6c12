// ---- a scatter plot with labels that do not overlap ----
const overlaps = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
const boxAround = (x, y, size) => ({ left: x - size, right: x + size, top: y - size, bottom: y + size });
// Places for a label around its point, best first: [horizontal, vertical, anchor], in steps of the distance.
const PLACES = [[1, 0, "start"], [-1, 0, "end"], [0, -1, "middle"], [0, 1, "middle"], [0.8, -0.8, "start"], [0.8, 0.8, "start"], [-0.8, -0.8, "end"], [-0.8, 0.8, "end"]];
// Returns the label's place, or null if each place would cover a point or another label.
function placeLabel(point, width, taken, view) {
  for (const distance of [10, 17]) {
    for (const [dx, dy, anchor] of PLACES) {
      const x = point.x + dx * distance, y = point.y + dy * distance * 1.25;
      const left = anchor === "start" ? x : anchor === "end" ? x - width : x - width / 2;
      const box = { left: left - 1, right: left + width + 1, top: y - 7, bottom: y + 6 };
      if (box.left < view.left - 2 || box.right > view.width - 4 || box.top < view.top - 4 || box.bottom > view.bottom) continue;
      if (!taken.some((other) => other !== point.box && overlaps(box, other))) return { x, y: y + 4, anchor, box };
    }
  }
  return null;
}
const SHAPES = {
  row: (x, y) => draw("circle", { class: "shape", cx: x, cy: y, r: 5 }),
  front: (x, y) => draw("path", { class: "shape", d: `M${x} ${y - 7}L${x + 7} ${y}L${x} ${y + 7}L${x - 7} ${y}Z` }),
  floor: (x, y) => draw("path", { class: "shape", d: `M${x - 5} ${y - 5}L${x + 5} ${y + 5}M${x - 5} ${y + 5}L${x + 5} ${y - 5}` }),
  reported: (x, y) => draw("circle", { class: "shape", cx: x, cy: y, r: 4.5 }),
  busy: (x, y) => draw("rect", { class: "shape", x: x - 5, y: y - 5, width: 10, height: 10 }),
};
const KINDS = { front: "on the front", row: "other rows", floor: "floor (random weights)", reported: "published", busy: "timed on a busy machine" };
const CLASSES = { front: "on-front", row: "", floor: "floor", reported: "reported", busy: "busy" };

// Draws points {x, y, kind, label, lines, interval, chosen, open} with a front [[x, y], ...] in the order of its cost.
function drawScatter(width, points, front, titles, formatX) {
  const height = width < 520 ? 340 : 430;
  const view = { width, height, left: 52, right: width - 16, top: 34, bottom: height - 52 };
  const costs = points.map((point) => point.x), scores = points.flatMap((point) => [point.y, ...(point.interval || [])]);
  const ratio = Math.max(...costs) / Math.min(...costs), margin = Math.max(1.12, ratio ** 0.07);
  const lowX = Math.min(...costs) / margin, highX = Math.max(...costs) * margin ** (width < 520 ? 1 : 1.6); // labels stand to the right
  const room = (Math.max(...scores) - Math.min(...scores)) * 0.07 || 1;
  const lowY = Math.min(...scores) - room, highY = Math.max(...scores) + room;
  const x = { title: titles.x, ticks: logTicks(lowX, highX, Math.max(3, Math.floor(width / 90))), format: formatX, scale: makeScale(lowX, highX, view.left, view.right, true) };
  const y = { title: titles.y, ticks: linearTicks(lowY, highY, 6), format: formatTick, scale: makeScale(lowY, highY, view.bottom, view.top, false) };
  const svg = draw("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": titles.label }, drawAxes(view, x, y));
  const placed = points.map((point) => {
    const at = { x: round(x.scale(point.x)), y: round(y.scale(point.y)) };
    return { ...point, at: { ...at, box: boxAround(at.x, at.y, 6) } };
  });
  for (const point of placed) {
    if (point.interval) svg.append(draw("line", { class: "interval", x1: point.at.x, x2: point.at.x, y1: round(y.scale(point.interval[0])), y2: round(y.scale(point.interval[1])) }));
  }
  // a staircase: between two of its rows, the cheaper one is the best that a budget can buy
  const steps = front.map(([cost, score], i) => (i ? `H${round(x.scale(cost))}V${round(y.scale(score))}` : `M${round(x.scale(cost))} ${round(y.scale(score))}`));
  if (front.length > 1) svg.append(draw("path", { class: "front", d: steps.join("") }));
  const taken = placed.map((point) => point.at.box);
  const lines = placed.filter((point) => point.interval).map((point) => ({ left: point.at.x - 2, right: point.at.x + 2, top: y.scale(point.interval[1]), bottom: y.scale(point.interval[0]) }));
  front.forEach(([cost, score], i) => {
    if (!i) return;
    const [left, right] = [x.scale(front[i - 1][0]), x.scale(cost)], [low, high] = [y.scale(front[i - 1][1]), y.scale(score)];
    lines.push({ left, right, top: low - 2, bottom: low + 2 }, { left: right - 2, right: right + 2, top: high, bottom: low });
  });
  const order = { front: 0, row: 1, floor: 2, reported: 3, busy: 4 };
  for (const point of [...placed].sort((a, b) => Boolean(b.chosen) - Boolean(a.chosen) || order[a.kind] - order[b.kind])) {
    const text = shorten(point.label, width < 520 ? 20 : 38), wide = textWidth(text);
    const spot = placeLabel(point.at, wide, [...taken, ...lines], view) || placeLabel(point.at, wide, taken, view); // a line is crossed only if it must be
    if (spot) taken.push(spot.box);
    point.text = spot && draw("text", { class: "label", x: round(spot.x), y: round(spot.y), "text-anchor": spot.anchor, text });
  }
  for (const [i, point] of placed.entries()) {
    const group = draw("g", { class: `point has-tip ${CLASSES[point.kind]}${point.chosen ? " chosen" : ""}`, tabindex: i ? -1 : 0, role: "button", "aria-label": point.lines.join(". ") },
      draw("circle", { class: "ring", cx: point.at.x, cy: point.at.y, r: 10, "pointer-events": "all" }), SHAPES[point.kind](point.at.x, point.at.y), point.text);
    group.tipLines = point.lines;
    group.dataset.name = point.label;
    group.addEventListener("click", point.open);
    svg.append(group);
  }
  svg.addEventListener("keydown", (event) => {
    const all = [...svg.querySelectorAll(".point")], from = all.indexOf(event.target);
    if (from < 0) return;
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      placed[from].open();
    }
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const next = all[(from + step + all.length) % all.length];
    all[from].setAttribute("tabindex", -1);
    next.setAttribute("tabindex", 0);
    next.focus();
  });
  return svg;
}
function drawLegend(kinds) {
  return make("div", { class: "legend" }, ...Object.keys(KINDS).filter((kind) => kinds.has(kind)).map((kind) =>
    make("span", {}, draw("svg", { width: 16, height: 16, viewBox: "0 0 16 16", "aria-hidden": "true" }, draw("g", { class: CLASSES[kind] }, SHAPES[kind](8, 8))), KINDS[kind])));
}
