"""The report's style sheet: one set of colours for light, one for dark, and print."""

STYLE = """
:root { --page: #f7f6f3; --card: #fff; --ink: #1d1f23; --soft: #5f6570; --line: #e2e0da; --good: #1b7f4d;
  --bad: #b3372f; --none: #8a8f98; --words: #6b7280; --sum: #1d1f23; --c0: #2563c9; --c1: #c2570c; --c2: #12805c;
  --c3: #a8327d; --c4: #7450c7; --c5: #8a6d00; --c6: #0e7490; --c7: #b4232f; }
@media (prefers-color-scheme: dark) { :root { --page: #14161a; --card: #1d2026; --ink: #e9e9e6; --soft: #a3a9b4;
  --line: #31353d; --good: #5bc78f; --bad: #f08a80; --none: #8a8f98; --words: #9aa3b2; --sum: #e9e9e6; --c0: #7fb0ff;
  --c1: #ffa766; --c2: #5fd3a6; --c3: #f092cc; --c4: #b9a1ff; --c5: #e3c552; --c6: #67d3ec; --c7: #ff9097; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 40px 20px 56px; }
h1 { font-size: 2.1rem; line-height: 1.15; margin: 0 0 6px; letter-spacing: -.02em; overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; margin: 0 0 4px; letter-spacing: -.01em; }
h3 { font-size: 1rem; margin: 0 0 8px; overflow-wrap: anywhere; }
p { margin: 0 0 12px; max-width: 74ch; }
section { margin-top: 44px; } section > div > p:first-child { color: var(--soft); }
.eyebrow { text-transform: uppercase; letter-spacing: .09em; font-size: .76rem; color: var(--soft); margin: 0 0 6px; }
.lead, footer { color: var(--soft); } footer { margin-top: 48px; font-size: .84rem; }
.small, small { font-size: .84rem; color: var(--soft); } td small { margin-left: 8px; white-space: nowrap; }
.note { border-left: 4px solid var(--c1); padding: 10px 16px; margin-top: 20px; background: var(--card);
  border-radius: 0 8px 8px 0; max-width: none; }
.advice { list-style: none; margin: 22px 0 0; padding: 0; display: grid; gap: 8px; }
.advice li { background: var(--card); border: 1px solid var(--line); border-left: 4px solid var(--none);
  border-radius: 8px; padding: 10px 14px; }
.advice .earns, .advice .helps { border-left-color: var(--good); } .advice .harms { border-left-color: var(--bad); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .94rem; }
th, td { text-align: left; padding: 7px 14px 7px 0; border-bottom: 1px solid var(--line); vertical-align: middle; }
thead th { color: var(--soft); font-weight: 500; font-size: .82rem; white-space: nowrap; }
tbody th { font-weight: 600; overflow-wrap: break-word; } td { white-space: nowrap; }
.swatch { display: inline-block; width: 10px; height: 10px; border-radius: 3px; margin-right: 8px; }
.cards { display: grid; gap: 18px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 430px), 1fr)); }
.cards.wide { grid-template-columns: repeat(auto-fit, minmax(min(100%, 460px), 1fr)); }
article { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 18px; min-width: 0; }
.example { display: grid; grid-template-columns: 88px minmax(0, 1fr); gap: 16px; }
.photo { width: 88px; height: auto; border-radius: 8px; background: #fff; }
svg { display: block; width: 100%; height: auto; margin-bottom: 8px; overflow: visible; }
svg.interval { width: 180px; margin: 0; }
svg text { fill: var(--ink); font-size: 12px; } svg .tick { font-size: 10px; fill: var(--soft); }
svg .end { text-anchor: end; } svg .middle { text-anchor: middle; }
.axis { stroke: var(--soft); stroke-width: 1; opacity: .6; } .mean { stroke: var(--ink); stroke-width: 1.5; }
.whisker { stroke-width: 2.5; stroke-linecap: round; }
.meter { display: inline-block; width: 72px; height: 7px; border-radius: 4px; background: var(--line);
  overflow: hidden; vertical-align: middle; margin-left: 6px; }
.meter span { display: block; height: 100%; }
th:first-child { min-width: 7.5em; } .amount { display: inline-block; min-width: 4.2em; }
details { margin-top: 12px; } summary { cursor: pointer; color: var(--soft); font-size: .9rem; }
.fill-words { fill: var(--words); background: var(--words); } .fill-sum { fill: var(--sum); background: var(--sum); }
""" + "\n".join(
    f".fill-c{n} {{ fill: var(--c{n}); background: var(--c{n}); }} .stroke-c{n} {{ stroke: var(--c{n}); }}"
    for n in range(8)
)
