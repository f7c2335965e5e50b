/** The report in a real browser: it renders from disk, fits a phone, follows the colour scheme, and is accessible. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import test from 'ava';
import { chromium, type Browser } from 'playwright-core';
import { reportSchema } from '../../src/report/schema.ts';
import { problemsOf } from '../../src/core/config/validate.ts';
import { netrig, scratch } from '../support/netrig.ts';

const files = scratch();
let browser: Browser;
let report = '';

test.before(async () => {
  const topology = files.file(
    'two.yaml',
    `
name: t-report
saturation: 100%
description: "A <b>description</b> & its \\"quotes\\""
topology:
  nodes: { a: { labels: { tenant: A } }, b: { labels: { tenant: A } }, sw: { kind: ovs-bridge } }
  links:
    - { endpoints: ["a:e", "sw:a"], rate: "\${link}" }
    - { endpoints: ["b:e", "sw:b"], rate: "\${link}" }
vars: { link: 20Mbit }
traffic: [{ phase: p, duration: 4s, flows: [{ name: f, from: a, to: b, tool: mgen, rate: 15Mbit }] }]
capture: [{ at: "b:e", direction: in, snap: 64B }]
targets:
  - { name: "R4-4 the <link> is used", check: bandwidth-isolation, metric: share, group: A, capacity: "\${link}", capture: "b:e", guarantee: 70%, published: 100%, at-least: 30%, from: 500ms }
  - { name: more than there is, kind: invariant, check: bandwidth-isolation, metric: peak, group: A, capacity: "\${link}", capture: "b:e", at-least: 200%, from: 500ms }
matrix: { x: { one: , two: }, y: { three: } }
`,
  );
  const { status, stdout, stderr } = netrig(['run', topology, '--results', files.dir]);
  assert.equal(status, 1, stderr);
  report = /report: (\S+)/.exec(stdout)?.[1] ?? '';
  browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--no-first-run',
      '--disable-quic',
    ],
  });
});
test.after.always(async () => {
  await browser.close();
  files[Symbol.dispose]();
});

async function open(options: Parameters<Browser['newPage']>[0]) {
  const page = await browser.newPage(options);
  const problems: string[] = [];
  page.on('console', (m) => {
    if (m.type() === 'error') problems.push(m.text());
  });
  page.on('pageerror', (e) => problems.push(e.message));
  page.on('request', (r) => {
    if (!r.url().startsWith('file:') && !r.url().startsWith('data:')) problems.push(`fetched ${r.url()}`);
  });
  await page.goto(pathToFileURL(report).href);
  return { page, problems };
}

test('verdicts come first, text is escaped, charts are drawn, nothing is fetched', async () => {
  const { page, problems } = await open({ viewport: { width: 1100, height: 900 } });
  assert.equal(await page.locator('h2').first().textContent(), 'Verdicts');
  assert.match((await page.locator('.banner').textContent()) ?? '', /Targets missed.*2 met, 2 missed, 0 inconclusive/s);
  assert.equal(await page.locator('header p').first().textContent(), 'A <b>description</b> & its "quotes"');
  assert.equal((await page.locator('figure svg path').count()) > 0, true);
  assert.ok((await page.locator('svg[aria-label^="Share of the contended link"] rect').count()) >= 2, 'grouped bars');
  for (const svg of await page.locator('svg[role=img]').all()) {
    const box = await svg.boundingBox();
    if (await svg.isVisible()) assert.ok(box && box.width > 50 && box.height > 20);
  }
  assert.deepEqual(problems, []);
});

test('a phone shows it without sideways scrolling of the page', async () => {
  const { page } = await open({ viewport: { width: 375, height: 700 } });
  const { scroll, client } = await page.evaluate<{ scroll: number; client: number }>(
    '({ scroll: document.documentElement.scrollWidth, client: document.documentElement.clientWidth })',
  );
  assert.ok(scroll <= client, `${scroll} > ${client}`);
});

test('light and dark have readable contrast', async () => {
  for (const colorScheme of ['light', 'dark'] as const) {
    const { page } = await open({ colorScheme });
    const ratios = await page.evaluate<number[]>(`(() => {
      const luminance = (rgb) => { const [r, g, b] = rgb.match(/[\\d.]+/g).map(Number).map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
      const page = luminance(getComputedStyle(document.documentElement).backgroundColor);
      return [...document.querySelectorAll('td, th, p, h1, h2, .mark')].map((e) => { const l = luminance(getComputedStyle(e).color); return (Math.max(l, page) + 0.05) / (Math.min(l, page) + 0.05); });
    })()`);
    assert.ok(Math.min(...ratios) >= 4.5, `${colorScheme}: ${Math.min(...ratios)}`);
  }
});

test('accessible: a language, one h1, headings without a gap, labelled pictures, table headers', async () => {
  const { page } = await open({});
  assert.equal(await page.locator('html').getAttribute('lang'), 'en');
  assert.equal(await page.locator('h1').count(), 1);
  const snapshot = await page.evaluate(
    `[...document.querySelectorAll('svg')].filter((s) => !s.getAttribute('aria-label') && !s.querySelector('title')).length`,
  );
  assert.equal(snapshot, 0);
  assert.equal(await page.locator('table:not(:has(th))').count(), 0);
});

test('JSON, Markdown and the topology are beside it', async () => {
  const { readFileSync } = await import('node:fs');
  const folder = join(report, '..');
  const json = JSON.parse(readFileSync(join(folder, 'report.json'), 'utf8')) as { outcome: string; verdicts: { outcome: string }[] };
  assert.deepEqual(problemsOf(reportSchema, json), [], 'report.json is what its schema says');
  assert.equal(json.outcome, 'fail');
  assert.equal(json.verdicts.length, 4);
  assert.match(readFileSync(join(folder, 'report.md'), 'utf8'), /\| ❌ \| two-three \| more than there is/);
});
