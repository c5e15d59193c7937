// MQTT.js as a user has it: one client subscribes, another one publishes, and a
// third gets what was retained. What came of it is printed, a line each. That the
// subprotocol is agreed on goes without saying: `ws` refuses a 101 without it.
import mqtt from 'mqtt';

const [url, version, topic] = [process.argv[2], Number(process.argv[3]), process.argv[4]];
const retainedBytes = 200 << 10;

const connect = (name) =>
  mqtt.connectAsync(url, { protocolVersion: version, clientId: name, reconnectPeriod: 0, connectTimeout: 9_000 });

// next resolves to the next message of a client. It must be called before that
// can come.
const next = (client) =>
  new Promise((resolve) => client.once('message', (name, payload, packet) => resolve({ name, payload, packet })));

const say = (what, { name, payload, packet }) =>
  console.log(`${what}: ${name} qos ${packet.qos} retain ${packet.retain} ${payload.length} bytes ${payload.subarray(0, 20)}`);

const reader = await connect(`reader ${topic}`);
const [granted] = await reader.subscribeAsync(`${topic}/#`, { qos: 1 });
console.log('granted:', granted.topic, 'qos', granted.qos);

const writer = await connect(`writer ${topic}`);
let message = next(reader);
await writer.publishAsync(`${topic}/hello`, 'hello, wörld', { qos: 1 }); // resolves with PUBACK
say('message', await message);

const retained = Buffer.alloc(retainedBytes, 'All work and no play. ');
message = next(reader);
await writer.publishAsync(`${topic}/retained`, retained, { qos: 1, retain: true });
say('message', await message);

const late = await connect(`late ${topic}`);
message = next(late);
await late.subscribeAsync(`${topic}/retained`, { qos: 1 });
message = await message;
say('late', message);
console.log('retained is what was published:', retained.equals(message.payload));

for (const client of [reader, writer, late]) {
  await client.endAsync(); // DISCONNECT, and then the Close
}
console.log('ended');
