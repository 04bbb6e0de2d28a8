/* Make the headers of each table of a run buttons that sort it. Without this script the table is read as it stands. */
for (const table of document.querySelectorAll("table.sortable:not([data-ready])")) {
  table.dataset.ready = "yes";
  const body = table.tBodies[0], headers = [...table.tHead.rows[0].cells];
  headers.forEach((header, column) => {
    const button = document.createElement("button"), arrow = document.createElement("span");
    arrow.setAttribute("aria-hidden", "true");
    button.type = "button";
    button.style.cssText = "background: none; border: 0; padding: 0; font: inherit; color: inherit; cursor: pointer";
    button.append(...header.childNodes, arrow);
    header.append(button);
    const numeric = header.classList.contains("number");
    const text = row => row.cells[column].textContent.trim();
    const number = row => parseFloat(text(row).replaceAll(",", ""));
    button.addEventListener("click", () => {
      const sign = header.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      for (const other of headers) {
        other.removeAttribute("aria-sort");
        other.querySelector("button > span").textContent = "";
      }
      header.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      arrow.textContent = sign > 0 ? " ↑" : " ↓";
      body.append(...[...body.rows].sort((first, second) => {
        if (!numeric) return sign * text(first).localeCompare(text(second));
        const [one, other] = [number(first), number(second)];
        return isNaN(one) || isNaN(other) ? isNaN(one) - isNaN(other) : sign * (one - other);
      }));
    });
  });
}
