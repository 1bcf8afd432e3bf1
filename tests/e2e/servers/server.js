// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Node's http server: /chunked/N answers N chunks, /big N megabytes, /missing 404, anything else 200.
'use strict';
const fs = require('fs');
const http = require('http');

const arg = (name) => process.argv[process.argv.indexOf(name) + 1];
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
	return res.end('ok\n');
}

http.createServer((req, res) => {
	req.resume();
	res.on('finish', () => fs.writeSync(log, `${req.method} ${req.url} ${res.statusCode}\n`));
	req.on('end', () => answer(req, res));
}).listen(Number(arg('--port')), '127.0.0.1');
