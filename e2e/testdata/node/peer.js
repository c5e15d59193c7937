// The library `ws` as client and as server of the interop tests, driven by
// lines of JSON: commands on stdin, events on stdout. Data travels in base64.
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { createInterface } from 'node:readline';
import WebSocket, { WebSocketServer } from 'ws';

const deflate = { threshold: 0 };
const clients = new Map();

const emit = (event) => process.stdout.write(JSON.stringify(event) + '\n');

// fragment sends data as a message of that many frames.
function fragment(socket, data, text, fragments) {
  const size = Math.ceil(data.length / fragments) || 1;
  for (let i = 0; i < fragments; i++) {
    const piece = data.subarray(i * size, (i + 1) * size);
    socket.send(piece, { binary: !text, fin: i === fragments - 1 });
  }
}

// What the server listens by has TLS where the tests say so.
function listener() {
  const dir = process.env.WSPLICE_E2E_CERTIFICATES;
  if (!['backend', 'both'].includes(process.env.WSPLICE_TLS)) return http.createServer();
  return https.createServer({ cert: readFileSync(dir + '/server.pem'), key: readFileSync(dir + '/server-key.pem') });
}

// The server does what serveSession in peers_test.go does.
function serve() {
  const port = listener();
  const server = new WebSocketServer({
    server: port,
    maxPayload: 64 << 20,
    perMessageDeflate: deflate,
    handleProtocols: (offered) => ['beta', 'gamma'].find((p) => offered.has(p)) ?? false,
  });
  server.on('connection', (socket, request) => {
    const query = new URL(request.url, 'ws://x').searchParams;
    const fragments = Number(query.get('fragments') ?? 1);
    socket.on('message', (data, binary) => {
      const text = binary ? '' : data.toString('latin1', 0, 64);
      if (text.startsWith('close ')) {
        const [, code, reason] = text.split(' ');
        socket.close(Number(code), reason);
      } else if (text === 'ping') {
        socket.once('pong', (payload) => socket.send('pong ' + payload.toString()));
        socket.ping('from the server');
      } else {
        fragment(socket, data, !binary, fragments);
      }
    });
    socket.on('close', (code, reason) =>
      emit({ event: 'server closed', name: query.get('id'), code, reason: reason.toString() }));
    socket.on('error', () => {});
  });
  port.listen(0, '127.0.0.1', () => emit({ event: 'listening', port: port.address().port }));
}

function dial({ id, url, protocols, offer }) {
  const socket = new WebSocket(url, protocols, {
    perMessageDeflate: offer ? deflate : false,
    maxPayload: 64 << 20,
  });
  clients.set(id, socket);
  socket.on('open', () =>
    emit({ event: 'open', id, protocol: socket.protocol, extensions: socket.extensions }));
  socket.on('message', (data, binary) =>
    emit({ event: 'message', id, text: !binary, data: data.toString('base64') }));
  socket.on('pong', (payload) => emit({ event: 'pong', id, reason: payload.toString() }));
  socket.on('close', (code, reason) => {
    clients.delete(id);
    emit({ event: 'closed', id, code, reason: reason.toString() });
  });
  socket.on('error', (err) => emit({ event: 'error', id, reason: err.message }));
}

const commands = {
  serve,
  dial,
  send: ({ id, text, data, fragments }) =>
    fragment(clients.get(id), Buffer.from(data, 'base64'), text, fragments),
  ping: ({ id, reason }) => clients.get(id).ping(reason),
  close: ({ id, code, reason }) => clients.get(id)?.close(code, reason),
};

createInterface({ input: process.stdin }).on('line', (line) => {
  const command = JSON.parse(line);
  commands[command.do](command);
}).on('close', () => process.exit(0));
