"use strict";
// The page's script: sorting, filtering, plots and the dialog of a run. Its data are the JSON in the element "data",
// which page/data.py builds. Values from records are not trusted: they enter the document as text (textContent) only,
// and nothing here builds markup from data.
(() => {
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("data").textContent);
  const boards = data.boards;

  // ---- sorting -------------------------------------------------------------------------------------------------
  // The server writes the sort value of every cell into data-sort; it is empty if the cell has no value.
  const sortValue = (row, column) => row.children[column].dataset.sort;
  function compareValues(a, b) { // as numbers if both are numbers, else as text in which "b10" comes after "b9"
    const x = Number(a), y = Number(b);
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, "en", { numeric: true }) : x - y;
  }
  function sortTable(button) {
    const head = button.parentElement, table = head.closest("table"), body = table.tBodies[0];
    const column = [...head.parentElement.children].indexOf(head);
    const ascending = head.getAttribute("aria-sort") !== "ascending";
    for (const other of head.parentElement.children) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const rows = [...body.rows].map((row) => [sortValue(row, column), row]);
    rows.sort(([a], [b]) => {
      if (a === "" || b === "") return (a === "") - (b === ""); // rows without a value come last in both directions
      return ascending ? compareValues(a, b) : compareValues(b, a);
    });
    // appending a row that is already in the table moves it; sort() is stable, so equal rows keep their order
    body.append(...rows.map(([, row]) => row));
  }

  // ---- filtering -----------------------------------------------------------------------------------------------
  // Hides rows only, so that ranks, ties and notes stay those of the entire board.
  function applyFilters() {
    const word = byId("search").value.trim().toLowerCase(), task = byId("task").value, tier = byId("tier").value;
    const front = byId("rows").value;
    let shownBoards = 0, shownRows = 0;
    for (const board of document.querySelectorAll(".board")) {
      let visibleRows = 0;
      const boardMatches = (!task || board.dataset.task === task) && (!tier || board.dataset.tier === tier);
      for (const row of board.querySelectorAll("tbody tr")) {
        const isVisible = boardMatches && row.dataset.name.toLowerCase().includes(word) &&
          (!front || row.dataset.fronts.split(" ").includes(front));
        row.hidden = !isVisible;
        visibleRows += isVisible;
      }
      board.hidden = visibleRows === 0;
      shownBoards += visibleRows > 0;
      shownRows += visibleRows;
    }
    for (const row of document.querySelectorAll("#summary tbody tr")) {
      row.hidden = !row.dataset.name.toLowerCase().includes(word);
    }
    byId("count").textContent = `${shownRows} rows on ${shownBoards} boards`;
  }

  // ---- plots ---------------------------------------------------------------------------------------------------
  const cssColor = (name) => {
    const probe = document.createElement("span"); // the browser resolves light-dark() to one color; Plotly cannot
    probe.style.color = `var(${name})`;
    document.body.append(probe);
    const color = getComputedStyle(probe).color;
    probe.remove();
    return color;
  };
  const plotlyConfig = {
    displaylogo: false, responsive: true, displayModeBar: true,
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
  };
  function plotLayout(x, y, logarithmic) {
    const axis = { gridcolor: cssColor("--line"), zerolinecolor: cssColor("--line"), automargin: true };
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: cssColor("--text") },
      margin: { l: 60, r: 20, t: 36, b: 60 }, hovermode: "closest",
      modebar: { bgcolor: "rgba(0,0,0,0)", color: cssColor("--quiet"), activecolor: cssColor("--accent") },
      legend: { orientation: "h", y: 1.02, yanchor: "bottom" },
      xaxis: { ...axis, title: { text: x }, ...(logarithmic ? { type: "log", tickformat: "~s", dtick: "D2" } : { type: "linear" }) },
      yaxis: { ...axis, title: { text: y } },
    };
  }
  const escapeHtml = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;"); // Plotly interprets some HTML tags in texts
  const hoverText = (row, name, unit, value) =>
    `${escapeHtml(row.label)}<br>${row.score.toFixed(2)} ${escapeHtml(unit)}<br>${name}: ${formatQuantity(value)}`;
  function formatQuantity(value) {
    for (const [size, unit] of [[1e9, " G"], [1e6, " M"], [1e3, " k"]]) {
      if (value >= size) return (value / size).toPrecision(3) + unit;
    }
    return value < 100 ? value.toPrecision(3) : value.toFixed(0);
  }
  // Offers the costs that were measured on the chosen board, and keeps the choice if the new board has it as well.
  function fillCostOptions() {
    const fronts = boards[byId("plot-board").value].fronts, select = byId("plot-cost"), before = select.value;
    select.replaceChildren(...fronts.map((front) => {
      const option = document.createElement("option");
      option.textContent = data.costs[front.cost] + (front.timing_setup ? ` on ${front.timing_setup}` : "");
      option.value = front.cost + "\n" + front.timing_setup; // drawPlot() splits it at the line break
      return option;
    }));
    if (fronts.some((front) => front.cost + "\n" + front.timing_setup === before)) select.value = before;
    select.disabled = fronts.length === 0;
  }
  // Builds a Plotly trace of the rows with these indices; customdata leads from a clicked point back to its row.
  function markerTrace(name, numbers, board, front, color, symbol) {
    const rows = numbers.map((number) => board.rows[number]);
    return {
      name, mode: "markers", type: "scatter", customdata: numbers,
      x: rows.map((row) => row[front.cost]), y: rows.map((row) => row.score),
      marker: { color, symbol, size: 10, line: { width: 1, color: cssColor("--back") } },
      text: rows.map((row) => hoverText(row, escapeHtml(data.costs[front.cost]), board.unit, row[front.cost])), hoverinfo: "text",
    };
  }
  function drawPlot() {
    const number = byId("plot-board").value, board = boards[number];
    const [cost, timingSetup] = byId("plot-cost").value.split("\n");
    const front = board.fronts.find((each) => each.cost === cost && each.timing_setup === timingSetup);
    if (!front) {
      Plotly.purge(byId("plot"));
      byId("plot").hidden = true;
      byId("plot-text").textContent = "No cost was measured for the rows of this board.";
      return;
    }
    byId("plot").hidden = false;
    // indices of the rows with this cost; latencies of another timing setup are not comparable and are left out
    const measured = board.rows.map((row, i) => i)
      .filter((i) => board.rows[i][cost] !== null && (cost !== "latency" || board.rows[i].timing_setup === timingSetup));
    const frontRows = new Set(front.rows);
    const baselineRows = measured.filter((i) => board.rows[i].is_random_baseline && !frontRows.has(i));
    const otherRows = measured.filter((i) => !frontRows.has(i) && !board.rows[i].is_random_baseline);
    const values = measured.map((i) => board.rows[i][cost]);
    // The front is a staircase: between two of its rows, the cheaper one is the best that a budget can buy.
    const frontTrace = {
      name: "front", mode: "lines", x: front.rows.map((i) => board.rows[i][cost]), y: front.rows.map((i) => board.rows[i].score),
      line: { shape: "hv", color: cssColor("--accent"), width: 2, dash: "dot" }, hoverinfo: "skip", showlegend: false,
    };
    const ranges = measured.filter((i) => board.rows[i].interval); // a trace of its own instead of error bars: an interval need not contain its score
    const intervals = {
      name: "interval", mode: "lines", line: { color: cssColor("--quiet"), width: 1 }, hoverinfo: "skip", showlegend: false,
      x: ranges.flatMap((i) => [board.rows[i][cost], board.rows[i][cost], null]),
      y: ranges.flatMap((i) => [...board.rows[i].interval, null]),
    };
    const traces = [
      intervals, frontTrace,
      markerTrace("on the front", front.rows, board, front, cssColor("--accent"), "diamond"),
      markerTrace("others", otherRows, board, front, cssColor("--quiet"), "circle"),
      markerTrace("floor", baselineRows, board, front, cssColor("--outside"), "x"),
    ].filter((each) => each.x.length);
    // logarithmic axis if the costs span more than a factor of 20
    const useLogAxis = Math.max(...values) / Math.min(...values) > 20;
    const metricName = board.unit ? `${board.metric} (${board.unit})` : board.metric;
    const costName = byId("plot-cost").selectedOptions[0].textContent;
    const layout = plotLayout(escapeHtml(costName), escapeHtml(metricName), useLogAxis);
    // with a single cost value, Plotly's automatic range would not be centered on it
    if (new Set(values).size === 1) layout.xaxis.range = [0.9 * values[0], 1.1 * values[0]];
    Plotly.react(byId("plot"), traces, layout, plotlyConfig).then(() => {
      byId("plot").removeAllListeners("plotly_click");
      byId("plot").on("plotly_click", (event) => openRun(Number(number), event.points[0].customdata));
    });
    const text = `Front ${front.text}.`;
    byId("plot-text").textContent = text;
    byId("plot").setAttribute("aria-label", `${board.title}. ${text}`);
  }

  // ---- a run ---------------------------------------------------------------------------------------------------
  function createElement(tag, text, ...children) {
    const made = document.createElement(tag);
    if (text) made.textContent = text;
    made.append(...children);
    return made;
  }
  const formatSeconds = (value) => value < 120 ? `${value} s` : value < 7200 ? `${(value / 60).toFixed(1)} min` : `${(value / 3600).toFixed(1)} h`;
  function runFacts(run) {
    const list = createElement("dl"), [commit, dirty] = data.shared_values[run.git];
    const lines = {
      "run": run.id, "folder": run.folder,
      ...Object.fromEntries(Object.entries(run.metrics).map(([name, value]) => [name, String(value)])),
      "items": String(run.items), "started": run.started.replace("T", " ") + " UTC", "finished": run.finished.replace("T", " ") + " UTC",
      "time": Object.entries(run.seconds).map(([name, value]) => `${name} ${formatSeconds(value)}`).join(", ") || "not measured",
      "peak memory": run.memory === null ? "not measured" : `${run.memory} MiB`,
      "source": commit ? commit.slice(0, 12) + (dirty ? ", with uncommitted changes" : "") : "not in a git checkout",
      "command": data.shared_values[run.command].join(" "),
    };
    for (const [name, value] of Object.entries(lines)) list.append(createElement("dt", name), createElement("dd", value));
    return list;
  }
  function jsonDetails(name, value, open = false) {
    const details = createElement("details", "", createElement("summary", name), createElement("pre", JSON.stringify(value, null, 1)));
    details.open = open;
    return details;
  }
  function drawCurves(run) {
    const details = createElement("details", "", createElement("summary", "curves"));
    // drawn only when it is opened for the first time: dozens of plots would make the dialog slow
    details.addEventListener("toggle", () => {
      if (!details.open || details.querySelector(".curve")) return;
      for (const curve of run.curves) {
        const container = createElement("div");
        container.className = "curve";
        container.setAttribute("role", "img");
        container.setAttribute("aria-label", `${curve.name} by ${curve.x_unit}, ends at ${curve.y[curve.y.length - 1]}`);
        details.append(container);
        const line = { x: curve.x, y: curve.y, mode: curve.x.length > 1 ? "lines" : "markers", line: { color: cssColor("--accent") } };
        const layout = plotLayout(curve.x_unit, escapeHtml(curve.name), false);
        if (curve.x_unit === "validation") layout.xaxis.dtick = Math.max(1, Math.ceil(curve.x.length / 10));
        Plotly.newPlot(container, [line], layout, { displayModeBar: false, responsive: true });
      }
    });
    return details;
  }
  function drawPictures(run) {
    const row = createElement("div");
    row.className = "pictures";
    for (const [name, address] of run.pictures) {
      const image = createElement("img");
      image.src = address;
      image.alt = name;
      row.append(createElement("figure", "", image, createElement("figcaption", name)));
    }
    return createElement("details", "", createElement("summary", "pictures"), row);
  }
  function openRun(boardNumber, rowNumber) {
    const board = boards[boardNumber], row = board.rows[rowNumber], body = byId("run-body");
    byId("run-title").textContent = row.label;
    body.replaceChildren(createElement("p", board.title));
    row.runs.forEach((runIndex, i) => {
      const run = data.runs[runIndex], whole = createElement("details", "", createElement("summary", `seed ${run.seed}`), runFacts(run));
      whole.className = "run";
      whole.open = i === 0;
      if (run.curves) whole.append(drawCurves(run));
      if (run.pictures) whole.append(drawPictures(run));
      whole.append(jsonDetails("selection", data.shared_values[run.selection]));
      for (const [name, index] of Object.entries(run.shared)) whole.append(jsonDetails(name, data.shared_values[index]));
      if (run.details) whole.append(jsonDetails("details", run.details));
      body.append(whole);
    });
    byId("run").showModal();
    body.scrollTop = 0;
  }

  // ---- theme and wiring ----------------------------------------------------------------------------------------
  const themes = ["system", "light", "dark"];
  byId("theme").addEventListener("click", () => {
    const root = document.documentElement, next = themes[(themes.indexOf(root.dataset.theme || "system") + 1) % 3];
    if (next === "system") delete root.dataset.theme; else root.dataset.theme = next;
    byId("theme").textContent = `Theme: ${next}`;
    if (boards.length) drawPlot();
  });
  // plots have their colors as values, so they are drawn again when the theme changes
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => boards.length && drawPlot());
  // one listener for all tables: rows move when a table is sorted
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.classList.contains("sort")) sortTable(button);
    if (button.classList.contains("open")) openRun(Number(button.dataset.board), Number(button.dataset.row));
  });
  byId("close").addEventListener("click", () => byId("run").close());
  // a click on the backdrop has the dialog itself as its target
  byId("run").addEventListener("click", (event) => event.target === byId("run") && byId("run").close());
  byId("filters").addEventListener("input", applyFilters);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  applyFilters();
  if (boards.length) {
    // start with the board that has the most rows among those with a front
    const most = Math.max(...boards.map((board) => board.fronts.length && board.rows.length));
    byId("plot-board").value = String(Math.max(0, boards.findIndex((board) => board.fronts.length && board.rows.length === most)));
    byId("plot-board").addEventListener("input", () => { fillCostOptions(); drawPlot(); });
    byId("plot-cost").addEventListener("input", drawPlot);
    fillCostOptions();
    drawPlot();
  } else {
    byId("pareto").hidden = true;
  }
})();
