(() => {
  // Hints: what `title` says, at once, by pointer or keyboard. Without this script the browser shows titles itself.
  const hint = document.createElement("div");
  hint.className = "hint";
  hint.hidden = true;
  hint.setAttribute("role", "status");
  document.body.append(hint);
  for (const one of document.querySelectorAll("svg>title")) {
    one.parentNode.setAttribute("aria-label", one.textContent);
    one.remove();
  }
  const words = (element) => {
    const child = element.querySelector(":scope>title");
    const text = element.dataset.hint || (child ? child.textContent : element.getAttribute("title"));
    if (!text) return null;
    if (child) child.remove();
    element.removeAttribute("title");
    element.dataset.hint = text;
    return text;
  };
  const show = (element) => {
    const text = words(element);
    if (!text) return;
    hint.textContent = text;
    hint.hidden = false;
    const at = element.getBoundingClientRect();
    const left = Math.min(Math.max(8, at.left + at.width / 2 - hint.offsetWidth / 2), innerWidth - hint.offsetWidth - 8);
    const above = at.top - hint.offsetHeight - 8;
    hint.style.left = left + "px";
    hint.style.top = (above > 4 ? above : at.bottom + 8) + "px";
  };
  const hide = () => { hint.hidden = true; };
  const hinted = "[title],[data-hint],svg circle,svg path,svg rect";
  document.addEventListener("pointerover", (event) => {
    const found = event.target.closest && event.target.closest(hinted);
    if (found) show(found); else hide();
  });
  document.addEventListener("focusin", (event) => { if (event.target.matches(hinted)) show(event.target); else hide(); });
  document.addEventListener("scroll", hide, true);
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });

  // Grids: one stop of the tab key, then arrow keys from cell to cell.
  for (const table of document.querySelectorAll("table[data-grid]")) {
    const grid = () => [...table.tBodies].flatMap((body) => [...body.rows]).map((row) => [...row.querySelectorAll("td")])
      .filter((row) => row.length);
    const first = table.querySelector("tbody td");
    if (!first) continue;
    first.tabIndex = 0;
    table.addEventListener("keydown", (event) => {
      const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      const rows = grid();
      const y = rows.findIndex((row) => row.includes(event.target));
      if (!move || y < 0) return;
      const to = (rows[y + move[0]] || [])[rows[y].indexOf(event.target) + move[1]];
      if (!to) return;
      event.preventDefault();
      event.target.tabIndex = -1;
      to.tabIndex = 0;
      to.focus();
    });
  }

  // Headings of long tables sort their column: first falling, then rising.
  for (const table of document.querySelectorAll("table.dense")) {
    const body = table.tBodies[table.tBodies.length - 1];
    const heads = [...table.tHead.rows[0].cells];
    if (table.tBodies.length > 2) continue;
    heads.forEach((head, column) => {
      const sort = () => {
        const sign = head.getAttribute("aria-sort") === "descending" ? 1 : -1;
        const value = (row) => {
          const text = row.cells[column].textContent.replace("\u2212", "-");
          return column ? parseFloat(text) : text;
        };
        const compare = (one, other) => {
          const [a, b] = [value(one), value(other)];
          if (typeof a === "string") return -sign * a.localeCompare(b);
          if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
          return sign * (a - b);
        };
        body.append(...[...body.rows].sort(compare));
        heads.forEach((one) => one.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", sign < 0 ? "descending" : "ascending");
      };
      head.tabIndex = 0;
      head.classList.add("sorts");
      head.addEventListener("click", sort);
      head.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(); });
    });
  }
})();
