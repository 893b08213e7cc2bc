// Compares two result files of http-cache-tests: prints each case whose verdicts differ, and fails
// where it is none of those that are known to.
const { readFileSync } = require('fs')
// In each of these the server breaks HTTP, so that the client itself fails when it is asked straight:
// it closes instead of answering (a gateway says 502), or sends more than its Content-Length (a
// gateway passes as much as was said). Last, it names a transfer coding that nobody knows.
const known = new Set([
  'stale-close', 'stale-close-must-revalidate', 'stale-close-no-cache', 'stale-close-proxy-revalidate',
  'stale-close-s-maxage=2', 'stale-sie-503', 'stale-sie-close', 'stale-warning-become', 'stale-warning-stored',
  '304-etag-update-response-Content-Length', 'headers-store-Content-Length',
  'headers-store-Transfer-Encoding'
])
const [straight, through] = process.argv.slice(2).map(path => JSON.parse(readFileSync(path)))
const names = [...new Set([...Object.keys(straight), ...Object.keys(through)])].sort()
// Ports and test ids differ from run to run.
const plain = verdict => JSON.stringify(verdict ?? null).replace(/http:\/\/[^ "]*/g, 'URL')
const differing = names.filter(name => plain(straight[name]) !== plain(through[name]))
for (const name of differing) {
  console.log(`${name}\n  straight: ${plain(straight[name])}\n  through:  ${plain(through[name])}${known.has(name) ? '  (known)' : ''}`)
}
const unknown = differing.filter(name => !known.has(name))
console.log(`${names.length} cases, ${differing.length} differ, ${unknown.length} of them are not known to`)
process.exit(names.length > 0 && unknown.length === 0 ? 0 : 1)
