"""The style of the audit page: one sheet, for screen and paper, light and dark.

No font, image or sheet from elsewhere.  Colours are named once per scheme; the tests compute the
contrast of every pair that carries text (WCAG 2.2, at least 4.5 to 1).
"""

from __future__ import annotations

from typing import Final

STYLE: Final = """
:root {
  color-scheme: light dark;
  --paper: #fcfbf8; --sheet: #ffffff; --ink: #1c222b; --quiet: #565f6b; --rule: #e4e0d7;
  --tint: #f4f1ea; --agreed: #2f4b73; --worked: #66707d; --deleted: #1f6f78;
  --good: #27644a; --good-tint: #edf4ef; --bad: #9d2f26; --bad-tint: #f9efed;
  --warn: #7a5200; --warn-tint: #f8f2e4; --worked-fill: #a4acb6; --run: #d3d8df;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171b; --sheet: #1a1e23; --ink: #e7e4dd; --quiet: #a5acb6; --rule: #2e343c;
    --tint: #20252b; --agreed: #a3bde2; --worked: #a5acb6; --deleted: #7fc4cb;
    --good: #86c9a5; --good-tint: #1b2922; --bad: #f19c92; --bad-tint: #2e1f1e;
    --warn: #e3bd72; --warn-tint: #2b2519; --worked-fill: #6d7682; --run: #3b434d;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: auto; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans",
    sans-serif;
  font-variant-numeric: tabular-nums;
}
main, header, footer { max-width: 70rem; margin: 0 auto; padding: 0 2rem; }
h1, h2, h3, .answer {
  font-family: ui-serif, "Iowan Old Style", Charter, "Source Serif 4", Georgia, "Noto Serif",
    "DejaVu Serif", serif;
  font-weight: 600; letter-spacing: -0.01em; line-height: 1.25; text-wrap: balance;
}
h1 { font-size: 1.125rem; font-weight: 500; color: var(--quiet); margin: 0; letter-spacing: 0; }
h2 { font-size: 1.5rem; margin: 4.5rem 0 0.5rem; }
h3 { font-size: 1.0625rem; margin: 2.5rem 0 0.25rem; overflow-wrap: anywhere; }
p, li, dd { max-width: 44rem; }
p { margin: 0.5rem 0 1rem; }
h2 + p, .lead { color: var(--quiet); }
a { color: var(--agreed); text-underline-offset: 0.2em; text-decoration-thickness: 1px; }
a:focus-visible, .scroll:focus-visible, summary:focus-visible {
  outline: 2px solid var(--agreed); outline-offset: 3px; border-radius: 2px;
}
code {
  font-family: ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, "DejaVu Sans Mono",
    monospace;
  font-size: 0.8125em; overflow-wrap: anywhere;
}
header { padding-top: 3.5rem; }
.skip { position: absolute; left: -100rem; }
.skip:focus { left: 2rem; top: 1rem; background: var(--sheet); padding: 0.25rem 0.75rem; }

.verdict { margin: 1.25rem 0 0; padding: 2rem 2.25rem 1.75rem; border-radius: 10px;
  border: 1px solid var(--rule); border-left: 6px solid; }
.verdict.pass { border-left-color: var(--good); background: var(--good-tint); }
.verdict.fail { border-left-color: var(--bad); background: var(--bad-tint); }
.verdict .answer { font-size: 2.125rem; margin: 0 0 0.875rem; }
.pass .answer { color: var(--good); }
.fail .answer { color: var(--bad); }
.verdict p { margin: 0.5rem 0; font-size: 1.0625rem; }
.verdict .caution { color: var(--quiet); font-size: 0.9375rem; }

.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr));
  gap: 0; margin: 2rem 0 0; padding: 0; border-top: 1px solid var(--rule); }
.figures div { padding: 1rem 1rem 0.5rem 0; }
.figures dt { color: var(--quiet); font-size: 0.875rem; }
.figures dd { margin: 0; font-size: 1.625rem; line-height: 1.3; }
.figures dd small { display: block; font-size: 0.8125rem; color: var(--quiet); line-height: 1.4; }

figure { margin: 1.5rem 0 0; }
.scroll { overflow-x: auto; }
.picture { display: block; width: 100%; min-width: 46rem; height: auto; }
.picture text { fill: var(--ink); font-size: 13px; }
.picture .quiet, .picture .scale { fill: var(--quiet); }
.picture .scale { font-size: 11px; }
.lane { stroke: var(--rule); stroke-width: 1; }
.tick { stroke: var(--rule); stroke-width: 1; stroke-dasharray: 1 4; }
.agreed { fill: var(--agreed); color: var(--agreed); }
.worked { fill: var(--worked-fill); color: var(--worked-fill); }
.deleted { fill: var(--deleted); color: var(--deleted); }
.released { fill: var(--good); color: var(--good); }
.refused { fill: var(--bad); color: var(--bad); }
.ring { fill: var(--paper); stroke: currentColor; stroke-width: 1.6; }
.stroke, .cross { stroke: currentColor; fill: none; stroke-width: 1.6; stroke-linecap: round; }
.cross { stroke-width: 2.6; }
.inner { fill: none; stroke: var(--paper); stroke-width: 1.7; stroke-linecap: round;
  stroke-linejoin: round; }
.run.open { fill: var(--run); }
.run.released { fill: var(--good); opacity: 0.75; }
.run.refused { fill: var(--bad); opacity: 0.85; }
.flag.violation { fill: var(--bad); stroke: var(--bad); }
.flag.notice { fill: var(--warn); stroke: var(--warn); }
.flag .pole { stroke-width: 1; opacity: 0.6; }
.legend { display: flex; flex-wrap: wrap; gap: 0.25rem 1.5rem; list-style: none; padding: 0;
  margin: 1rem 0 0; font-size: 0.875rem; }
.legend li { display: flex; align-items: center; gap: 0.5rem; }
figcaption p { font-size: 0.875rem; color: var(--quiet); margin: 0.5rem 0 0; }

table { border-collapse: collapse; width: 100%; font-size: 0.9375rem; line-height: 1.45; }
caption { text-align: left; color: var(--quiet); font-size: 0.875rem; padding: 1rem 0 0.5rem; }
th, td { text-align: left; vertical-align: top; padding: 0.5rem 1.25rem 0.5rem 0;
  border-bottom: 1px solid var(--rule); }
thead th { font-weight: 500; color: var(--quiet); font-size: 0.8125rem; white-space: nowrap; }
tbody th { font-weight: 500; }
.n { text-align: right; white-space: nowrap; }
.n:first-child { width: 1%; padding-right: 1.5rem; }
.when { white-space: nowrap; color: var(--quiet); }
tr:target th, tr:target td { background: var(--tint); }
.hash { white-space: nowrap; }
.gap td { color: var(--quiet); font-style: italic; text-align: center; padding: 0.75rem; }
.tag { display: inline-block; white-space: nowrap; font-size: 0.8125rem; line-height: 1.4;
  padding: 0.05rem 0.6rem; border-radius: 1rem; border: 1px solid var(--rule);
  color: var(--quiet); }
.tag.good { color: var(--good); background: var(--good-tint); border-color: transparent; }
.tag.bad { color: var(--bad); background: var(--bad-tint); border-color: transparent; }
.tag.warn { color: var(--warn); background: var(--warn-tint); border-color: transparent; }
.scenario { margin: 2rem 0 0; padding: 0.25rem 1.75rem 1.75rem; border: 1px solid var(--rule);
  border-radius: 10px; background: var(--sheet); }
.scenario h3 { margin-top: 1.25rem; }
.facts { display: grid; grid-template-columns: max-content 1fr; gap: 0.25rem 1.5rem;
  margin: 0.75rem 0 0.5rem; font-size: 0.9375rem; }
.facts dt { color: var(--quiet); }
.facts dd { margin: 0; overflow-wrap: anywhere; }
.plain { padding-left: 1.25rem; }
.plain li { margin: 0.4rem 0; }
.plain.checks { margin: 0; font-size: 0.9375rem; columns: 2; column-gap: 2.5rem; }
.plain.checks li { break-inside: avoid; margin: 0; }
footer { margin-top: 5rem; padding-top: 1.5rem; padding-bottom: 4rem; color: var(--quiet);
  font-size: 0.875rem; }
footer p { border-top: 1px solid var(--rule); padding-top: 1.25rem; max-width: none; }

@media (max-width: 40rem) {
  main, header, footer { padding-left: 1.125rem; padding-right: 1.125rem; }
  header { padding-top: 2rem; }
  .verdict .answer { font-size: 1.625rem; }
  .verdict { padding: 1.25rem 1.25rem 1rem; }
  .scenario { padding: 0.25rem 1.125rem 1.25rem; }
  h2 { margin-top: 3.25rem; }
  .facts { grid-template-columns: 1fr; gap: 0; }
  .facts dd { margin-bottom: 0.5rem; }
  .plain.checks { columns: 1; }
  .figures { grid-template-columns: 1fr 1fr; }
}
@media print {
  @page { size: A4; margin: 18mm 16mm; }
  :root { --paper: #ffffff; --sheet: #ffffff; --ink: #000000; --quiet: #454b53; --rule: #c9c6bf;
    --tint: #ffffff; --agreed: #2f4b73; --worked: #565f6b; --deleted: #1f6f78; --good: #27644a;
    --good-tint: #ffffff; --bad: #9d2f26; --bad-tint: #ffffff; --warn: #7a5200;
    --warn-tint: #ffffff; --worked-fill: #a4acb6; --run: #d3d8df; }
  body { font-size: 10pt; line-height: 1.45; }
  main, header, footer { max-width: none; padding-left: 0; padding-right: 0; }
  header { padding-top: 0; }
  h2 { margin-top: 2.25rem; }
  h2, h3, caption { break-after: avoid; }
  .verdict, figure, tr, .figures { break-inside: avoid; }
  thead { display: table-header-group; }
  .scroll { overflow: visible; }
  .picture { min-width: 0; }
  .scenario { border: 0; padding: 0; }
  .skip { display: none; }
  a { color: inherit; text-decoration: none; }
  rect, path, circle, .tag, .verdict { -webkit-print-color-adjust: exact;
    print-color-adjust: exact; }
}
"""
