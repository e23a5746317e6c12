// ---- test items ----
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
// The value of each item: the numbers that items.py wrote, or the share of the seeds that had it right, in percent.
function itemValues(outcomes, count) {
  if (outcomes.values) return outcomes.values;
  const { bits, seeds, packed } = outcomes, perCharacter = Math.floor(6 / bits), mask = 2 ** bits - 1;
  return Array.from({ length: count }, (_, i) => {
    const six = ALPHABET.indexOf(packed[Math.floor(i / perCharacter)]);
    return (100 * ((six >> (bits * (i % perCharacter))) & mask)) / seeds;
  });
}
const itemName = (board, place) => (board.item_names ? board.item_names[place] : String(place));
// The items on which two rows differ, the largest difference first: {name, first, second}.
function changedItems(board, first, second) {
  if (!first.outcomes || !second.outcomes) return null;
  const one = itemValues(first.outcomes, board.item_count), other = itemValues(second.outcomes, board.item_count), sign = board.higher ? 1 : -1;
  const better = [], worse = [];
  one.forEach((value, i) => {
    const gain = sign * (value - other[i]);
    if (Math.abs(gain) > 1e-9 * Math.max(1, Math.abs(value))) (gain > 0 ? better : worse).push({ name: itemName(board, i), first: value, second: other[i] });
  });
  const bySize = (a, b) => Math.abs(b.first - b.second) - Math.abs(a.first - a.second);
  return { better: better.sort(bySize), worse: worse.sort(bySize) };
}
// Finds the small picture of an item in a sheet of the given runs.
function findTile(runs, name) {
  for (const run of runs) {
    for (const picture of run.pictures || []) {
      const place = picture.kind === "item_sheet" && picture.tile_size ? (picture.items || []).indexOf(name) : -1;
      if (place >= 0) return { picture, place, run };
      if (picture.item === name && picture.kind !== "item_sheet") return { picture, place: -1, run };
    }
  }
  return null;
}
function makeTile(found, caption) {
  const { picture, place } = found;
  const image = make("img", { alt: caption, loading: "lazy", src: data.shared_values[picture.address] });
  if (place >= 0) {
    const [width, height] = picture.tile_size, zoom = width < 40 ? 2 : 1;
    Object.assign(image, { width, height });
    // only the loaded sheet says how many tiles stand in one of its rows
    const crop = () => {
      const inRow = Math.max(1, Math.floor(image.naturalWidth / width));
      image.style.objectPosition = `${-(place % inRow) * width}px ${-Math.floor(place / inRow) * height}px`;
    };
    image.addEventListener("load", crop);
    image.style.zoom = zoom;
    if (zoom > 1) image.style.imageRendering = "pixelated";
  } else image.style.maxWidth = "12rem";
  return make("div", { class: "tile" }, image, caption);
}
function extremesTable(extremes, kind, runs, title) {
  const rows = extremes[kind], head = extremes.columns;
  const tiles = rows.map((row) => findTile(runs, row[extremes.item]));
  const withTiles = tiles.some((tile) => tile && tile.place >= 0);
  return make("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": `${kind} items, ${title}` }, make("table", { class: "compact" },
    make("thead", {}, make("tr", {}, ...(withTiles ? [make("th", { scope: "col", text: "picture" })] : []), ...head.map((name) => make("th", { scope: "col", text: name })))),
    make("tbody", {}, ...rows.map((row, i) => make("tr", {},
      ...(withTiles ? [make("td", {}, tiles[i] && tiles[i].place >= 0 ? makeTile(tiles[i], "") : "")] : []),
      ...row.map((cell, column) => make(column === extremes.item ? "th" : "td", { ...(column === extremes.item ? { scope: "row" } : {}), class: Number.isNaN(Number(cell)) ? null : "number", text: cell })))))));
}
// A heat map: one row per label, one column per prediction, shaded by the share of the label's items.
function confusionTable(confusion, title) {
  const size = confusion.classes.length, totals = new Array(size).fill(0), table = new Map();
  for (const [label, prediction, count] of confusion.counts) {
    totals[label] += count;
    table.set(label * size + prediction, count);
  }
  const withText = size <= 30;
  const body = confusion.classes.map((name, label) => make("tr", {}, make("th", { scope: "row", text: name }), ...confusion.classes.map((other, prediction) => {
    const count = table.get(label * size + prediction) || 0, share = totals[label] ? count / totals[label] : 0;
    const cell = make("td", { class: label === prediction ? "right" : null, text: withText && count ? String(count) : null,
      "data-tip": count ? `${name} taken for ${other}: ${count} of ${totals[label]} (${(100 * share).toFixed(1)} %)` : null });
    cell.style.setProperty("--share", `${Math.round(45 * share)}%`);
    return cell;
  })));
  return make("div", { class: "scroll tall", role: "region", tabindex: 0, "aria-label": `Confusion matrix, ${title}` }, make("table", { class: "heat" },
    make("caption", { text: "Rows: label; columns: prediction; shade: share of the label's items, over all seeds." }),
    make("thead", {}, make("tr", {}, make("td", {}), ...confusion.classes.map((name) => make("th", { scope: "col", text: name })))), make("tbody", {}, ...body)));
}
// Bars of a score per class, such as the IoU that a segmentation measured.
function classBars(values, unit) {
  const entries = Object.entries(values).filter(([, value]) => typeof value === "number").sort((a, b) => b[1] - a[1]);
  const most = Math.max(...entries.map(([, value]) => value), unit === "%" ? 100 : 0);
  return make("div", { class: "bars" }, ...entries.flatMap(([name, value]) => [make("span", { text: name }),
    make("span", { class: "track" }, make("span", { style: { width: `${Math.max(0, (100 * value) / most)}%` } })), make("span", { class: "number", text: formatFixed(value) })]));
}
