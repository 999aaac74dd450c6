// Builds dist/ from src/. dist/ is committed, so that the tests need no Node.js. dist/MANIFEST.json records what the
// bundle was made from; tests/interop/test_library_bundles.py compares it with the sources.
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { build } from 'esbuild';

const RECIPE = ['build.mjs', 'package.json', 'package-lock.json'];

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

function hashSources() {
  const files = [...RECIPE, ...readdirSync('src').map((name) => `src/${name}`)].sort();
  return sha256(files.map((file) => `${file} ${sha256(readFileSync(file))}\n`).join(''));
}

function describe(name) {
  const directory = `node_modules/${name}`;
  const { version, license } = JSON.parse(readFileSync(`${directory}/package.json`, 'utf8'));
  const file = readdirSync(directory).find((entry) => /^licen[cs]e/i.test(entry));
  if (!file) throw new Error(`${name} has no licence file`);
  return `${name} ${version} (${license})\n\n${readFileSync(`${directory}/${file}`, 'utf8').replaceAll('\r\n', '\n').trim()}\n`;
}

rmSync('dist', { recursive: true, force: true });
mkdirSync('dist');
const result = await build({
  entryPoints: ['src/page.js'], outfile: 'dist/page.js', bundle: true, minify: true, format: 'iife', target: 'es2022',
  legalComments: 'none', logLevel: 'warning', metafile: true,
});
const found = Object.keys(result.metafile.inputs).map((file) => /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(file)?.[1]);
copyFileSync('src/index.html', 'dist/index.html');
writeFileSync('dist/THIRD_PARTY_LICENSES.txt', [...new Set(found.filter(Boolean))].sort().map(describe).join('\n'));

const outputs = Object.fromEntries(readdirSync('dist').sort().map((name) => [name, sha256(readFileSync(`dist/${name}`))]));
writeFileSync('dist/MANIFEST.json', `${JSON.stringify({ sources: hashSources(), outputs }, null, 2)}\n`);
