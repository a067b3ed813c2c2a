import type { RecordedRun } from '../core/recorded-run.ts';
import { type Bar, type Lane, lanesOf, timeText } from './lanes.ts';

/*
 * A page of its own: no script, no font, no picture from elsewhere. Sizes are units of the drawing, which scales with the window.
 */

const WIDTH = 1200;
const LABELS = 250;
const RIGHT = 90;
const ROW = 20;
const BAR = 12;
const AXIS = 26;
const GAP = 10;
/** The least that can be seen. */
const LEAST = 2;
/** What is longer is cut; the whole stands in the tooltip. */
const LABEL_LETTERS = 36;

/** Marks of the time axis are this many milliseconds apart: the first that gives few enough. */
const TICKS = [10, 50, 100, 500, 1000, 2000, 5000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000, 3_600_000];
const MOST_TICKS = 12;

/** Runs as one self-contained HTML page with a waterfall each, in the order given. */
export function timelinePage(title: string, runs: readonly RecordedRun[]): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>${escape(title)}</h1>
<p class="legend">${LEGEND.map(([kind, words]) => `<span class="${kind}"></span>${words}`).join(' ')}</p>
${runs.map(section).join('\n')}
</body>
</html>
`;
}

const LEGEND = [
  ['done', 'done'],
  ['reused', 'reused'],
  ['failed', 'failed'],
  ['cancelled', 'cancelled'],
  ['running', 'never ended'],
  ['seen', 'on the node'],
] as const;

const STYLE = `
:root { color-scheme: light dark; --text: #1c2024; --faint: #60646c; --line: #d9dbe0; --band: #f4f5f7; --page: #fff;
  --done: #2f7d4f; --reused: #8fb8a0; --failed: #c62a2f; --cancelled: #c77d0a; --running: #7a7f87; --seen: #4c84d6; }
@media (prefers-color-scheme: dark) { :root { --text: #edeef0; --faint: #a0a4ab; --line: #3a3d42; --band: #1d1f22; --page: #141517;
  --done: #4bb37a; --reused: #3d6b52; --failed: #ec5d5e; --cancelled: #e0a030; --running: #8a8f98; --seen: #6ea2ee; } }
body { margin: 2rem auto; max-width: 80rem; padding: 0 1rem; font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--page); }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin: 2rem 0 0; }
p { margin: .2rem 0 .6rem; color: var(--faint); } p.failed { color: var(--failed); white-space: pre-wrap; }
svg { width: 100%; height: auto; display: block; }
text { font-size: 12px; fill: var(--text); } text.time, text.tick { fill: var(--faint); font-size: 11px; } text.node { font-weight: 600; }
line { stroke: var(--line); } rect.band { fill: var(--band); }
.legend span { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin: 0 .4em 0 1em; }
${['done', 'reused', 'failed', 'cancelled', 'running', 'seen'].map((kind) => `rect.${kind} { fill: var(--${kind}); } .legend .${kind} { background: var(--${kind}); }`).join('\n')}
`;

function section(run: RecordedRun): string {
  const { command, subject, status, message } = run;
  const ended = status === 'running' ? 'never ended' : status;
  return `<section>
<h2>${escape(`kvci ${command}: ${subject}`)}</h2>
<p>${new Date(run.from).toISOString().replace('T', ' ').replace('Z', ' UTC')}, ${timeText(run.to - run.from)}, ${ended}</p>
${message === undefined ? '' : `<p class="failed">${escape(message)}</p>`}
${waterfall(run)}
</section>`;
}

function waterfall(run: RecordedRun): string {
  const lanes = lanesOf(run);
  // A phase of a node can end after kvci's own last step.
  const end = Math.max(1, run.to - run.from, ...lanes.flatMap(({ bars }) => bars.map(({ to }) => to)));
  const x = (ms: number): number => LABELS + (Math.max(0, ms) / end) * (WIDTH - LABELS - RIGHT);
  const heads = lanes.map((lane) => (lane.node === undefined ? 0 : ROW) + lane.bars.length * ROW + GAP);
  const height = AXIS + heads.reduce((sum, each) => sum + each, 0);
  let top = AXIS;
  const drawn = lanes.map((lane, at) => {
    const text = drawLane(lane, top, x, at % 2 === 0);
    top += heads[at] ?? 0;
    return text;
  });
  const label = escape(`Timeline of kvci ${run.command} ${run.subject}`);
  return `<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${label}">
${drawn.map(({ band }) => band).join('')}
${axis(end, x, height)}
${drawn.map(({ bars }) => bars).join('\n')}
</svg>`;
}

function axis(end: number, x: (ms: number) => number, height: number): string {
  const step = TICKS.find((each) => end / each <= MOST_TICKS) ?? end;
  const marks = Array.from({ length: Math.floor(end / step) + 1 }, (_, index) => index * step);
  return marks
    .map((ms) => {
      const at = x(ms).toFixed(1);
      return `<line x1="${at}" y1="${AXIS - 6}" x2="${at}" y2="${height}"/><text class="tick" x="${at}" y="${AXIS - 10}" text-anchor="middle">${ms === 0 ? '0' : timeText(ms)}</text>`;
    })
    .join('');
}

function drawLane(
  { node, bars }: Lane,
  top: number,
  x: (ms: number) => number,
  shaded: boolean,
): { readonly band: string; readonly bars: string } {
  const first = top + (node === undefined ? 0 : ROW);
  const height = first - top + bars.length * ROW;
  return {
    band: shaded ? `<rect class="band" x="0" y="${top - 3}" width="${WIDTH}" height="${height + 4}" rx="4"/>` : '',
    bars: [
      ...(node === undefined ? [] : [`<text class="node" x="6" y="${top + 14}">${escape(node)}</text>`]),
      ...bars.map((bar, row) => drawBar(bar, first + row * ROW, x)),
    ].join('\n'),
  };
}

function drawBar({ title, from, to, kind }: Bar, top: number, x: (ms: number) => number): string {
  const start = x(from);
  const width = Math.max(LEAST, x(to) - start);
  const label = title.length > LABEL_LETTERS ? `${title.slice(0, LABEL_LETTERS - 1)}…` : title;
  const tip = `${title}: ${timeText(to - from)} (${kind}), from ${timeText(Math.max(0, from))} on`;
  return `<g><title>${escape(tip)}</title><text x="14" y="${top + 13}">${escape(label)}</text><rect class="${kind}" x="${start.toFixed(1)}" y="${top + 4}" width="${width.toFixed(1)}" height="${BAR}" rx="2"/><text class="time" x="${(start + width + 5).toFixed(1)}" y="${top + 14}">${timeText(to - from)}</text></g>`;
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
