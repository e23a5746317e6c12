// ---- files ----
function saveFile(name, blob) {
  const address = URL.createObjectURL(blob), link = make("a", { href: address, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}
const exported = (name) => JSON.parse(byId("exports").textContent)[name] ?? ""; // parsed only when it is asked for
const STYLES = ["fill", "stroke", "stroke-width", "stroke-dasharray", "font-family", "font-size", "font-style", "opacity"];
// An image does not see the page's style sheet, so the copy gets its styles as attributes.
function copyDrawing(svg) {
  const copy = svg.cloneNode(true), from = [svg, ...svg.querySelectorAll("*")], to = [copy, ...copy.querySelectorAll("*")];
  from.forEach((element, i) => {
    const style = getComputedStyle(element);
    for (const name of STYLES) to[i].setAttribute(name, style.getPropertyValue(name));
    for (const name of ["class", "tabindex", "role", "aria-label"]) to[i].removeAttribute(name);
  });
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.prepend(draw("rect", { width: "100%", height: "100%", fill: getComputedStyle(document.body).backgroundColor }));
  return copy;
}
// A picture leaves the page, so what the page says around the plot goes with it: legend, board and cost.
function addCaption(copy, width, height, board) {
  const { fontFamily, fill } = getComputedStyle(byId("plot").querySelector("text.title"));
  const write = (x, y, text) => copy.append(draw("text", { x, y, text, fill, "font-family": fontFamily, "font-size": "12px" }));
  let x = 16, y = height + 14;
  for (const entry of byId("plot").querySelectorAll(".legend > span")) {
    const wide = textWidth(entry.textContent) + 40;
    if (x + wide > width && x > 16) [x, y] = [16, y + 20];
    const mark = copyDrawing(entry.querySelector("svg"));
    for (const [name, value] of Object.entries({ x, y: y - 12 })) mark.setAttribute(name, value);
    copy.append(mark);
    write(x + 22, y, entry.textContent);
    x += wide;
  }
  const front = plottedFront(board);
  write(16, y + 22, `${board.title}${front.setup === null ? "" : `; timed on ${data.words[front.setup]}`}`);
  return y + 34;
}
function savePng() {
  const svg = byId("plot").querySelector("svg[role=group]");
  if (!svg) return;
  const width = svg.width.baseVal.value, copy = copyDrawing(svg), image = new Image();
  const height = addCaption(copy, width, svg.height.baseVal.value, boards[plottedBoard()]);
  copy.setAttribute("height", height);
  copy.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const address = URL.createObjectURL(new Blob([new XMLSerializer().serializeToString(copy)], { type: "image/svg+xml" }));
  image.addEventListener("load", () => {
    const canvas = make("canvas");
    [canvas.width, canvas.height] = [2 * width, 2 * height]; // sharp on a page of paper
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    URL.revokeObjectURL(address);
    canvas.toBlob((blob) => blob && saveFile("score-against-cost.png", blob), "image/png");
  });
  image.src = address;
}
