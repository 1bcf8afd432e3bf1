// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A gRPC client on grpc-js. Its only argument is a file with JSON: { address, tls (a file with the certificate) or null, channels, streams (at
// once), calls: [{ path, send: [messages], clientStream, serverStream, deadline (ms), cancel (after so many messages) }] }.
// Prints a line of JSON for each call: { path, code, messages, seconds }, when all of them have ended.
'use strict';
const fs = require('fs');
const grpc = require('@grpc/grpc-js');

const plan = JSON.parse(fs.readFileSync(process.argv[2]));
const encode = (message) => Buffer.from(JSON.stringify(message));
const decode = (buffer) => JSON.parse(buffer.toString());
const credentials = plan.tls ? grpc.credentials.createSsl(fs.readFileSync(plan.tls)) : grpc.credentials.createInsecure();
const channels = [];
for (let i = 0; i < plan.channels; i++)
	channels.push(new grpc.Client(plan.address, credentials, { 'grpc.use_local_subchannel_pool': 1,
		'grpc.ssl_target_name_override': 'shop.example', 'grpc.enable_retries': 0 }));

function begin(client, c, done) {
	const options = c.deadline ? { deadline: Date.now() + c.deadline } : {};
	const callback = (error) => done(error ? error.code : 0);
	let call;
	if (c.clientStream && c.serverStream)
		call = client.makeBidiStreamRequest(c.path, encode, decode, options);
	else if (c.clientStream)
		call = client.makeClientStreamRequest(c.path, encode, decode, options, callback);
	else if (c.serverStream)
		call = client.makeServerStreamRequest(c.path, encode, decode, c.send[0], options);
	else
		call = client.makeUnaryRequest(c.path, encode, decode, c.send[0], options, callback);
	if (c.clientStream) {
		for (const message of c.send)
			call.write(message);
		if (c.cancel === undefined)
			call.end();
	}
	return call;
}

function run(client, c) {
	return new Promise((resolve) => {
		const began = process.hrtime.bigint();
		let messages = 0;
		const done = (code) => resolve({ path: c.path, code, messages, seconds: Number(process.hrtime.bigint() - began) / 1e9 });
		const call = begin(client, c, done);
		call.on('error', (error) => { if (c.serverStream) done(error.code); });
		if (!c.serverStream)
			return c.cancel !== undefined ? setTimeout(() => call.cancel(), c.cancel) : 0;
		call.on('data', () => { if (++messages === c.cancel) call.cancel(); });
		call.on('status', (status) => done(status.code));
		return 0;
	});
}

async function main() {
	const todo = plan.calls.slice(), results = [];
	const work = async (client) => {
		for (let c; (c = todo.shift());)
			results.push(await run(client, c));
	};
	// A call that is given up after so many ms must have left by then.
	await Promise.all(channels.map((client) => new Promise((resolve, reject) =>
		client.waitForReady(Date.now() + 30000, (error) => (error ? reject(error) : resolve())))));
	await Promise.all(channels.flatMap((client) => Array.from({ length: plan.streams }, () => work(client))));
	channels.forEach((client) => client.close());
	results.forEach((r) => console.log(JSON.stringify(r)));
}

main();
