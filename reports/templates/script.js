"use strict";
// The page works without this: the claims stand in a table, a number's link leads to its experiment's trials.
(() => {
  const table = document.getElementById("overview");
  const filters = document.querySelector("form.filters");

  const claims = () => [...table.querySelectorAll("tr.claim")];

  function filter() {
    const verdicts = new Set([...filters.querySelectorAll("[name=verdict]:checked")].map((box) => box.value));
    const paper = filters.elements.paper.value;
    const words = filters.elements.words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const body of table.tBodies) {
      let own = 0;
      for (const row of body.querySelectorAll("tr.claim")) {
        const wanted = verdicts.has(row.dataset.verdict) && (!paper || body.dataset.paper === paper)
          && words.every((word) => row.dataset.words.includes(word));
        row.hidden = !wanted;
        own += wanted;
      }
      body.hidden = !own;
      shown += own;
    }
    const all = claims().length;
    document.getElementById("shown").textContent = shown === all ? `${all} claims` : `${shown} of ${all} claims`;
  }

  // Within each paper: numbers by size with what has none last, words by the alphabet.
  function sort(button) {
    const key = button.dataset.sort;
    const heading = button.closest("th");
    const upwards = heading.getAttribute("aria-sort") !== "ascending";
    for (const other of table.tHead.querySelectorAll("th")) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", upwards ? "ascending" : "descending");
    const numeric = ["order", "n", "effect"].includes(key);
    for (const body of table.tBodies) {
      const rows = [...body.querySelectorAll("tr.claim")];
      rows.sort((one, other) => {
        const [a, b] = [one.dataset[key], other.dataset[key]];
        if (a === "" || b === "") return (a === "") - (b === "");
        const order = numeric ? Number(a) - Number(b) : a.localeCompare(b, "en", { numeric: true });
        return upwards ? order : -order;
      });
      body.append(...rows);
    }
  }

  if (table) {
    filters.addEventListener("input", filter);
    filters.addEventListener("submit", (event) => event.preventDefault());
    for (const button of table.querySelectorAll("button[data-sort]")) button.addEventListener("click", () => sort(button));
    // A browser that comes back to the page may have kept what was chosen.
    filter();
  }

  // What a link leads to may lie in parts that are folded up.
  function unfold() {
    let target = null;
    try { target = document.getElementById(decodeURIComponent(location.hash.slice(1))); } catch { return; }
    for (let part = target; part; part = part.parentElement) if (part.tagName === "DETAILS") part.open = true;
    if (target) target.scrollIntoView();
  }
  addEventListener("hashchange", unfold);
  if (location.hash) unfold();

  // The trials behind a number: the rows of the experiment's trials that its link names, such as 0-7,9,20-80/10.
  const dialog = document.getElementById("trials-dialog");
  const LONGEST = 500;
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-trials]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || !dialog.showModal) return;
    const list = document.getElementById(link.getAttribute("href").slice(1));
    if (!list) return;
    event.preventDefault();
    const rows = list.querySelectorAll("tbody tr");
    const numbers = link.dataset.trials.split(",").flatMap((run) => {
      const [, first, last = first, step = 1] = run.match(/^(\d+)(?:-(\d+))?(?:\/(\d+))?$/).map((part) => part && Number(part));
      return Array.from({ length: Math.floor((last - first) / step) + 1 }, (_, place) => first + place * step);
    });
    document.getElementById("trials-dialog-title").textContent =
      `${link.textContent.trim()}: ${numbers.length} ${numbers.length === 1 ? "trial" : "trials"}`;
    document.getElementById("trials-dialog-note").textContent = numbers.length > LONGEST
      ? `The first ${LONGEST} of them; all stand under “The trials behind it”.` : "";
    document.getElementById("trials-dialog-head").replaceChildren(list.querySelector("thead tr").cloneNode(true));
    document.getElementById("trials-dialog-rows").replaceChildren(
      ...numbers.slice(0, LONGEST).map((number) => rows[number]).filter(Boolean).map((row) => row.cloneNode(true)));
    dialog.showModal();
  });

  // On paper nothing can be unfolded. The trials stay folded: they are thousands.
  const opened = [];
  addEventListener("beforeprint", () => {
    for (const part of document.querySelectorAll("details:not([open], [id^='trials-'], .numbers)")) {
      part.open = true;
      opened.push(part);
    }
  });
  addEventListener("afterprint", () => { for (const part of opened.splice(0)) part.open = false; });
})();
