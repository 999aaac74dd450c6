// Builds dist/ from src/. dist/ is committed, so that running the gateway needs no Node.js.
// dist/MANIFEST.json records what the bundle was made from; a test compares it with the sources, so a stale
// or hand-edited bundle does not pass.
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';

const SOURCES = 'src';
const OUTPUT = 'dist';
const RECIPE = ['build.mjs', 'package.json', 'package-lock.json'];

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** One hash over names and contents; tests/web/test_softphone_bundle.py computes the same. */
function hashSources() {
  const files = [...RECIPE, ...readdirSync(SOURCES).map((name) => `${SOURCES}/${name}`)].sort();
  return sha256(files.map((file) => `${file} ${sha256(readFileSync(file))}\n`).join(''));
}

/** Licence texts of the packages esbuild really put into the bundle. */
function collectLicences(metafile) {
  const packages = new Set();
  for (const input of Object.keys(metafile.inputs)) {
    const match = /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input);
    if (match) packages.add(match[1]);
  }
  return [...packages].sort().map(describePackage).join('\n');
}

function describePackage(name) {
  const directory = join('node_modules', name);
  const { version, license } = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'));
  const file = readdirSync(directory).find((entry) => /^licen[cs]e/i.test(entry));
  if (!file) throw new Error(`${name} has no licence file`);
  const text = readFileSync(join(directory, file), 'utf8').replaceAll('\r\n', '\n').trim();
  return `${'='.repeat(78)}\n${name} ${version} (${license})\n${'='.repeat(78)}\n\n${text}\n`;
}

rmSync(OUTPUT, { recursive: true, force: true });
mkdirSync(OUTPUT);
const options = { bundle: true, minify: true, legalComments: 'none', logLevel: 'warning', target: 'es2022' };
const script = await build({
  ...options, entryPoints: [`${SOURCES}/main.js`], outfile: `${OUTPUT}/softphone.js`, format: 'iife', metafile: true,
});
await build({ ...options, entryPoints: [`${SOURCES}/softphone.css`], outfile: `${OUTPUT}/softphone.css` });
// What other people's pages take: one module without dependencies, to be read and served as it is.
await build({
  ...options, minify: false, entryPoints: [`${SOURCES}/gateway-security.js`], outfile: `${OUTPUT}/gateway-security.js`, format: 'esm',
  banner: { js: '// gateway-security: how a call is protected, beside JsSIP or SIP.js. No dependencies. Types and what each\n// field means: gateway-security.d.ts, served beside it; a page for either library: docs/web-developers.md.' },
});
for (const name of ['index.html', 'icon.svg', 'gateway-security.d.ts']) copyFileSync(`${SOURCES}/${name}`, `${OUTPUT}/${name}`);
writeFileSync(`${OUTPUT}/THIRD_PARTY_LICENSES.txt`, collectLicences(script.metafile));

const outputs = Object.fromEntries(
  readdirSync(OUTPUT).sort().map((name) => [name, sha256(readFileSync(`${OUTPUT}/${name}`))]),
);
writeFileSync(`${OUTPUT}/MANIFEST.json`, `${JSON.stringify({ sources: hashSources(), outputs }, null, 2)}\n`);
