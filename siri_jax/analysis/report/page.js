// Tables sort by a click on a head, and are copied as text with tabs.
'use strict';
const text = (row, column) => row.cells[column].textContent.trim();
const compare = (one, other) => {
  const numbers = [one, other].map((t) => parseFloat(t.replaceAll(',', '')));
  if (!numbers.some(Number.isNaN)) return numbers[0] - numbers[1];
  return one.localeCompare(other);
};

function sort(table, head) {
  const down = head.getAttribute('aria-sort') === 'ascending';
  for (const other of head.parentNode.cells) other.removeAttribute('aria-sort');
  head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
  const column = head.cellIndex;
  const rows = [...table.tBodies[0].rows];
  rows.sort((a, b) => (down ? -1 : 1) * compare(text(a, column), text(b, column)));
  table.tBodies[0].append(...rows);
}

function copy(table, button) {
  const lines = [...table.rows].map((row) =>
    [...row.cells].map((cell) => cell.textContent.trim()).join('\t'));
  const area = document.createElement('textarea');
  area.value = lines.join('\n');
  document.body.append(area);
  area.select();
  const done = document.execCommand('copy');  // Also on a page from a file.
  area.remove();
  button.textContent = done ? 'Copied' : 'Not copied';
  button.focus();
}

for (const table of document.querySelectorAll('table')) {
  for (const head of table.tHead.rows[0].cells) {
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = head.textContent;
    button.addEventListener('click', () => sort(table, head));
    head.replaceChildren(button);
  }
  const button = document.createElement('button');
  button.type = 'button';
  button.className = 'copy';
  button.textContent = 'Copy table';
  button.addEventListener('click', () => copy(table, button));
  table.parentNode.after(button);
}
