// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Users of the shop's mobile app: each opens the app, asks some things on one connection, several at once, and closes it.
//
//   app.js --http2 PORT --grpc PORT [--users 6] [--trust CERTIFICATE]
//
// Half of the app's users have the version that speaks HTTP/2, half the one that speaks gRPC. Ends at SIGTERM.
'use strict';
const fs = require('fs');
const http2 = require('http2');
const grpc = require('@grpc/grpc-js');

const arg = (name, other) => process.argv.includes(name) ? process.argv[process.argv.indexOf(name) + 1] : other;
const ca = arg('--trust', null) && fs.readFileSync(arg('--trust'));
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const key = () => Math.random().toString(16).slice(2, 14);
const encode = (message) => Buffer.from(JSON.stringify(message));
const decode = (buffer) => JSON.parse(buffer.toString());
const ROUNDS = 12; // of three questions at once, in which the app is open

// What a user asks for: method and path, or the method of gRPC and its message.
const PAGES = [
	() => ['GET', `/product/${1 + Math.floor(Math.random() * 5000)}`], () => ['GET', `/product/${1 + Math.floor(Math.random() * 5000)}`],
	() => ['GET', `/cart/${key()}`], () => ['POST', `/cart/${key()}`], () => ['POST', '/checkout'], () => ['POST', '/pay'],
];
const CALLS = [
	() => ['/shop.Catalogue/GetProduct', { product: 1 + Math.floor(Math.random() * 5000) }],
	() => ['/shop.Cart/Show', { cart: key() }], () => ['/shop.Cart/Add', { cart: key(), item: 4711 }],
	() => ['/shop.Checkout/Place', { item: 4711 }], () => ['/shop.Checkout/Place', { item: 4711 }], () => ['/shop.Checkout/Pay', { order: 1 }],
];
const pick = (list) => list[Math.floor(Math.random() * list.length)]();

function byHttp2(port) {
	const session = http2.connect(`${ca ? 'https' : 'http'}://127.0.0.1:${port}`, { ca, servername: 'shop.example' });
	session.on('error', () => {});
	return {
		ask: () => new Promise((resolve) => {
			const [method, path] = pick(PAGES);
			if (session.destroyed)
				return void setTimeout(resolve, 100);
			const stream = session.request({ ':method': method, ':path': path });
			stream.on('error', () => {});
			stream.on('close', resolve);
			stream.resume();
			stream.end(method === 'POST' ? encode({ item: 4711, pieces: 1 }) : undefined);
		}),
		close: () => session.close(),
	};
}

function byGrpc(port) {
	const client = new grpc.Client(`127.0.0.1:${port}`, ca ? grpc.credentials.createSsl(ca) : grpc.credentials.createInsecure(),
		{ 'grpc.use_local_subchannel_pool': 1, 'grpc.ssl_target_name_override': 'shop.example' });
	return {
		ask: () => new Promise((resolve) => client.makeUnaryRequest(...((c) => [c[0], encode, decode, c[1]])(pick(CALLS)), resolve)),
		close: () => client.close(),
	};
}

async function user(open, port) {
	for (;;) {
		const app = open(port);
		for (let i = 0; i < ROUNDS; i++) {
			await Promise.all([app.ask(), app.ask(), app.ask()]);
			await pause(10 + 40 * Math.random());
		}
		app.close();
		await pause(50);
	}
}

process.on('SIGTERM', () => process.exit(0));
for (let i = 0; i < Number(arg('--users', 6)); i++)
	i % 2 ? user(byGrpc, arg('--grpc')) : user(byHttp2, arg('--http2'));
