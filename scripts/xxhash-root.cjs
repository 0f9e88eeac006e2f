// Prints the folder that holds xxhash.h, relative to the package: vendor/ in a packed package, zstd's sources in a checkout.
const { existsSync } = require('node:fs');
const path = require('node:path');

const root = path.join(__dirname, '..');
const vendored = path.join(root, 'vendor/xxhash');
const inCheckout = () =>
  path.join(path.dirname(require.resolve('zstd-napi/package.json', { paths: [root] })), 'deps/zstd/lib/common');
console.log(path.relative(root, existsSync(vendored) ? vendored : inCheckout()));
