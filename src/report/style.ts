/** The report's stylesheet: light and dark, phone and print. */
export const STYLE = `
:root { color-scheme: light dark; --page:#fff; --text:#1b2430; --soft:#5b6775; --line:#d9dfe6; --panel:#f5f7fa;
  --pass:#18794e; --fail:#c62a2f; --inconclusive:#9a6700; --series-1:#0b6bcb; --series-2:#d9730d; --series-3:#2e8b57; --series-4:#8e4ec6; --series-5:#b3456f; --series-6:#6b7280; --series-7:#0f8a8a; --series-8:#a07d00; }
@media (prefers-color-scheme: dark) { :root { --page:#12171d; --text:#e3e8ee; --soft:#9aa7b5; --line:#2c3641; --panel:#1a2129;
  --pass:#4cc38a; --fail:#ff7b7f; --inconclusive:#e5b567; --series-1:#5eb0ff; --series-2:#ffa94d; --series-3:#63d297; --series-4:#c79bf2; --series-5:#f08db2; --series-6:#a3adb8; --series-7:#4fd1c5; --series-8:#e3c34f; } }
* { box-sizing:border-box } html { font:15px/1.5 system-ui,"Segoe UI",Roboto,"DejaVu Sans",sans-serif; background:var(--page); color:var(--text) }
body { margin:0 auto; max-width:1080px; padding:1.5rem 1rem 4rem }
h1 { font-size:1.6rem; margin:0 } h2 { font-size:1.2rem; margin:2.4rem 0 .6rem; border-bottom:1px solid var(--line); padding-bottom:.2rem } h3 { font-size:1rem; margin:1.2rem 0 .3rem }
p { margin:.4rem 0 } .soft { color:var(--soft) } code { font-size:.88em; background:var(--panel); padding:.1em .35em; border-radius:4px; overflow-wrap:anywhere }
.scroll { overflow-x:auto; -webkit-overflow-scrolling:touch } table { border-collapse:collapse; width:100%; font-variant-numeric:tabular-nums; font-size:.92rem }
th,td { text-align:left; padding:.35rem .7rem .35rem 0; border-bottom:1px solid var(--line); vertical-align:top } th { color:var(--soft); font-weight:600; white-space:nowrap }
td.figure { white-space:nowrap } .pass { color:var(--pass) } .fail { color:var(--fail) } .inconclusive { color:var(--inconclusive) } .mark { font-weight:700; white-space:nowrap }
.banner { margin:1rem 0; padding:.8rem 1rem; border-left:5px solid currentColor; background:var(--panel); border-radius:4px } .banner strong { font-size:1.1rem }
.cells { display:grid; grid-template-columns:repeat(auto-fill,minmax(min(100%,480px),1fr)); gap:.5rem 1.5rem } figure { margin:0 } figcaption { font-size:.88rem; color:var(--soft) }
svg { max-width:100%; height:auto; display:block } .scroll svg { max-width:none } .key { display:flex; flex-wrap:wrap; gap:.2rem 1.2rem; font-size:.88rem; margin:.4rem 0 } .key i { display:inline-block; width:.9em; height:.9em; border-radius:2px; margin-right:.4em; vertical-align:-.1em }
details { margin:.5rem 0 } summary { cursor:pointer; color:var(--soft) } a { color:var(--series-1) }
@media print { body { max-width:none } details { display:block } }
`;
