// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Node's http2 server, over plaintext with prior knowledge or with --tls FILE. By the first part of the path:
//   /size/N N bytes · /chunked/N N pieces · /sleep/MS after MS milliseconds · /missing 404 · /fail 503 · /hints 103 before
//   200 · /trailers with trailers · /push promises /pushed/1 and /pushed/2 · /events MS an event stream that lasts MS ms, an
//   event every 20 ms · anything else 200.
// The log has a line a stream, also for what it pushed, when it has closed: METHOD TARGET STATUS SECONDS CONNECTION CODE,
// where SECONDS go from the request's arrival in the program to the end of the answer, and CODE is that of an RST_STREAM.
'use strict';
const fs = require('fs');
const http2 = require('http2');

const arg = (name) => process.argv[process.argv.indexOf(name) + 1];
const pem = process.argv.includes('--tls') && fs.readFileSync(arg('--tls'));
const log = fs.openSync(arg('--log'), 'a');
const now = () => Number(process.hrtime.bigint()) / 1e9;
let connections = 0;

function logged(stream, method, target) {
	const began = now();
	let ended = 0;
	stream.on('finish', () => { ended = now(); });
	stream.on('error', () => {});
	stream.on('close', () => {
		const status = stream.sentHeaders ? stream.sentHeaders[':status'] : 0;
		fs.writeSync(log, `${method} ${target} ${status} ${((ended || now()) - began).toFixed(6)} ` +
			`${stream.session && stream.session.number || stream.number} ${stream.rstCode}\n`);
	});
}

function events(stream, ms) {
	stream.respond({ ':status': 200, 'content-type': 'text/event-stream' });
	const ticking = setInterval(() => stream.write('data: x\n\n'), 20);
	const end = setTimeout(() => { clearInterval(ticking); stream.end(); }, ms);
	stream.on('close', () => { clearInterval(ticking); clearTimeout(end); });
}

function push(stream, target) {
	stream.pushStream({ ':path': target }, (error, pushed) => {
		if (error)
			return;
		pushed.number = stream.number;
		logged(pushed, 'GET', target);
		pushed.respond({ ':status': 200 });
		pushed.end('pushed\n');
	});
}

function answer(stream, target) {
	const [, what, n] = target.split('?')[0].split('/');
	if (what === 'events')
		return events(stream, Number(n));
	if (what === 'size') {
		stream.respond({ ':status': 200, 'content-length': n });
		return stream.end(Buffer.alloc(Number(n), 'HTTP/1.1 500 no\r\n\r\n'));
	}
	if (what === 'trailers') {
		stream.respond({ ':status': 200 }, { waitForTrailers: true });
		stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': 'abc', 'grpc-status': '5' }));
		return stream.end('ok\n');
	}
	if (what === 'push' && stream.pushAllowed) {
		push(stream, '/pushed/1');
		push(stream, '/pushed/2');
	}
	if (what === 'hints')
		stream.additionalHeaders({ ':status': 103, link: '</style.css>; rel=preload' });
	stream.respond({ ':status': what === 'missing' ? 404 : what === 'fail' ? 503 : 200, 'x-of': target.slice(0, 40) });
	if (what === 'chunked')
		for (let i = 0; i < Number(n); i++)
			stream.write('chunk ' + i + '\n');
	if (what === 'sleep')
		return setTimeout(() => stream.end('ok\n'), Number(n));
	return stream.end('ok\n');
}

const settings = { enableConnectProtocol: true, maxConcurrentStreams: 1000 };
const server = pem ? http2.createSecureServer({ key: pem, cert: pem, settings }) : http2.createServer({ settings });
server.on('sessionError', () => {});
server.on('session', (session) => { session.number = ++connections; });
server.on('stream', (stream, headers) => {
	const target = headers[':path'];
	stream.number = stream.session.number;
	logged(stream, headers[':method'], target);
	stream.resume();
	// Before the request is whole with /early, else after it.
	if (target.startsWith('/early') || stream.endAfterHeaders)
		answer(stream, target);
	else
		stream.on('end', () => answer(stream, target));
});
server.listen(Number(arg('--port')), '127.0.0.1');
