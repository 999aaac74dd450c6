// Builds dist/ from src/. dist/ is committed, so that the tests need no Node.js. dist/MANIFEST.json records what the
// bundle was made from; tests/interop/test_library_bundles.py compares it with the sources.
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { build } from 'esbuild';

const RECIPE = ['build.mjs', 'package.json', 'package-lock.json'];
const LIBRARY = 'node_modules/sip.js';

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

function hashSources() {
  const files = [...RECIPE, ...readdirSync('src').map((name) => `src/${name}`)].sort();
  return sha256(files.map((file) => `${file} ${sha256(readFileSync(file))}\n`).join(''));
}

function describeLibrary() {
  const { name, version, license } = JSON.parse(readFileSync(`${LIBRARY}/package.json`, 'utf8'));
  return `${name} ${version} (${license})\n\n${readFileSync(`${LIBRARY}/LICENSE.md`, 'utf8').trim()}\n`;
}

rmSync('dist', { recursive: true, force: true });
mkdirSync('dist');
const result = await build({
  entryPoints: ['src/page.js'], outfile: 'dist/page.js', bundle: true, minify: true, format: 'iife', target: 'es2022',
  legalComments: 'none', logLevel: 'warning', metafile: true,
});
const foreign = Object.keys(result.metafile.inputs).filter((file) => !/^src\/|^node_modules\/sip\.js\//.test(file));
if (foreign.length) throw new Error(`licences of these are missing: ${foreign}`);
copyFileSync('src/index.html', 'dist/index.html');
writeFileSync('dist/THIRD_PARTY_LICENSES.txt', describeLibrary());

const outputs = Object.fromEntries(readdirSync('dist').sort().map((name) => [name, sha256(readFileSync(`dist/${name}`))]));
writeFileSync('dist/MANIFEST.json', `${JSON.stringify({ sources: hashSources(), outputs }, null, 2)}\n`);
