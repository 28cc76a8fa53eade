// A tus server behind TLS on 127.0.0.1, for the tests of sending. Arguments: folder, certificate, key, and, in percent,
// how many requests are cut: before the answer, at a random byte of what is sent, or after the server has it all.
// Prints its port, then one line for each upload that is complete: its name, length and SHA-256.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import https from 'node:https';
import { FileStore } from '@tus/file-store';
import { Server } from '@tus/server';

const [folder, certificate, key, cuts = '0', seed = '1'] = process.argv.slice(2);
let state = BigInt(seed);
const random = (below) => {
  state = (state * 6364136223846793005n + 1442695040888963407n) & 0xffffffffffffffffn;
  return Number(state >> 33n) % below;
};
const tus = new Server({
  path: '/files',
  datastore: new FileStore({ directory: folder }),
  relativeLocation: true,
  async onUploadFinish(_request, upload) {
    const bytes = readFileSync(`${folder}/${upload.id}`);
    const digest = createHash('sha256').update(bytes).digest('hex');
    console.log(`complete ${upload.id} ${bytes.length} ${digest}`);
    return {};
  },
});
let cut = 0;
const server = https.createServer({ cert: readFileSync(certificate), key: readFileSync(key) }, (request, response) => {
  if (random(100) < Number(cuts)) {
    cut += 1;
    console.log(`cut ${cut}`);
    switch (random(3)) {
      case 0: // Nothing arrives.
        request.socket.destroy();
        return;
      case 1: { // Some of it arrives.
        let left = random(Number(request.headers['content-length'] ?? 1) + 1);
        request.on('data', (piece) => {
          left -= piece.length;
          if (left <= 0) request.socket.destroy();
        });
        if (left === 0) request.socket.destroy();
        break;
      }
      default: { // All of it arrives, and the answer is lost.
        const { socket } = request;
        response.end = () => { socket.destroy(); return response; };
        response.writeHead = () => response;
        response.write = () => true;
      }
    }
  }
  tus.handle(request, response);
});
server.listen(0, '127.0.0.1', () => console.log(`port ${server.address().port}`));
// Ends with whoever started it.
process.stdin.on('end', () => process.exit(0)).resume();
