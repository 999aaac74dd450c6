"""How the report looks: on a bright and a dark screen, and on paper."""

from __future__ import annotations

from gateway.audit.report.markup import Html

STYLE = Html("""
:root { color-scheme: light dark;
  --paper: #ffffff; --ink: #1c2127; --soft: #59636e; --line: #d5dae0; --shade: #f4f6f8; --amount: #7d8b99;
  --END_TO_END: #0f5f8c; --HOP_BY_HOP: #2f7d6b; --UNAUTHENTICATED: #c9a227; --PARTIAL: #d98032;
  --KEY_EXPOSED: #c4472f; --CLEARTEXT: #8f1d36; --UNKNOWN: #9aa4ae; --hatch: rgba(255,255,255,.45);
  --good: #1f6b59; --bad: #a3223c; }
@media screen and (prefers-color-scheme: dark) { :root {
  --paper: #14181c; --ink: #e6eaee; --soft: #9aa6b2; --line: #323a42; --shade: #1c2228; --amount: #6f7d8b;
  --END_TO_END: #4aa3d8; --HOP_BY_HOP: #4fa88f; --UNAUTHENTICATED: #d9b84a; --PARTIAL: #e09550;
  --KEY_EXPOSED: #e0654c; --CLEARTEXT: #d24a67; --UNKNOWN: #66717c; --hatch: rgba(0,0,0,.42);
  --good: #6cc3ab; --bad: #f0839a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif; }
main { max-width: 54rem; margin: 0 auto; padding: 2.5rem 1.5rem 4rem; }
header { border-bottom: 2px solid var(--ink); padding-bottom: 1rem; margin-bottom: 1.75rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .3rem; font-weight: 650; letter-spacing: -.01em; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .5rem; font-weight: 650; }
p { margin: .5rem 0; max-width: 44rem; } .soft { color: var(--soft); }
.figures { display: grid; grid-template-columns: repeat(4, 1fr); margin: 1.5rem 1px 1.1rem 0; padding: 0; }
.figures div { border: 1px solid var(--line); margin: 0 -1px -1px 0; padding: .9rem 1rem; }
.figures dt { color: var(--soft); font-size: .85rem; line-height: 1.3; }
.figures dd { margin: .15rem 0 0; font-size: 1.65rem; font-weight: 600; line-height: 1.2;
  font-variant-numeric: tabular-nums; }
.figures dd small { display: block; font-size: .82rem; font-weight: 400; color: var(--soft); line-height: 1.35; }
.good { color: var(--good); } .bad { color: var(--bad); }
.note { border-left: 3px solid var(--line); padding: .1rem 0 .1rem 1rem; margin: 1rem 0; }
.note.bad { border-color: var(--bad); } .note.good { border-color: var(--good); }
.note.bad, .note.good { color: var(--ink); }
figure { margin: 1rem 0; } figcaption { color: var(--soft); font-size: .88rem; margin-top: .3rem; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; padding: 0; margin: .4rem 0;
  font-size: .86rem; } .legend li { white-space: nowrap; }
.swatch { vertical-align: -2px; margin-right: .4rem; } .defs { position: absolute; }
.plot { display: block; width: 100%; height: auto; }
.bar { display: block; width: 100%; min-width: 9rem; height: 15px; } .bar.short { min-width: 5rem; height: 11px; }
.g { stroke: var(--paper); stroke-width: .6; } .amount { fill: var(--amount); }
.END_TO_END { fill: var(--END_TO_END); } .HOP_BY_HOP { fill: var(--HOP_BY_HOP); }
.UNAUTHENTICATED { fill: var(--UNAUTHENTICATED); } .PARTIAL { fill: var(--PARTIAL); }
.KEY_EXPOSED { fill: var(--KEY_EXPOSED); } .CLEARTEXT { fill: var(--CLEARTEXT); } .UNKNOWN { fill: var(--UNKNOWN); }
.hatch { stroke: var(--hatch); stroke-width: 1.6; fill: none; } .grid { stroke: var(--line); stroke-width: 1; }
.tick { fill: var(--soft); font-size: 11px; font-variant-numeric: tabular-nums; }
.tick.end { text-anchor: end; } .tick.middle { text-anchor: middle; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin: .6rem 0 0; font-size: .9rem; line-height: 1.4; }
caption { text-align: left; color: var(--soft); font-size: .88rem; padding-bottom: .3rem; }
th, td { text-align: left; vertical-align: top; padding: .4rem .7rem .4rem 0; border-bottom: 1px solid var(--line);
  font-weight: 400; overflow-wrap: anywhere; } th:last-child, td:last-child { padding-right: 0; }
thead th { color: var(--soft); font-size: .82rem; border-bottom-color: var(--soft); overflow-wrap: normal; }
tbody th { white-space: nowrap; } .n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
code { font: .88em/1.3 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }
dl.terms dt { font-weight: 600; margin-top: .7rem; } dl.terms dd { margin: 0; }
footer { margin-top: 3rem; border-top: 1px solid var(--line); padding-top: .8rem; color: var(--soft);
  font-size: .85rem; }
@media (max-width: 40rem) { .figures { grid-template-columns: repeat(2, 1fr); } main { padding: 1.5rem 1rem 3rem; }
  .scroll table { min-width: 36rem; } .plot { min-width: 30rem; } }
@page { size: A4; margin: 16mm 15mm 18mm; }
@media print { html { font-size: 9.6pt; } body { font-size: 1rem; } main { max-width: none; padding: 0; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } .scroll { overflow: visible; }
  h2 { margin-top: 7mm; break-after: avoid; } dl.terms { break-inside: avoid; }
  figure, tr, .figures, .note, .legend { break-inside: avoid; } thead { display: table-header-group; }
  caption, thead { break-after: avoid; } tbody tr:nth-child(-n+2) { break-before: avoid; }
  p { orphans: 3; widows: 3; } }
""")
