// A server behind TLS on 127.0.0.1 that does not keep to the protocol. Arguments: certificate, key, how it lies.
// Prints its port, then a line with the number of bytes that each PATCH brought.
import { readFileSync } from 'node:fs';
import https from 'node:https';

const [certificate, key, lie] = process.argv.slice(2);
const answer = (response, status, headers) => { response.writeHead(status, { 'Tus-Resumable': '1.0.0', ...headers }); response.end(); };
const server = https.createServer({ cert: readFileSync(certificate), key: readFileSync(key) }, (request, response) => {
  let bytes = 0;
  request.on('data', (piece) => { bytes += piece.length; });
  request.on('end', () => {
    if (request.method === 'PATCH') console.log(`got ${bytes}`);
    const length = 1_000_000_000;
    switch (`${lie} ${request.method}`) {
      case 'elsewhere POST': return answer(response, 201, { Location: 'https://elsewhere.example/files/1' });
      case 'redirect POST': return answer(response, 308, { Location: '/other' });
      case 'nowhere POST': return answer(response, 201, {});
      case 'refuses POST': return answer(response, 413, {});
      case 'forgets PATCH': return answer(response, 404, {});
      case 'stuck PATCH': return answer(response, 500, {});
      case 'still PATCH': return answer(response, 204, { 'Upload-Offset': '0' });
      case 'beyond PATCH': return answer(response, 204, { 'Upload-Offset': String(length) });
      case 'negative PATCH': return answer(response, 204, { 'Upload-Offset': '-1' });
      case 'words PATCH': return answer(response, 204, { 'Upload-Offset': 'many' });
    }
    if (request.method === 'POST') return answer(response, 201, { Location: '/files/1' });
    return answer(response, 200, { 'Upload-Offset': '0' });
  });
});
server.listen(0, '127.0.0.1', () => console.log(`port ${server.address().port}`));
// Ends with whoever started it.
process.stdin.on('end', () => process.exit(0)).resume();
