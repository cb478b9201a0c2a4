"use strict";
// Draws the charts, and ties the chosen trial, the table of trials and the copy button together. No host is asked.
const page = JSON.parse(document.getElementById("page-data").textContent);
const picker = document.getElementById("picker");
const table = document.getElementById("trials");
const rows = table ? [...table.tBodies[0].rows] : [];
const views = {};

async function draw(name, spec) {
  if (spec.data.name === "curves") spec.data = { values: page.curves, format: spec.data.format };
  const options = { mode: "vega-lite", actions: false, renderer: "svg", config: page.config };
  views[name] = (await vegaEmbed(document.getElementById(`chart-${name}`), spec, options)).view;
}

function choose(trial) {
  for (const name of ["front", "trial-loss", "trial-efficiency"]) views[name]?.signal("chosen", trial).runAsync();
  picker.value = trial;
  const facts = document.getElementById("chosen");
  facts.replaceChildren();
  for (const row of rows) {
    row.classList.toggle("chosen", row.dataset.trial === trial);
    if (row.dataset.trial !== trial) continue;
    [...row.cells].forEach((cell, column) => {
      const entry = document.createElement("div");
      const [term, value] = [document.createElement("dt"), document.createElement("dd")];
      term.textContent = table.tHead.rows[0].cells[column].textContent.trim();
      value.textContent = cell.textContent.trim();
      entry.append(term, value);
      facts.append(entry);
    });
  }
}

function step(event) {
  const front = page.charts.front.data.values.filter((row) => row.front).sort((a, b) => a.ebops - b.ebops);
  const at = front.findIndex((row) => row.trial === picker.value);
  const to = { ArrowRight: at + 1, ArrowUp: at + 1, ArrowLeft: at - 1, ArrowDown: at - 1, Home: 0, End: front.length - 1 };
  if (!(event.key in to) || !front.length) return;
  event.preventDefault();
  choose(front[Math.min(Math.max(to[event.key], 0), front.length - 1)].trial);
}

function sort(head) {
  const direction = head.getAttribute("aria-sort") === "descending" ? "ascending" : "descending";
  for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", direction);
  const key = (row) => row.cells[head.cellIndex].dataset.value;
  const sign = direction === "ascending" ? 1 : -1;
  const compare = (a, b) => (isNaN(a) || isNaN(b) ? a.localeCompare(b, "en", { numeric: true }) : a - b);
  const sorted = rows.toSorted((a, b) => !key(a) - !key(b) || sign * compare(key(a), key(b))); // what is empty comes last
  table.tBodies[0].append(...sorted);
}

function filter() {
  const wanted = [...document.querySelectorAll(".filters select")].filter((select) => select.value);
  for (const row of rows) {
    row.hidden = wanted.some((select) => row.cells[select.dataset.column].dataset.value !== select.value);
  }
  const shown = rows.filter((row) => !row.hidden).length;
  document.getElementById("count").value = `${shown} of ${rows.length} trials`;
}

async function copy() {
  const command = document.getElementById("command");
  try {
    await navigator.clipboard.writeText(command.textContent);
    document.getElementById("copied").value = "copied";
  } catch {
    getSelection().selectAllChildren(command);
    document.getElementById("copied").value = "selected: copy it with the keyboard";
  }
}

document.getElementById("copy")?.addEventListener("click", copy);
if (table) {
  picker.addEventListener("change", () => choose(picker.value));
  document.getElementById("chart-front").addEventListener("keydown", step);
  for (const head of table.tHead.rows[0].cells) head.firstElementChild.addEventListener("click", () => sort(head));
  for (const row of rows) row.cells[0].firstElementChild.addEventListener("click", () => choose(row.dataset.trial));
  document.querySelector(".filters").addEventListener("change", filter);
  document.querySelector(".filters").addEventListener("reset", () => setTimeout(filter));
}
Promise.all(Object.entries(page.charts).map(([name, spec]) => draw(name, spec))).then(() => {
  views.front?.addEventListener("click", (event, item) => item?.datum?.trial && choose(item.datum.trial));
  if (table) choose(picker.value);
  document.documentElement.dataset.drawn = "true";
});
