// ---- wiring ----
let shownView = "";
function syncControls() {
  for (const [id, name] of [["search", "q"], ["task", "task"], ["size", "size"], ["front", "front"]]) {
    if (byId(id).value !== state[name]) byId(id).value = state[name];
  }
  for (const input of document.querySelectorAll("input[name=tier]")) input.checked = input.value === state.tier;
  if (byId("published")) byId("published").checked = !state.unpublished;
  byId("grouped").checked = !state.ungrouped;
}
let homeScroll = 0, homeFocus = null;
renderPage = () => {
  hideTip();
  const view = state.compare.length ? `compare ${state.compare.join("\n")} ${state.board}` : state.backbone ? `backbone ${state.backbone}` : "";
  if (!shownView && view) [homeScroll, homeFocus] = [scrollY, document.activeElement];
  byId("home").hidden = view !== "";
  byId("detail").hidden = view === "";
  if (view === "") {
    syncControls();
    showOverview();
    showBoards();
    showPlot();
    fillColumnList();
    byId("detail").replaceChildren();
    document.title = "bench leaderboard";
  } else if (view !== shownView) {
    if (state.compare.length) showComparison(state.compare); else showBackbone(state.backbone);
    document.title = `${byId("detail").querySelector("h2").textContent} · bench leaderboard`;
  }
  showSelection();
  if (view !== shownView) {
    scrollTo(0, view === "" ? homeScroll : 0);
    // the focus goes where the reading goes on: to the heading, and on the way back to where it was
    const next = view ? byId("detail").querySelector("h2") : homeFocus;
    if (next?.isConnected) next.focus({ preventScroll: true });
    shownView = view;
  }
};
const themes = ["system", "light", "dark"];
byId("theme").addEventListener("click", () => {
  const root = document.documentElement, next = themes[(themes.indexOf(root.dataset.theme || "system") + 1) % 3];
  if (next === "system") delete root.dataset.theme; else root.dataset.theme = next;
  byId("theme").textContent = `Theme: ${next}`;
});
// set here and not in the markup, where the content security policy allows no style
for (const bar of document.querySelectorAll(".bar")) for (const [name, value] of Object.entries(bar.dataset)) bar.style.setProperty(`--${name}`, `${value}%`);
if (boards.length) {
  // one listener for all tables: rows move when a table is sorted
  document.addEventListener("click", (event) => {
    const found = event.target.closest(".sort, .value, a[href^='#backbone=']");
    if (!found) return;
    if (found.classList.contains("sort")) sortBy(found);
    if (found.classList.contains("value")) showTip(found, tipLines(found)); // where nothing can be pointed at
    // the link itself names the backbone alone, so that it can be copied; a click keeps the filters for the way back
    if (found.matches("a") && found.closest("#home") && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
      event.preventDefault();
      changeState({ backbone: parseState(new URL(found.href).hash).backbone, compare: [] });
    }
  });
  document.addEventListener("change", (event) => event.target.classList.contains("pick") && pick(event.target));
  document.addEventListener("keydown", (event) => {
    moveFocus(event);
    if (event.key !== "Escape") return;
    if (byId("columns").open) {
      byId("columns").open = false;
      byId("columns").firstElementChild.focus();
    } else if (!tip.hidden) hideTip();
    else if (shownView) changeState({ backbone: "", compare: [] });
  });
  for (const [id, name] of [["task", "task"], ["size", "size"], ["front", "front"]]) byId(id).addEventListener("input", (event) => changeState({ [name]: event.target.value }));
  byId("search").addEventListener("input", (event) => changeState({ q: event.target.value }, true));
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("tiers").addEventListener("change", (event) => changeState({ tier: event.target.value }));
  byId("published")?.addEventListener("change", (event) => changeState({ unpublished: !event.target.checked }));
  byId("grouped").addEventListener("change", (event) => changeState({ ungrouped: !event.target.checked }));
  byId("plot-board").addEventListener("input", (event) => changeState({ board: event.target.value }));
  byId("plot-cost").addEventListener("input", (event) => changeState({ cost: event.target.value }));
  byId("save-csv").addEventListener("click", () => saveFile("leaderboard.csv", new Blob([exported("csv")], { type: "text/csv" })));
  byId("save-latex").addEventListener("click", () => saveFile("leaderboard.tex", new Blob([exported("latex")], { type: "text/x-tex" })));
  byId("save-png").addEventListener("click", savePng);
  // a click anywhere else closes the list of columns
  document.addEventListener("click", (event) => { if (!event.target.closest("#columns")) byId("columns").open = false; });
  let plotWidth = 0;
  new ResizeObserver(([entry]) => {
    if (Math.abs(entry.contentRect.width - plotWidth) > 1 && entry.contentRect.width > 0) {
      plotWidth = entry.contentRect.width;
      showPlot();
    }
  }).observe(byId("plot-section"));
  narrow.addEventListener("change", () => renderPage());
  renderPage();
}
