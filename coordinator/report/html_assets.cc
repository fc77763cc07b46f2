#include "coordinator/report/html_assets.h"

#include <string>

#include "absl/strings/escaping.h"
#include "engine/base/sha256.h"

namespace unsprawl {

const std::string_view kReportStyle = R"css(
:root {
  color-scheme: light dark;
  --page: #f5f6f8; --card: #ffffff; --ink: #1b2330; --soft: #566175; --line: #dfe3ea;
  --accent: #2f5bd7; --hover: #eef2fb; --track: #e7eaf0;
  --critical: #a3103a; --high: #b8430b; --medium: #8a5a00; --low: #4d6175;
  --critical-tint: #fbe6ec; --high-tint: #fdeadf; --medium-tint: #fbf0d6; --low-tint: #e8edf2;
  --good: #17663a; --good-tint: #e4f4ea; --bad: #ffffff; --bad-fill: #a3103a;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #12161d; --card: #1a2029; --ink: #e6eaf0; --soft: #a0abbd; --line: #2d3542;
    --accent: #8fb0ff; --hover: #222a36; --track: #2a3240;
    --critical: #ff8aa6; --high: #ffa473; --medium: #f0c060; --low: #a9b9ca;
    --critical-tint: #46172a; --high-tint: #45260f; --medium-tint: #3b2f10; --low-tint: #27313d;
    --good: #7ddba3; --good-tint: #14301f; --bad: #ffffff; --bad-fill: #8c1035;
  }
}
* { box-sizing: border-box; }
html { scroll-behavior: smooth; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans",
        "DejaVu Sans", sans-serif;
}
main, header, footer { max-width: 76rem; margin: 0 auto; padding: 0 1.5rem; }
header { padding-top: 2rem; display: flex; flex-wrap: wrap; align-items: baseline; gap: .25rem 1rem; }
h1 { font-size: 1.6rem; margin: 0; letter-spacing: -.02em; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .25rem; letter-spacing: -.01em; }
h3 { font-size: .95rem; margin: 1rem 0 .25rem; }
p { margin: .25rem 0; }
.soft, footer { color: var(--soft); }
footer { font-size: .875rem; padding-top: 2rem; padding-bottom: 3rem; }
nav { margin-left: auto; font-size: .9rem; }
nav a { margin-left: 1rem; }
a { color: var(--accent); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; border-radius: 4px; }
code, .mono {
  font: .9em/1.45 ui-monospace, "SF Mono", "Cascadia Mono", "Liberation Mono", "DejaVu Sans Mono",
        monospace;
}
code, .name { unicode-bidi: isolate; overflow-wrap: anywhere; }
.skip { position: absolute; left: -100rem; }
.skip:focus { left: 1rem; top: 1rem; background: var(--card); padding: .5rem 1rem; }
.panel {
  background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 1rem 1.25rem;
}
.banner { margin-top: 1.25rem; border-left: 6px solid var(--good); }
.banner h2 { margin: 0; }
.banner.partial { border-left-color: var(--bad-fill); padding: 0; overflow: hidden; }
.banner.partial .head { background: var(--bad-fill); color: var(--bad); padding: .9rem 1.25rem; }
.banner.partial .body { padding: .75rem 1.25rem 1rem; }
.good { color: var(--good); }
.facts { display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; margin: .5rem 0 0; padding: 0; }
.facts div { display: flex; gap: .4rem; }
.facts dt { color: var(--soft); }
.facts dd { margin: 0; font-variant-numeric: tabular-nums; }
.plain { margin: .5rem 0 0; padding-left: 1.2rem; }
.cards {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(10.5rem, 1fr)); gap: .9rem;
  margin: 1.25rem 0 0; padding: 0; list-style: none;
}
.cards .value {
  display: block; font-size: 2rem; line-height: 1.2; font-weight: 650; letter-spacing: -.03em;
  font-variant-numeric: tabular-nums;
}
.cards .value.date { font-size: 1.3rem; line-height: 1.85; white-space: nowrap; }
.cards .label { display: block; font-weight: 600; }
.cards .soft { display: block; font-size: .875rem; overflow-wrap: anywhere; }
.levels { margin-top: .9rem; }
.levels svg { display: block; width: 100%; height: 12px; border-radius: 6px; }
.levels ul { display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; list-style: none; margin: .6rem 0 0; padding: 0; }
.dot { display: inline-block; width: .7em; height: .7em; border-radius: 50%; margin-right: .4em; }
.critical .dot { background: var(--critical); } .high .dot { background: var(--high); }
.medium .dot { background: var(--medium); } .low .dot { background: var(--low); }
rect.critical { fill: var(--critical); } rect.high { fill: var(--high); }
rect.medium { fill: var(--medium); } rect.low { fill: var(--low); }
rect.track { fill: var(--track); } rect.fill { fill: var(--accent); }
.badge {
  display: inline-block; min-width: 4.6rem; text-align: center; font-size: .8rem; font-weight: 650;
  border-radius: 999px; padding: .1rem .6rem;
}
.badge.critical { color: var(--critical); background: var(--critical-tint); }
.badge.high { color: var(--high); background: var(--high-tint); }
.badge.medium { color: var(--medium); background: var(--medium-tint); }
.badge.low { color: var(--low); background: var(--low-tint); }
.chip {
  display: inline-block; font-size: .8rem; border: 1px solid var(--line); border-radius: 999px;
  padding: .05rem .6rem; white-space: nowrap;
}
.chip.change { border-color: var(--accent); color: var(--accent); font-weight: 650; }
.chip.now { border-color: var(--critical); color: var(--critical); }
.scroll { overflow-x: auto; margin-top: .75rem; padding: 0; }
table { border-collapse: collapse; width: 100%; font-size: .925rem; }
th, td { text-align: left; padding: .5rem .75rem; vertical-align: top; border-bottom: 1px solid var(--line); }
tbody tr:last-child td { border-bottom: 0; }
th { font-size: .825rem; color: var(--soft); font-weight: 600; white-space: nowrap; }
th.n, td.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
th:first-child, td:first-child { min-width: 10rem; }
td.bar { width: 16%; min-width: 5rem; vertical-align: middle; }
td.bar svg { display: block; width: 100%; height: 8px; border-radius: 4px; }
th button {
  font: inherit; color: inherit; background: none; border: 0; padding: 0; cursor: pointer;
}
th button::after { content: " ↕"; opacity: .45; }
th[aria-sort=ascending] button::after { content: " ↑"; opacity: 1; }
th[aria-sort=descending] button::after { content: " ↓"; opacity: 1; }
.tools { display: flex; flex-wrap: wrap; gap: .75rem; align-items: end; margin: .75rem 0; }
.tools[hidden] { display: none; }
.tools label { display: block; font-size: .825rem; color: var(--soft); }
.tools input, .tools select {
  display: block; font: inherit; color: var(--ink); background: var(--card);
  border: 1px solid var(--line); border-radius: 8px; padding: .4rem .6rem; max-width: 100%;
}
.tools input { width: 20rem; }
.tools output { margin-left: auto; color: var(--soft); font-size: .9rem; }
.incident { padding: 0; margin-top: .6rem; content-visibility: auto; contain-intrinsic-size: auto 5rem; }
.incident summary {
  cursor: pointer; list-style: none; padding: .8rem 1.25rem; border-radius: 12px;
  display: grid; grid-template-columns: 6rem minmax(0, 1fr) auto; gap: .25rem .9rem;
}
.incident summary::-webkit-details-marker { display: none; }
.incident summary:hover { background: var(--hover); }
.incident .what { font-weight: 600; overflow-wrap: anywhere; }
.incident .where { grid-column: 2; overflow-wrap: anywhere; }
.incident .when { text-align: right; font-size: .875rem; color: var(--soft); white-space: nowrap; }
.incident .detail { padding: 0 1.25rem 1rem; border-top: 1px solid var(--line); }
.incident .facts { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .15rem 1rem; font-size: .925rem; }
.incident .facts div { display: contents; }
.incident .facts dd { overflow-wrap: anywhere; }
.incident .detail .scroll { border: 1px solid var(--line); border-radius: 8px; }
.incident:target { border-color: var(--accent); box-shadow: 0 0 0 2px var(--accent); }
@media (max-width: 46rem) {
  main, header, footer { padding-left: 1rem; padding-right: 1rem; }
  nav { margin-left: 0; } nav a { margin: 0 1rem 0 0; }
  .incident summary { grid-template-columns: minmax(0, 1fr); }
  .incident .where { grid-column: 1; }
  .incident .when { text-align: left; white-space: normal; }
  .tools, .tools label, .tools input, .tools select { width: 100%; }
  .cards { grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); }
}
@media print {
  :root { --page: #fff; --card: #fff; --ink: #000; --soft: #444; --line: #bbb; }
  body { font-size: 10pt; }
  nav, .tools, .skip { display: none; }
  .incident, .cards li, tr { break-inside: avoid; }
  .incident { content-visibility: visible; }
  .badge, .chip, .banner .head, rect, .dot { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  .scroll { overflow: visible; }
}
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
)css";

const std::string_view kReportScript = R"js(
'use strict';
// Sorting: a click on a column's head orders the table by the cells' data-v, or their text.
for (const table of document.querySelectorAll('table.sortable')) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    if (!head.dataset.sort) return;
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener('click', () => {
      const down = head.getAttribute('aria-sort') ?
          head.getAttribute('aria-sort') === 'ascending' : head.dataset.sort === 'number';
      heads.forEach(other => other.removeAttribute('aria-sort'));
      head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
      const value = row => row.cells[column].dataset.v ?? row.cells[column].textContent;
      const order = head.dataset.sort === 'number' ?
          (a, b) => value(a) - value(b) : (a, b) => (value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : 0);
      const rows = [...table.tBodies[0].rows].sort((a, b) => down ? order(b, a) : order(a, b));
      table.tBodies[0].append(...rows);
    });
  });
}
// Filtering and ordering of incidents.
const list = document.getElementById('incident-list');
const tools = document.getElementById('incident-tools');
if (list && tools) {
  tools.hidden = false;
  const incidents = [...list.children];
  const texts = incidents.map(incident => incident.textContent.toLowerCase());
  const field = name => tools.querySelector('[name=' + name + ']');
  const show = () => {
    const words = field('text').value.toLowerCase().split(/\s+/).filter(Boolean);
    const severity = field('severity').value;
    const presence = field('presence').value;
    let shown = 0;
    incidents.forEach((incident, i) => {
      const fits = (!severity || incident.dataset.severity === severity) &&
          (!presence || incident.dataset.presence === presence) &&
          words.every(word => texts[i].includes(word));
      incident.hidden = !fits;
      shown += fits;
    });
    tools.querySelector('output').textContent = shown + ' of ' + incidents.length + ' shown';
  };
  const arrange = () => {
    const key = field('order').value;
    const number = incident => Number(incident.dataset[key]);
    const up = key === 'rank' || key === 'since';
    list.append(...[...incidents].sort((a, b) => up ? number(a) - number(b) : number(b) - number(a)));
  };
  for (const name of ['text', 'severity', 'presence']) field(name).addEventListener('input', show);
  field('order').addEventListener('input', arrange);
  show();
}
// A link to an incident opens it; printing opens all that are shown.
const openTarget = () => {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (target && target.tagName === 'DETAILS') target.open = true;
};
addEventListener('hashchange', openTarget);
openTarget();
addEventListener('beforeprint', () => {
  for (const incident of document.querySelectorAll('details.incident:not([hidden])')) incident.open = true;
});
)js";

std::string CspHash(std::string_view text) {
  const std::string digest = Sha256(text);
  return "sha256-" + std::string(absl::Base64Escape({digest.data(), digest.size()}));
}

}  // namespace unsprawl
