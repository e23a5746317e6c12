"use strict";
// The page's script: sorting, filtering, plots and the dialog of a run. Its data are the JSON in the element "data",
// which page/data.py builds. Values from records are not trusted: they enter the document as text (textContent) only,
// and nothing here builds markup from data.
(() => {
  const $ = (id) => document.getElementById(id);
  const data = JSON.parse($("data").textContent);
  const boards = data.boards;

  // ---- sorting -------------------------------------------------------------------------------------------------
  // The server writes the sort value of every cell into data-sort; it is empty if the cell has no value.
  const key = (row, column) => row.children[column].dataset.sort;
  function compare(a, b) { // as numbers if both are numbers, else as text in which "b10" comes after "b9"
    const x = Number(a), y = Number(b);
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, "en", { numeric: true }) : x - y;
  }
  function sortBy(button) {
    const head = button.parentElement, table = head.closest("table"), body = table.tBodies[0];
    const column = [...head.parentElement.children].indexOf(head);
    const up = head.getAttribute("aria-sort") !== "ascending";
    for (const other of head.parentElement.children) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const rows = [...body.rows].map((row) => [key(row, column), row]);
    rows.sort(([a], [b]) => {
      if (a === "" || b === "") return (a === "") - (b === ""); // rows without a value come last in both directions
      return up ? compare(a, b) : compare(b, a);
    });
    // appending a row that is already in the table moves it; sort() is stable, so equal rows keep their order
    body.append(...rows.map(([, row]) => row));
  }

  // ---- filtering -----------------------------------------------------------------------------------------------
  // Hides rows only, so that ranks, ties and notes stay those of the entire board.
  function filter() {
    const word = $("search").value.trim().toLowerCase(), task = $("task").value, tier = $("tier").value;
    const front = $("rows").value;
    let shownBoards = 0, shownRows = 0;
    for (const board of document.querySelectorAll(".board")) {
      let inside = 0;
      const wanted = (!task || board.dataset.task === task) && (!tier || board.dataset.tier === tier);
      for (const row of board.querySelectorAll("tbody tr")) {
        const there = wanted && row.dataset.name.toLowerCase().includes(word) &&
          (!front || row.dataset.fronts.split(" ").includes(front));
        row.hidden = !there;
        inside += there;
      }
      board.hidden = inside === 0;
      shownBoards += inside > 0;
      shownRows += inside;
    }
    for (const row of document.querySelectorAll("#overview tbody tr")) {
      row.hidden = !row.dataset.name.toLowerCase().includes(word);
    }
    $("count").textContent = `${shownRows} rows on ${shownBoards} boards`;
  }

  // ---- plots ---------------------------------------------------------------------------------------------------
  const css = (name) => {
    const probe = document.createElement("span"); // the browser resolves light-dark() to one color; Plotly cannot
    probe.style.color = `var(${name})`;
    document.body.append(probe);
    const color = getComputedStyle(probe).color;
    probe.remove();
    return color;
  };
  const settings = {
    displaylogo: false, responsive: true, displayModeBar: true,
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
  };
  function layout(x, y, logarithmic) {
    const axis = { gridcolor: css("--line"), zerolinecolor: css("--line"), automargin: true };
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: css("--text") },
      margin: { l: 60, r: 20, t: 36, b: 60 }, hovermode: "closest",
      modebar: { bgcolor: "rgba(0,0,0,0)", color: css("--quiet"), activecolor: css("--accent") },
      legend: { orientation: "h", y: 1.02, yanchor: "bottom" },
      xaxis: { ...axis, title: { text: x }, ...(logarithmic ? { type: "log", tickformat: "~s", dtick: "D2" } : { type: "linear" }) },
      yaxis: { ...axis, title: { text: y } },
    };
  }
  const escape = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;"); // Plotly interprets some HTML tags in texts
  const hover = (row, name, unit, value) =>
    `${escape(row.label)}<br>${row.score.toFixed(2)} ${escape(unit)}<br>${name}: ${format(value)}`;
  function format(value) {
    for (const [size, unit] of [[1e9, " G"], [1e6, " M"], [1e3, " k"]]) {
      if (value >= size) return (value / size).toPrecision(3) + unit;
    }
    return value < 100 ? value.toPrecision(3) : value.toFixed(0);
  }
  // Offers the costs that were measured on the chosen board, and keeps the choice if the new board has it as well.
  function fillCosts() {
    const fronts = boards[$("plot-board").value].fronts, select = $("plot-cost"), before = select.value;
    select.replaceChildren(...fronts.map((front) => {
      const option = document.createElement("option");
      option.textContent = data.costs[front.cost] + (front.where ? ` on ${front.where}` : "");
      option.value = front.cost + "\n" + front.where; // plot() splits it at the line break
      return option;
    }));
    if (fronts.some((front) => front.cost + "\n" + front.where === before)) select.value = before;
    select.disabled = fronts.length === 0;
  }
  // Builds a Plotly trace of the rows with these indices; customdata leads from a clicked point back to its row.
  function trace(name, numbers, board, front, color, symbol) {
    const rows = numbers.map((number) => board.rows[number]);
    return {
      name, mode: "markers", type: "scatter", customdata: numbers,
      x: rows.map((row) => row[front.cost]), y: rows.map((row) => row.score),
      marker: { color, symbol, size: 10, line: { width: 1, color: css("--back") } },
      text: rows.map((row) => hover(row, escape(data.costs[front.cost]), board.unit, row[front.cost])), hoverinfo: "text",
    };
  }
  function plot() {
    const number = $("plot-board").value, board = boards[number];
    const [cost, where] = $("plot-cost").value.split("\n");
    const front = board.fronts.find((each) => each.cost === cost && each.where === where);
    if (!front) {
      Plotly.purge($("plot"));
      $("plot").hidden = true;
      $("plot-text").textContent = "No cost was measured for the rows of this board.";
      return;
    }
    $("plot").hidden = false;
    // indices of the rows with this cost; latencies of another timing setup are not comparable and are left out
    const there = board.rows.map((row, i) => i)
      .filter((i) => board.rows[i][cost] !== null && (cost !== "latency" || board.rows[i].where === where));
    const best = new Set(front.rows), floor = there.filter((i) => board.rows[i].floor && !best.has(i));
    const rest = there.filter((i) => !best.has(i) && !board.rows[i].floor);
    const values = there.map((i) => board.rows[i][cost]);
    // The front is a staircase: between two of its rows, the cheaper one is the best that a budget can buy.
    const steps = {
      name: "front", mode: "lines", x: front.rows.map((i) => board.rows[i][cost]), y: front.rows.map((i) => board.rows[i].score),
      line: { shape: "hv", color: css("--accent"), width: 2, dash: "dot" }, hoverinfo: "skip", showlegend: false,
    };
    const ranges = there.filter((i) => board.rows[i].interval); // a trace of its own instead of error bars: an interval need not contain its score
    const intervals = {
      name: "interval", mode: "lines", line: { color: css("--quiet"), width: 1 }, hoverinfo: "skip", showlegend: false,
      x: ranges.flatMap((i) => [board.rows[i][cost], board.rows[i][cost], null]),
      y: ranges.flatMap((i) => [...board.rows[i].interval, null]),
    };
    const traces = [
      intervals, steps, trace("on the front", front.rows, board, front, css("--accent"), "diamond"),
      trace("others", rest, board, front, css("--quiet"), "circle"), trace("floor", floor, board, front, css("--outside"), "x"),
    ].filter((each) => each.x.length);
    const apart = Math.max(...values) / Math.min(...values) > 20;
    // logarithmic axis if the costs span more than a factor of 20
    const frame = layout(escape($("plot-cost").selectedOptions[0].textContent), escape(`${board.metric} (${board.unit})`), apart);
    // with a single cost value, Plotly's automatic range would not be centered on it
    if (new Set(values).size === 1) frame.xaxis.range = [0.9 * values[0], 1.1 * values[0]];
    Plotly.react($("plot"), traces, frame, settings).then(() => {
      $("plot").removeAllListeners("plotly_click");
      $("plot").on("plotly_click", (event) => openRun(Number(number), event.points[0].customdata));
    });
    const text = `Front ${front.text}.`;
    $("plot-text").textContent = text;
    $("plot").setAttribute("aria-label", `${board.title}. ${text}`);
  }

  // ---- a run ---------------------------------------------------------------------------------------------------
  function element(tag, text, ...children) {
    const made = document.createElement(tag);
    if (text) made.textContent = text;
    made.append(...children);
    return made;
  }
  const seconds = (value) => value < 120 ? `${value} s` : value < 7200 ? `${(value / 60).toFixed(1)} min` : `${(value / 3600).toFixed(1)} h`;
  function facts(run) {
    const list = element("dl"), [commit, dirty] = data.pool[run.source];
    const lines = {
      "run": run.id, "folder": run.folder,
      ...Object.fromEntries(Object.entries(run.metrics).map(([name, value]) => [name, String(value)])),
      "items": String(run.items), "started": run.started.replace("T", " ") + " UTC", "finished": run.finished.replace("T", " ") + " UTC",
      "time": Object.entries(run.seconds).map(([name, value]) => `${name} ${seconds(value)}`).join(", ") || "not measured",
      "peak memory": run.memory === null ? "not measured" : `${run.memory} MiB`,
      "source": commit ? commit.slice(0, 12) + (dirty ? ", with uncommitted changes" : "") : "not in a git checkout",
      "command": data.pool[run.command].join(" "),
    };
    for (const [name, value] of Object.entries(lines)) list.append(element("dt", name), element("dd", value));
    return list;
  }
  function block(name, value, open = false) {
    const details = element("details", "", element("summary", name), element("pre", JSON.stringify(value, null, 1)));
    details.open = open;
    return details;
  }
  function drawCurves(run) {
    const holder = element("details", "", element("summary", "curves"));
    // drawn only when it is opened for the first time: dozens of plots would make the dialog slow
    holder.addEventListener("toggle", () => {
      if (!holder.open || holder.querySelector(".curve")) return;
      for (const curve of run.curves) {
        const home = element("div");
        home.className = "curve";
        home.setAttribute("role", "img");
        home.setAttribute("aria-label", `${curve.name} by ${curve.x_unit}, ends at ${curve.y[curve.y.length - 1]}`);
        holder.append(home);
        const line = { x: curve.x, y: curve.y, mode: curve.x.length > 1 ? "lines" : "markers", line: { color: css("--accent") } };
        const frame = layout(curve.x_unit, escape(curve.name), false);
        if (curve.x_unit === "validation") frame.xaxis.dtick = Math.max(1, Math.ceil(curve.x.length / 10));
        Plotly.newPlot(home, [line], frame, { displayModeBar: false, responsive: true });
      }
    });
    return holder;
  }
  function drawPictures(run) {
    const row = element("div");
    row.className = "pictures";
    for (const [name, address] of run.pictures) {
      const image = element("img");
      image.src = address;
      image.alt = name;
      row.append(element("figure", "", image, element("figcaption", name)));
    }
    return element("details", "", element("summary", "pictures"), row);
  }
  function openRun(boardNumber, rowNumber) {
    const board = boards[boardNumber], row = board.rows[rowNumber], body = $("run-body");
    $("run-title").textContent = row.label;
    body.replaceChildren(element("p", board.title));
    row.runs.forEach((place, i) => {
      const run = data.runs[place], whole = element("details", "", element("summary", `seed ${run.seed}`), facts(run));
      whole.className = "run";
      whole.open = i === 0;
      if (run.curves) whole.append(drawCurves(run));
      if (run.pictures) whole.append(drawPictures(run));
      whole.append(block("selection", data.pool[run.selection]));
      for (const [name, where] of Object.entries(run.shared)) whole.append(block(name, data.pool[where]));
      if (run.details) whole.append(block("details", run.details));
      body.append(whole);
    });
    $("run").showModal();
    body.scrollTop = 0;
  }

  // ---- theme and wiring ----------------------------------------------------------------------------------------
  const themes = ["system", "light", "dark"];
  $("theme").addEventListener("click", () => {
    const root = document.documentElement, next = themes[(themes.indexOf(root.dataset.theme || "system") + 1) % 3];
    if (next === "system") delete root.dataset.theme; else root.dataset.theme = next;
    $("theme").textContent = `Theme: ${next}`;
    if (boards.length) plot();
  });
  // plots have their colors as values, so they are drawn again when the theme changes
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => boards.length && plot());
  // one listener for all tables: rows move when a table is sorted
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.classList.contains("sort")) sortBy(button);
    if (button.classList.contains("open")) openRun(Number(button.dataset.board), Number(button.dataset.row));
  });
  $("close").addEventListener("click", () => $("run").close());
  // a click on the backdrop has the dialog itself as its target
  $("run").addEventListener("click", (event) => event.target === $("run") && $("run").close());
  $("filters").addEventListener("input", filter);
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  filter();
  if (boards.length) {
    // start with the board that has the most rows among those with a front
    const most = Math.max(...boards.map((board) => board.fronts.length && board.rows.length));
    $("plot-board").value = String(Math.max(0, boards.findIndex((board) => board.fronts.length && board.rows.length === most)));
    $("plot-board").addEventListener("input", () => { fillCosts(); plot(); });
    $("plot-cost").addEventListener("input", plot);
    fillCosts();
    plot();
  } else {
    $("pareto").hidden = true;
  }
})();
