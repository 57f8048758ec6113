/** Line charts as SVG text: the few libraries that need no DOM are either large or no longer kept. */
import type { Point } from './samples.ts';

export interface Chart {
  /** Of its file, without the ending. */
  readonly name: string;
  readonly title: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly series: ReadonlyArray<{ readonly name: string; readonly points: readonly Point[] }>;
  /** A time that is shaded: a fault lasts from here to there. */
  readonly shade?: readonly [from: number, to: number];
}

export interface Axis {
  readonly title: string;
  readonly isLog?: boolean;
  /** Linear axes begin at 0 and go to the greatest value, or to this one. */
  readonly max?: number;
}

const WIDTH = 760;
const HEIGHT = 380;
const PLOT = { left: 64, right: 590, top: 40, bottom: 330 };
/** Of Okabe and Ito: told apart also by the colour-blind. */
const COLOURS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#000000', '#8a8a00'];

interface Scale {
  readonly ticks: readonly number[];
  /** 0..1 */
  readonly at: (value: number) => number;
}

export function toSvg({ title, x, y, series, shade }: Chart): string {
  const points = series.flatMap((line) => line.points);
  const across = scaleOf(
    x,
    points.map(([value]) => value),
  );
  const up = scaleOf(
    y,
    points.map(([, value]) => value),
  );
  const px = (value: number): string => (PLOT.left + across.at(value) * (PLOT.right - PLOT.left)).toFixed(1);
  const py = (value: number): string => (PLOT.bottom - up.at(value) * (PLOT.bottom - PLOT.top)).toFixed(1);
  const parts = [
    ...shaded(shade, px),
    ...across.ticks.map((tick) => text(px(tick), PLOT.bottom + 16, label(tick), 'middle')),
    ...up.ticks.flatMap((tick) => [
      `<line x1="${PLOT.left}" x2="${PLOT.right}" y1="${py(tick)}" y2="${py(tick)}" stroke="#ddd"/>`,
      text(PLOT.left - 6, Number(py(tick)) + 4, label(tick), 'end'),
    ]),
    `<path d="M${PLOT.left} ${PLOT.top}V${PLOT.bottom}H${PLOT.right}" fill="none" stroke="#555"/>`,
    ...series.flatMap(({ name, points: own }, i) => {
      const colour = COLOURS[i % COLOURS.length]!;
      const path = own.map(([a, b], n) => `${n === 0 ? 'M' : 'L'}${px(a)} ${py(b)}`).join('');
      const row = PLOT.top + 10 + i * 20;
      return [
        `<path d="${path}" fill="none" stroke="${colour}" stroke-width="1.8" stroke-linejoin="round"/>`,
        ...(own.length > 12 ? [] : own.map(([a, b]) => `<circle cx="${px(a)}" cy="${py(b)}" r="3" fill="${colour}"/>`)),
        `<line x1="${PLOT.right + 16}" x2="${PLOT.right + 34}" y1="${row}" y2="${row}" stroke="${colour}" stroke-width="3"/>`,
        text(PLOT.right + 40, row + 4, name),
      ];
    }),
    `<text x="${PLOT.left}" y="22" font-size="15" font-weight="600" fill="#222">${escape(title)}</text>`,
    text((PLOT.left + PLOT.right) / 2, HEIGHT - 12, x.title, 'middle'),
    `<text transform="translate(16 ${(PLOT.top + PLOT.bottom) / 2}) rotate(-90)" text-anchor="middle">${escape(y.title)}</text>`,
  ];
  const style = 'font-family="system-ui, sans-serif" font-size="12" fill="#333"';
  const frame = `xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}"`;
  return `<svg ${frame} ${style}>\n<rect width="100%" height="100%" fill="#fff"/>\n${parts.join('\n')}\n</svg>\n`;
}

function shaded(shade: Chart['shade'], px: (value: number) => string): string[] {
  if (shade === undefined) return [];
  const [from, to] = shade.map(px) as [string, string];
  const width = (Number(to) - Number(from)).toFixed(1);
  return [`<rect x="${from}" y="${PLOT.top}" width="${width}" height="${PLOT.bottom - PLOT.top}" fill="#f3ece0"/>`];
}

function scaleOf({ isLog = false, max }: Axis, values: readonly number[]): Scale {
  const known = values.filter((value) => Number.isFinite(value) && (!isLog || value > 0));
  const greatest = max ?? known.reduce((a, b) => Math.max(a, b), 0);
  if (!isLog) {
    const step = niceStep((greatest || 1) / 5);
    const count = Math.ceil((greatest || 1) / step - 1e-9);
    const ticks = Array.from({ length: count + 1 }, (_, i) => i * step);
    return { ticks, at: (value) => Math.min(1, value / (count * step)) };
  }
  const least = known.reduce((a, b) => Math.min(a, b), greatest || 1);
  const low = Math.floor(Math.log10(least) + 1e-9);
  const high = Math.max(low + 1, Math.ceil(Math.log10(greatest || 10) - 1e-9));
  const ticks = Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i));
  return { ticks, at: (value) => (Math.log10(Math.max(value, 10 ** low)) - low) / (high - low) };
}

/** 1, 2 or 5 times a power of ten, and not less than `step`. */
function niceStep(step: number): number {
  const power = 10 ** Math.floor(Math.log10(step));
  return power * ([1, 2, 5].find((times) => times * power >= step) ?? 10);
}

function label(tick: number): string {
  return tick.toLocaleString('en', { maximumSignificantDigits: 4 });
}

function text(x: number | string, y: number, content: string, anchor = 'start'): string {
  return `<text x="${x}" y="${y}" text-anchor="${anchor}">${escape(content)}</text>`;
}

function escape(content: string): string {
  return content.replace(/[&<>]/g, (character) => `&#${character.charCodeAt(0)};`);
}
