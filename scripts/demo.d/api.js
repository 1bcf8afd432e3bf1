// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The shop's API for its mobile app: the same shop, by HTTP/2 and by gRPC, each on a loopback port of its own. What is asked is
// handed on to the shop, so answers, failures and times are the shop's.
//
//   api.js --shop PORT --port-file FILE [--tls PEM --trust CERTIFICATE]
//
// Writes two lines to FILE once it is open: the port of HTTP/2 and that of gRPC. --shop: where the shop's front listens.
// --tls: both over TLS, with the key and the certificate in PEM; --trust: so is the shop's front, with this certificate.
// Messages of gRPC are JSON.
'use strict';
const fs = require('fs');
const http = require('http');
const http2 = require('http2');
const https = require('https');
const grpc = require('@grpc/grpc-js');

process.title = 'shop-api';
const arg = (name) => process.argv.includes(name) ? process.argv[process.argv.indexOf(name) + 1] : null;
const pem = arg('--tls') && fs.readFileSync(arg('--tls'));
const ca = arg('--trust') && fs.readFileSync(arg('--trust'));
const agent = new (ca ? https : http).Agent({ keepAlive: true, maxSockets: 32 });

// Asks the shop. answer(status, body) is called once; status 503 when the shop has not answered.
function ask(method, path, body, answer) {
	const options = { host: '127.0.0.1', port: arg('--shop'), method, path, agent, ca, servername: 'shop.example',
		headers: { 'content-type': 'application/json', 'content-length': body.length } };
	const request = (ca ? https : http).request(options, (response) => {
		const parts = [];
		response.on('data', (part) => parts.push(part));
		response.on('end', () => answer(response.statusCode, Buffer.concat(parts)));
		response.on('error', () => answer(503, Buffer.from('{}')));
	});
	request.on('error', () => answer(503, Buffer.from('{}')));
	request.end(body);
}

// ---- HTTP/2

function serve(stream, headers) {
	const parts = [];
	stream.on('error', () => {});
	stream.on('data', (part) => parts.push(part));
	stream.on('end', () => ask(headers[':method'], headers[':path'], Buffer.concat(parts), (status, body) => {
		if (stream.destroyed)
			return;
		stream.respond({ ':status': status, 'content-type': 'application/json' });
		stream.end(body);
	}));
}

// ---- gRPC

const CODES = { 401: grpc.status.UNAUTHENTICATED, 402: grpc.status.FAILED_PRECONDITION, 404: grpc.status.NOT_FOUND,
	503: grpc.status.UNAVAILABLE };
const decode = (buffer) => JSON.parse(buffer.toString());
const encode = (message) => Buffer.from(JSON.stringify(message));

function method(path) {
	return { path, requestStream: false, responseStream: false, requestSerialize: encode, requestDeserialize: decode,
		responseSerialize: encode, responseDeserialize: decode };
}

// A method of the shop's that is asked like this: its path may be made of the message.
const by = (verb, path) => (call, done) => ask(verb, path(call.request), verb === 'GET' ? Buffer.alloc(0) : encode(call.request),
	(status, body) => done(status < 300 ? null : { code: CODES[status] || grpc.status.INTERNAL, details: `status ${status}` },
		status < 300 ? decode(body) : null));

const SERVICES = {
	'shop.Catalogue': { GetProduct: by('GET', (m) => `/product/${Number(m.product)}`) },
	'shop.Cart': { Show: by('GET', (m) => `/cart/${encodeURIComponent(m.cart)}`), Add: by('POST', (m) => `/cart/${encodeURIComponent(m.cart)}`) },
	'shop.Checkout': { Place: by('POST', () => '/checkout'), Pay: by('POST', () => '/pay') },
};

function grpcServer() {
	const server = new grpc.Server();
	for (const [service, methods] of Object.entries(SERVICES))
		server.addService(Object.fromEntries(Object.keys(methods).map((name) => [name, method(`/${service}/${name}`)])), methods);
	return server;
}

const credentials = pem ? grpc.ServerCredentials.createSsl(null, [{ private_key: pem, cert_chain: pem }])
	: grpc.ServerCredentials.createInsecure();
const api = pem ? http2.createSecureServer({ key: pem, cert: pem }) : http2.createServer();
api.on('stream', serve);
api.on('sessionError', () => {});
api.listen(0, '127.0.0.1', () => {
	grpcServer().bindAsync('127.0.0.1:0', credentials, (error, port) => {
		if (error)
			throw error;
		fs.writeFileSync(`${arg('--port-file')}.new`, `${api.address().port}\n${port}\n`);
		fs.renameSync(`${arg('--port-file')}.new`, arg('--port-file'));
	});
});
process.on('SIGTERM', () => process.exit(0));
