"""The look of a page: one style sheet, light and dark, screen, phone and paper.

The colours of series are those of Okabe and Ito (2008), told apart by people with any common colour blindness, darkened
for white paper and lightened for a dark screen; marks of different series also differ in shape or dash.
"""

from __future__ import annotations

N_COLOURS = 7
"""How many series colours there are (classes `c1` to `c7`); further series start over."""

CSS = """
:root {
  color-scheme: light dark;
  --paper: #ffffff; --wash: #f5f6f8; --ink: #171c23; --soft: #525d6b; --faint: #79838f; --rule: #e1e5ea;
  --accent: #0b64a0; --on-accent: #ffffff; --tint: #eaf3fa; --bar: #d5e7f4;
  --c1: #0072b2; --c2: #d55e00; --c3: #00835f; --c4: #b4538c; --c5: #b37700; --c6: #3d97cf; --c7: #66707c;
  --good: #0a7348; --good-wash: #e9f6f0; --warning: #8f5200; --warning-wash: #fdf3e3;
  --problem: #b3261e; --problem-wash: #fdecea; --info: #0b64a0; --info-wash: #eaf3fa;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14181d; --wash: #1c2127; --ink: #e8ebef; --soft: #aab4c0; --faint: #8a95a2; --rule: #2c333b;
    --accent: #6ab8ee; --on-accent: #0d1116; --tint: #18293a; --bar: #1f3d55;
    --c1: #58b0ec; --c2: #ff8f52; --c3: #34c79b; --c4: #e396c3; --c5: #f0b53e; --c6: #a3d6f7; --c7: #a0abb7;
    --good: #57d39d; --good-wash: #14281f; --warning: #f1b65c; --warning-wash: #2c2313;
    --problem: #ff9a92; --problem-wash: #321b1a; --info: #6ab8ee; --info-wash: #15242f;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body {
  margin: 0; background: var(--paper); color: var(--ink); line-height: 1.6; font-size: 1rem;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", "PingFang SC",
    "Hiragino Sans GB", "Microsoft YaHei", "Noto Sans CJK SC", "Source Han Sans SC", sans-serif;
  overflow-wrap: break-word;
}
main, .top > *, footer { max-width: 66rem; margin-inline: auto; padding-inline: clamp(1rem, 4vw, 2.5rem); }
.top { border-top: 4px solid var(--accent); padding-top: clamp(1.5rem, 4vw, 3rem); }
h1 { font-size: clamp(1.6rem, 4.5vw, 2.3rem); line-height: 1.2; margin: 0; letter-spacing: -.015em; font-weight: 700; }
.subtitle { color: var(--soft); font-size: 1.08rem; margin-top: .45rem; margin-bottom: 0; }
h2 { font-size: 1.35rem; line-height: 1.3; margin: 0 0 .9rem; letter-spacing: -.01em; font-weight: 650; }
section { padding-top: 2.4rem; }
section + section:has(> h2) { margin-top: 2.4rem; border-top: 1px solid var(--rule); }
section > * { margin-block: 1.1rem; }
section > h2 { margin-block: 0 .9rem; }
nav { margin-top: 1.1rem; font-size: .92rem; }
nav ul { list-style: none; margin: 0; padding: 0; display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; }
a { color: var(--accent); text-decoration-thickness: 1px; text-underline-offset: .2em; }
a:focus-visible, summary:focus-visible, .scroll:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
p { margin: 0; max-width: 46rem; }
p + p { margin-top: .7rem; }
code { font-family: ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, monospace; font-size: .9em;
  background: color-mix(in srgb, var(--ink) 7%, transparent); border-radius: .25em; padding: .08em .3em; }
ul.items { margin: 0; padding-left: 1.2rem; max-width: 46rem; }
ul.items li { margin-block: .3rem; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr)); gap: 1.5rem 2.25rem; }
.columns > * { min-width: 0; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.2rem, 1fr)); gap: .7rem; margin: 0; }
.figures.four { grid-template-columns: repeat(auto-fit, minmax(max(8.2rem, (100% - 2.1rem) / 4), 1fr)); }
.figures > div { background: var(--wash); border-radius: .55rem; padding: .8rem .95rem .75rem; display: flex;
  flex-direction: column; }
.figures dt { order: 2; color: var(--soft); font-size: .84rem; line-height: 1.35; }
.figures dd { margin: 0; font-size: 1.5rem; font-weight: 650; letter-spacing: -.015em; line-height: 1.25;
  white-space: nowrap; font-variant-numeric: tabular-nums; }
.figures .small { order: 3; white-space: normal; color: var(--faint); font-size: .78rem; font-weight: 400;
  letter-spacing: 0; }
.note { border-left: 4px solid var(--tone); background: var(--back); border-radius: 0 .55rem .55rem 0;
  padding: .8rem 1.1rem; --tone: var(--info); --back: var(--info-wash); }
.note .heading { font-weight: 650; color: var(--tone); margin-bottom: .2rem; }
.note.warning { --tone: var(--warning); --back: var(--warning-wash); }
.note.good { --tone: var(--good); --back: var(--good-wash); }
.note.problem { --tone: var(--problem); --back: var(--problem-wash); }
.note p, .note ul { max-width: 54rem; }
.note > * + * { margin-top: .45rem; }
.note.large { padding: 1.1rem 1.4rem; }
.note.large .heading { font-size: 1.2rem; line-height: 1.35; }
details { border: 1px solid var(--rule); border-radius: .55rem; padding: 0 1rem; }
details + details { margin-top: -.45rem; }
summary { cursor: pointer; padding: .65rem 0; font-weight: 550; }
summary::marker { color: var(--faint); }
details[open] { padding-bottom: 1rem; }
details > * + * { margin-top: .8rem; }
.table { margin: 0; }
.table figcaption { color: var(--soft); font-size: .88rem; margin-top: .55rem; max-width: 46rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .93rem; line-height: 1.45;
  font-variant-numeric: tabular-nums; }
th, td { padding: .45rem .8rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--rule); }
thead th { color: var(--soft); font-weight: 600; font-size: .85rem; vertical-align: bottom; white-space: nowrap;
  border-bottom: 2px solid var(--rule); }
tbody th { font-weight: 500; position: sticky; left: 0; background: var(--paper); min-width: 6.5rem; max-width: 22rem; }
th:first-child, td:first-child { padding-left: .35rem; }
.right { text-align: right; white-space: nowrap; }
.centre { text-align: center; }
tr.highlight > * { background: var(--tint); }
tr.highlight > th { font-weight: 650; }
td.bar { background: linear-gradient(to right, var(--bar) var(--part), transparent var(--part)) no-repeat
  0 50% / 100% calc(100% - .4rem); }
tr.highlight > td.bar { background-color: var(--tint); }
.strong { font-weight: 650; }
.nothing { color: var(--faint); }
[title] { text-decoration: none; }
td[title], th[title] { cursor: help; }
.chart { margin: 0; container-type: inline-size; }
.chart > figcaption { font-weight: 600; font-size: .98rem; line-height: 1.35; margin-bottom: .15rem; }
.chart .caption { color: var(--soft); font-size: .86rem; margin-top: .3rem; }
.chart svg { display: none; width: 100%; height: auto; overflow: visible; font-size: 12px; }
.chart svg.small { max-width: 480px; } .chart svg.medium { max-width: 760px; display: block; }
@container (max-width: 459px) { .chart svg.medium { display: none; } .chart svg.small { display: block; } }
@container (min-width: 761px) { .chart svg.medium { display: none; } .chart svg.large { display: block; } }
svg text { fill: var(--soft); font-family: inherit; font-variant-numeric: tabular-nums; }
svg text.ink { fill: var(--ink); } svg text.on { fill: var(--on-accent); } svg text.faint { fill: var(--faint); }
svg .halo { stroke: var(--paper); stroke-width: 3px; stroke-linejoin: round; paint-order: stroke; }
svg .grid { stroke: var(--rule); stroke-width: 1; } svg .axis { stroke: var(--faint); stroke-width: 1; }
svg .whisker { stroke: var(--ink); stroke-width: 1.25; opacity: .75; fill: none; }
svg .reference { stroke: var(--soft); stroke-dasharray: 4 3; } svg .leader { stroke: var(--faint); stroke-width: .8; }
svg .line { fill: none; stroke: var(--c); stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
svg .area { fill: var(--c); opacity: .13; } svg .mark { fill: var(--c); } svg .hover { fill: transparent; }
svg .hover:hover { fill: var(--c); } svg .mark:hover { opacity: .75; }
svg .pale { opacity: .62; }
svg .outlined { stroke: var(--paper); stroke-width: 1.5; }
.c1 { --c: var(--c1); } .c2 { --c: var(--c2); } .c3 { --c: var(--c3); } .c4 { --c: var(--c4); }
.c5 { --c: var(--c5); } .c6 { --c: var(--c6); } .c7 { --c: var(--c7); }
footer { color: var(--faint); font-size: .84rem; padding-block: 3rem 2.5rem; }
@media (max-width: 30rem) {
  th, td { padding-inline: .55rem; } tbody th { max-width: 9.5rem; } details { padding-inline: .8rem; }
  .figures, .figures.four { grid-template-columns: repeat(auto-fit, minmax(7.4rem, 1fr)); }
  .figures dd { font-size: 1.2rem; }
}
@media print {
  .top { border-top: 0; } nav { display: none; } .chart, .note, tr { break-inside: avoid; } h2 { break-after: avoid; }
}
"""
