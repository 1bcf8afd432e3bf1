// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Node's http server, or its https server with --tls FILE: /chunked/N answers N chunks, /big N megabytes, /sleep/MS after MS
// milliseconds, /missing 404, anything else 200.
'use strict';
const fs = require('fs');
const http = require('http');
const https = require('https');

const arg = (name) => process.argv[process.argv.indexOf(name) + 1];
const pem = process.argv.includes('--tls') && fs.readFileSync(arg('--tls'));
const log = fs.openSync(arg('--log'), 'a');

function answer(req, res) {
	const parts = req.url.split('?')[0].split('/');
	res.statusCode = parts[1] === 'missing' ? 404 : 200;
	if (parts[1] === 'chunked') {
		for (let i = 0; i < Number(parts[2]); i++)
			res.write('chunk ' + i + '\n');
		return res.end();
	}
	if (parts[1] === 'big')
		return res.end(Buffer.alloc(Number(parts[2]) << 20, 'HTTP/1.1 500 no\r\n\r\n'));
	if (parts[1] === 'sleep')
		return setTimeout(() => res.end('ok\n'), Number(parts[2]));
	return res.end('ok\n');
}

function serve(req, res) {
	req.resume();
	res.on('finish', () => fs.writeSync(log, `${req.method} ${req.url} ${res.statusCode}\n`));
	req.on('end', () => answer(req, res));
}

const server = pem ? https.createServer({ key: pem, cert: pem }, serve) : http.createServer(serve);
server.keepAliveTimeout = 60000;
server.listen(Number(arg('--port')), '127.0.0.1');
