"""style: the page's one style sheet, for light and dark, screen and paper, desk and phone.

The four line colours are Okabe and Ito's (2008), told apart by the colour-blind; lines differ by dashes too.
"""

from __future__ import annotations

LIGHT = {
    "paper": "#fdfdfb",
    "panel": "#f4f4f0",
    "ink": "#1c1e21",
    "soft": "#5c6167",
    "rule": "#dddcd6",
    "faint": "#ecebe6",
    "accent": "#0067a5",
    "s0": "#0067a5",
    "s1": "#c44f00",
    "s2": "#00805c",
    "s3": "#a8558a",
    "good": "#00734f",
    "bad": "#b53a00",
    "heat": "#0067a5",
}
DARK = {
    "paper": "#15171a",
    "panel": "#1d2024",
    "ink": "#e8e6e1",
    "soft": "#a3a8ae",
    "rule": "#363a40",
    "faint": "#272b30",
    "accent": "#6cb8ee",
    "s0": "#6cb8ee",
    "s1": "#f0a04b",
    "s2": "#3ec79a",
    "s3": "#e29bc9",
    "good": "#3ec79a",
    "bad": "#ff9063",
    "heat": "#2f86c4",
}

RULES = """
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; max-width: 984px; padding: 56px 32px 96px; background: var(--paper);
  color: var(--ink);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif;
  font-variant-numeric: tabular-nums; }
h1 { font-size: 34px; line-height: 1.15; letter-spacing: -0.02em; font-weight: 650; margin: 10px 0 16px;
  overflow-wrap: anywhere; }
h2 { font-size: 20px; letter-spacing: -0.01em; font-weight: 650; margin: 0 0 18px; }
h3 { font-size: 14px; font-weight: 600; margin: 28px 0 10px; }
section { margin-top: 48px; padding-top: 18px; border-top: 1px solid var(--rule); }
p { margin: 0 0 12px; }
a { color: var(--accent); text-underline-offset: 2px; }
.lead { font-size: 18px; line-height: 1.55; max-width: 44em; margin: 0; }
.kicker { color: var(--soft); font-size: 13px; margin: 0; display: flex; gap: 4px 18px; flex-wrap: wrap; }
.note { color: var(--soft); font-size: 13px; margin: 12px 0 0; max-width: 60em; overflow-wrap: anywhere; }
.mono, code, pre { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: 0.88em; }
pre { background: var(--panel); border-radius: 6px; padding: 14px 16px; margin: 0; overflow-x: auto;
  font-size: 13px; line-height: 1.5; }
nav { display: flex; flex-wrap: wrap; gap: 4px 16px; margin-top: 28px; font-size: 13px; }
nav a { color: var(--soft); text-decoration: none; }
nav a:hover { color: var(--ink); text-decoration: underline; }
.wide { overflow-x: auto; margin: 0 -2px; padding: 0 2px; }
table { border-collapse: collapse; width: 100%; font-size: 13px; }
th, td { text-align: left; padding: 7px 16px 7px 0; vertical-align: baseline; }
th { color: var(--soft); font-weight: 500; border-bottom: 1px solid var(--rule); white-space: nowrap; }
td { border-bottom: 1px solid var(--faint); white-space: nowrap; }
.options td, .facts-table td { white-space: normal; }
th:last-child, td:last-child { padding-right: 0; }
.told td { white-space: pre-wrap; vertical-align: top; overflow-wrap: anywhere; }
.told td:not(.n) { min-width: 180px; }
.n { text-align: right; white-space: nowrap; }
td b { font-weight: 600; white-space: nowrap; }
.spread { color: var(--soft); white-space: normal; }
.options td { vertical-align: top; }
.options small { color: var(--soft); white-space: nowrap; }
.pair { display: inline-block; margin: 0 12px 2px 0; overflow-wrap: anywhere; }
.pair i { font-style: normal; color: var(--soft); }
.facts-table td:first-child { color: var(--soft); white-space: nowrap; }
.facts-table thead { display: none; }
.notes { list-style: none; margin: 14px 0 0; padding: 0; font-size: 13px; color: var(--soft); }
.notes li { margin-bottom: 6px; }
.notes b { font-weight: 600; }
.notes .warning { color: var(--bad); }
.wide + .grid, .wide + figure, figure + .wide { margin-top: 26px; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 400px), 1fr));
  gap: 28px 40px; margin-bottom: 12px; }
figure { margin: 0 0 8px; min-width: 0; }
figcaption { font-size: 13px; font-weight: 600; margin-bottom: 10px; }
svg { display: block; max-width: 100%; height: auto; }
.wide > svg.large { max-width: none; }
td svg { display: inline-block; vertical-align: middle; max-width: none; }
svg text { font: 11px system-ui, -apple-system, "Segoe UI", Arial, sans-serif; fill: var(--ink);
  font-variant-numeric: tabular-nums; }
svg .tick, svg .axis-name, svg .small { fill: var(--soft); }
svg .small { font-size: 9px; }
svg .digest-name { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace;
  fill: var(--soft); font-size: 10.5px; }
svg .point-name { paint-order: stroke; stroke: var(--paper); stroke-width: 4px; stroke-linejoin: round; }
svg .box-name { font-weight: 600; }
svg .box-name { font-size: 12.5px; }
svg path { fill: none; }
.grid-line { stroke: var(--faint); }
.axis-line, .tick-mark { stroke: var(--rule); }
.line { stroke-width: 1.8; stroke-linejoin: round; }
.line.s0 { stroke: var(--s0); } .line.s1 { stroke: var(--s1); stroke-dasharray: 6 3; }
.line.s2 { stroke: var(--s2); stroke-dasharray: 2 3; } .line.s3 { stroke: var(--s3);
  stroke-dasharray: 8 3 2 3; }
.mark.s0, .bar.s0 { fill: var(--s0); } .mark.s1, .bar.s1 { fill: var(--s1); }
.mark.s2, .bar.s2 { fill: var(--s2); } .mark.s3, .bar.s3 { fill: var(--s3); }
.track { fill: var(--faint); }
.reach { stroke: var(--soft); stroke-width: 1.2; }
.point { fill: var(--paper); stroke: var(--s0); stroke-width: 1.6; }
.point.front { fill: var(--s0); }
.front-line { stroke: var(--s0); stroke-dasharray: 3 3; opacity: 0.7; }
.guide { stroke: var(--soft); stroke-dasharray: 3 4; }
.gap { stroke: var(--s1); stroke-width: 2; opacity: 0.75; }
.span { stroke-width: 2.4; stroke: var(--soft); } .span-dot { fill: var(--soft); }
.span.good { stroke: var(--good); } .span-dot.good { fill: var(--good); }
.span.bad { stroke: var(--bad); } .span-dot.bad { fill: var(--bad); }
.cell { fill: var(--heat); } .cell-empty { fill: var(--faint); fill-opacity: 0.5; }
.box { fill: var(--panel); stroke: var(--rule); }
.edge, .arrow { stroke: var(--soft); stroke-width: 1.2; }
.shots { display: grid; grid-template-columns: repeat(10, 1fr); gap: 14px 10px; }
.shot img { width: 100%; height: auto; aspect-ratio: 1; object-fit: contain; background: var(--panel);
  border-radius: 4px; image-rendering: pixelated; display: block; }
.shot p { margin: 4px 0 0; font-size: 12px; line-height: 1.35; overflow-wrap: anywhere; }
.shot b { font-weight: 600; } .shot span, .shot small { display: block; }
  .shot small { color: var(--soft); font-size: 11px; }
.reasons { display: grid; grid-template-columns: repeat(auto-fill, minmax(200px, 1fr)); gap: 18px 22px; }
.beside { display: flex; gap: 4px; }
.beside figure { flex: 1; margin: 0; max-width: 50%; }
.beside img { width: 100%; height: auto; border-radius: 4px; image-rendering: pixelated; display: block; }
.beside p { margin: 4px 0 0; font-size: 12px; line-height: 1.3; overflow-wrap: anywhere; }
.beside figure + figure p { color: var(--soft); }
.reason small { color: var(--soft); font-size: 11px; } .reason small.bad { color: var(--bad); }
.bad { color: var(--bad); }
.draws { display: grid; grid-template-columns: repeat(10, 1fr); gap: 4px; margin-bottom: 4px; }
.saying { margin: 0 0 .6em; }
.saying p { margin: 0; }
.sheet { width: 100%; height: auto; image-rendering: pixelated; display: block; }
.draws img { width: 100%; height: auto; display: block; border-radius: 3px; image-rendering: pixelated; }
.draws img:first-child { outline: 2px solid var(--accent); }
footer { margin-top: 64px; padding-top: 16px; border-top: 1px solid var(--rule); color: var(--soft);
  font-size: 12px; overflow-wrap: anywhere; }
@media (max-width: 640px) {
  body { padding: 28px 16px 56px; } h1 { font-size: 26px; } .lead { font-size: 16px; }
  section { margin-top: 40px; }
  .shots { grid-template-columns: repeat(5, 1fr); } .shot p { font-size: 11px; } .draws { gap: 2px; }
  th, td { padding-right: 12px; } .options td + td { min-width: 210px; }
}
@media print {
  body { max-width: none; padding: 0; font-size: 11px; } nav { display: none; }
  section { break-inside: auto; margin-top: 28px; } figure, .shot, .reason, tr { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  .grid { grid-template-columns: 1fr 1fr; gap: 16px 24px; }
  table { font-size: 10px; } th, td { padding: 4px 8px 4px 0; }
  .shots { grid-template-columns: repeat(10, 1fr); } @page { margin: 14mm; }
  .wide { overflow: visible; } pre { white-space: pre-wrap; }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
}
"""


def _root(colours: dict[str, str]) -> str:
    return ":root { " + " ".join(f"--{name}: {colour};" for name, colour in colours.items()) + " }"


def sheet() -> str:
    """The style sheet; paper is always light."""
    return (
        f":root {{ color-scheme: light dark; }}\n{_root(LIGHT)}\n"
        f"@media screen and (prefers-color-scheme: dark) {{ {_root(DARK)} }}{RULES}"
    )
