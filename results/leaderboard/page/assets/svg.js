// ---- drawing ----
function draw(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") element.textContent = value;
    else if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter(Boolean));
  return element;
}
const round = (value) => Math.round(value * 10) / 10;
const ruler = document.createElement("canvas").getContext("2d");
function textWidth(text) {
  ruler.font = "12px system-ui, -apple-system, 'Segoe UI', sans-serif";
  return ruler.measureText(text).width;
}
function linearTicks(low, high, most) {
  const rough = (high - low) / Math.max(1, most), power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough);
  const ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) ticks.push(Number((k * step).toPrecision(12)));
  return ticks;
}
function logTicks(low, high, most) {
  for (const digits of [[1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9], [1, 2, 3, 5, 7], [1, 2, 5], [1, 3], [1]]) {
    const ticks = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
      for (const digit of digits) {
        const tick = Number((digit * 10 ** power).toPrecision(6));
        if (tick >= low * 0.9999 && tick <= high * 1.0001) ticks.push(tick);
      }
    }
    if (ticks.length <= most) return ticks.length > 1 ? ticks : linearTicks(low, high, 5).filter((tick) => tick > 0);
  }
  return [low, high];
}
// A scale from values to pixels.
function makeScale(low, high, from, to, logarithmic) {
  const bend = logarithmic ? Math.log10 : (value) => value, start = bend(low), width = bend(high) - start || 1;
  return (value) => from + ((bend(value) - start) / width) * (to - from);
}
// Draws the grid, the ticks and the titles of a plot. "view" has width, height, left, right, top, bottom in pixels.
function drawAxes(view, x, y) {
  const group = draw("g");
  for (const tick of y.ticks) {
    const at = round(y.scale(tick));
    group.append(draw("line", { class: "grid", x1: view.left, x2: view.right, y1: at, y2: at }),
      draw("text", { x: view.left - 8, y: at + 4, "text-anchor": "end", text: y.format(tick) }));
  }
  for (const tick of x.ticks) {
    const at = round(x.scale(tick));
    group.append(draw("line", { class: "grid", x1: at, x2: at, y1: view.top, y2: view.bottom }),
      draw("text", { x: at, y: view.bottom + 18, "text-anchor": "middle", text: x.format(tick) }));
  }
  group.append(draw("line", { class: "axis", x1: view.left, x2: view.right, y1: view.bottom, y2: view.bottom }),
    draw("text", { class: "title", x: (view.left + view.right) / 2, y: view.bottom + 38, "text-anchor": "middle", text: x.title }),
    draw("text", { class: "title", x: view.left, y: view.top - 10, "text-anchor": "start", text: y.title }));
  return group;
}
const formatTick = (value) => (Math.abs(value) >= 1e3 ? formatQuantity(value) : String(Number(value.toPrecision(6))));

// A curve of one logged value.
function drawCurve(curve) {
  const view = { width: 440, height: 210, left: 56, right: 428, top: 26, bottom: 164 };
  const low = Math.min(...curve.y), high = Math.max(...curve.y), room = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
  const first = curve.x[0], last = curve.x[curve.x.length - 1];
  // steps and epochs are whole numbers, and so are the ticks
  const ticks = last > first ? linearTicks(first, last, 6).filter(Number.isInteger) : [first];
  const x = { title: curve.x_unit, ticks, format: formatTick, scale: makeScale(first, last > first ? last : first + 1, view.left, view.right, false) };
  const y = { title: curve.name, ticks: linearTicks(low - room, high + room, 4), format: formatTick, scale: makeScale(low - room, high + room, view.bottom, view.top, false) };
  const points = curve.x.map((value, i) => `${round(x.scale(value))},${round(y.scale(curve.y[i]))}`);
  const line = points.length > 1 ? draw("polyline", { class: "curve", points: points.join(" ") })
    : draw("circle", { class: "shape", cx: points[0].split(",")[0], cy: points[0].split(",")[1], r: 4 });
  return draw("svg", { viewBox: `0 0 ${view.width} ${view.height}`, role: "img", "aria-label": `${curve.name} by ${curve.x_unit}, from ${curve.y[0]} to ${curve.y[curve.y.length - 1]}` },
    drawAxes(view, x, y), line);
}
// Where a row stands among all rows of its board: a tick for each row, a band for the row's interval.
function drawStrip(board, row) {
  const values = board.rows.flatMap((each) => [each.score, ...(each === row && each.interval ? each.interval : [])]);
  const low = Math.min(...values), high = Math.max(...values), room = (high - low) * 0.04 || 1;
  const scale = makeScale(low - room, high + room, 4, 296, false);
  const svg = draw("svg", { class: "strip", viewBox: "0 0 300 26", preserveAspectRatio: "none", role: "img", "aria-label": `${formatFixed(row.score)} among ${formatCount(board.rows.length, "row")} from ${formatFixed(Math.min(...board.rows.map((each) => each.score)))} to ${formatFixed(Math.max(...board.rows.map((each) => each.score)))}` },
    draw("line", { class: "grid", x1: 0, x2: 300, y1: 13, y2: 13 }));
  if (row.interval) svg.append(draw("rect", { class: "band", x: scale(row.interval[0]), width: Math.max(1, scale(row.interval[1]) - scale(row.interval[0])), y: 6, height: 14 }));
  for (const each of board.rows) if (each !== row) svg.append(draw("line", { class: "tick", x1: scale(each.score), x2: scale(each.score), y1: 8, y2: 18 }));
  svg.append(draw("line", { class: "here", x1: scale(row.score), x2: scale(row.score), y1: 3, y2: 23 }));
  return svg;
}
