// Node's own HTTP/2 client opens WebSockets by extended CONNECT (RFC 8441). It prints
// what came of it, a line each.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { connect, constants } from 'node:http2';

const [address, ca] = process.argv.slice(2);
const bulkBytes = 4 << 20;

const session = connect(`https://${address}`, { ca: readFileSync(ca), servername: 'example.test' });
const settings = await new Promise((resolve, reject) => {
  session.once('remoteSettings', resolve);
  session.once('error', reject);
});
console.log('extended CONNECT:', settings.enableConnectProtocol);

const open = (path, more = {}) => {
  const stream = session.request({
    ':method': 'CONNECT', ':protocol': 'websocket', ':scheme': 'https', ':authority': 'example.test', ':path': path,
    'sec-websocket-version': '13', ...more,
  }, { endStream: false });
  return new Promise((resolve, reject) => {
    stream.once('response', (headers) => resolve({ stream, headers }));
    stream.once('error', reject);
  });
};

const ends = (stream) => new Promise((resolve) => stream.once('end', resolve));
const digest = (data) => createHash('sha256').update(data).digest('hex');

// echo sends data, ends its side, and returns all that comes back.
const echo = async (stream, data) => {
  const pieces = [];
  stream.on('data', (piece) => pieces.push(piece));
  const ended = ends(stream);
  stream.end(data);
  await ended;
  return Buffer.concat(pieces);
};

const first = await open('/ws/first', { 'sec-websocket-protocol': 'alpha, beta' });
console.log('answer:', first.headers[':status'], first.headers['sec-websocket-protocol']);
console.log('echo:', (await echo(first.stream, 'hello, wörld')).toString());

const many = await Promise.all(Array.from({ length: 20 }, async (_, i) => {
  const data = Buffer.alloc(bulkBytes / 20, `stream ${i} `);
  const { stream } = await open(`/ws/${i}`);
  return digest(await echo(stream, data)) === digest(data);
}));
console.log('at once:', many.filter(Boolean).length);

const { stream } = await open('/ws/reset');
stream.close(constants.NGHTTP2_CANCEL);
await new Promise((resolve) => stream.once('close', resolve));
console.log('reset:', stream.rstCode);

const refused = await open('/none');
console.log('refused:', refused.headers[':status']);
refused.stream.close();

console.log('ping:', await new Promise((resolve) => session.ping((err) => resolve(err ?? 'answered'))));
session.close();
