// ---- the runs of a row ----
function runFacts(run) {
  if (run.command === undefined) return make("p", { class: "quiet", text: `Run ${run.id}; its facts stand in its record, ${run.folder}/record.json.` });
  const [commit, dirty] = data.shared_values[run.git];
  const lines = {
    "run": run.id, "folder": run.folder,
    ...Object.fromEntries(Object.entries(run.metrics).map(([name, value]) => [name, String(value)])),
    "items": String(run.items), "started": `${run.started.replace("T", " ")} UTC`, "finished": `${run.finished.replace("T", " ")} UTC`,
    "time": Object.entries(run.seconds).map(([name, value]) => `${name} ${formatSeconds(value)}`).join(", ") || "not measured",
    "peak memory": run.memory === null ? "not measured" : `${run.memory} MiB`,
    "source": commit ? commit.slice(0, 12) + (dirty ? ", with uncommitted changes" : "") : "not in a git checkout",
    "command": data.shared_values[run.command].join(" "),
  };
  return make("dl", { class: "pairs" }, ...Object.entries(lines).flatMap(([name, value]) => [make("dt", { text: name }), make("dd", { text: value })]));
}
// The content is made when it is opened for the first time: thousands of values would make the page slow.
function makeDetails(name, fill, open = false) {
  const details = make("details", {}, make("summary", { text: name }));
  let filled = false;
  const fillOnce = () => {
    if (!details.open || filled) return;
    filled = true;
    details.append(...fill());
  };
  details.addEventListener("toggle", fillOnce);
  details.open = open;
  if (open) fillOnce();
  return details;
}
const jsonDetails = (name, value) => makeDetails(name, () => [make("pre", { tabindex: 0, "aria-label": name, text: JSON.stringify(value, null, 1) })]);
// "shown" are the runs whose pictures and whose curves stand above already.
function runDetails(run, shown) {
  const facts = run.command === undefined ? ", facts in its record" : "";
  return makeDetails(`seed ${run.seed}, run ${run.id.slice(0, 12)}${facts}`, () => [
    runFacts(run),
    ...(hasPictures(run) && shown[0] !== run ? [makeDetails("pictures", () => [showPictures(run)])] : []),
    ...(run.curves && shown[1] !== run ? [makeDetails("curves", () => [drawCurves(run)])] : []),
    ...(run.selection === null || run.selection === undefined ? [] : [jsonDetails("selection of the weights", data.shared_values[run.selection])]),
    ...Object.entries(run.shared || {}).map(([name, index]) => jsonDetails(name, data.shared_values[index])),
    ...(run.details ? [jsonDetails("further measurements", run.details)] : []),
  ]);
}
function drawCurves(run) {
  return make("div", { class: "columns" }, ...run.curves.map(drawCurve));
}
function showPictures(run) {
  return make("div", { class: "pictures" }, ...run.pictures.filter((picture) => picture.kind !== "item_sheet").map((picture) =>
    make("figure", {}, make("img", { src: data.shared_values[picture.address], alt: [picture.title, picture.caption].filter(Boolean).join(". "), loading: "lazy" }),
      make("figcaption", {}, make("b", { text: picture.title }), picture.caption ? make("span", { text: ` ${picture.caption}` }) : null))));
}
const hasPictures = (run) => Boolean(run.pictures && run.pictures.some((picture) => picture.kind !== "item_sheet"));
