// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A gRPC server on grpc-js; messages are JSON. shop.Orders has Get (unary), Upload (client streaming), Watch (server streaming) and
// Chat (both). A message says what becomes of the call: { code: N } fails with that status, { sleep: MS } first waits, Watch and Chat
// answer { n: N } with N messages, every { every: MS }, and fail after them with { code }; { silent: true } answers nothing,
// { keep: true } of Chat nothing but the echo.
// The log has a line a call that ended here: PATH SENT N, or PATH CANCELLED, then seconds by this process's clock.
'use strict';
const fs = require('fs');
const grpc = require('@grpc/grpc-js');

const arg = (name) => process.argv[process.argv.indexOf(name) + 1];
const pem = process.argv.includes('--tls') && fs.readFileSync(arg('--tls'));
const log = fs.openSync(arg('--log'), 'a');
const now = () => Number(process.hrtime.bigint()) / 1e9;
const encode = (message) => Buffer.from(JSON.stringify(message));
const decode = (buffer) => JSON.parse(buffer.toString());
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function method(name, requestStream, responseStream) {
	return { path: `/shop.Orders/${name}`, requestStream, responseStream, requestSerialize: encode, requestDeserialize: decode,
		responseSerialize: encode, responseDeserialize: decode };
}

const service = { Get: method('Get', false, false), Upload: method('Upload', true, false), Watch: method('Watch', false, true),
	Chat: method('Chat', true, true) };

const failure = (message) => ({ code: message.code, details: 'as it was asked' });

async function reply(message, callback) {
	if (message.sleep)
		await pause(message.sleep);
	if (!message.silent)
		callback(message.code ? failure(message) : null, { of: message, fill: 'x'.repeat(message.size || 0) });
}

async function stream(call, message) {
	for (let i = 0; i < (message.n || 0) && !call.cancelled; i++) {
		call.write({ i });
		if (message.every)
			await pause(message.every);
	}
	if (message.sleep)
		await pause(message.sleep);
	if (message.silent)
		return;
	if (message.code)
		call.emit('error', failure(message));
	else
		call.end();
}

function upload(call, callback) {
	let last = {}, messages = 0;
	call.on('data', (message) => { last = message; messages++; });
	call.on('end', () => reply({ ...last, messages }, callback));
	call.on('error', () => {});
}

function chat(call) {
	let last = {};
	call.on('data', (message) => {
		last = message;
		if (!message.silent)
			call.write({ echo: message });
	});
	// A client that cancels ends first what it sends: only what is asked to be kept is not answered for that.
	call.on('end', () => last.keep || stream(call, last));
	call.on('error', () => {});
}

function logging(descriptor, call) {
	const began = now();
	const write = (what) => fs.writeSync(log, `${descriptor.path} ${what} ${(now() - began).toFixed(6)}\n`);
	let told = false;
	const once = (what) => { if (!told) write(what); told = true; };
	return new grpc.ServerInterceptingCall(call, {
		start: (next) => next({ onCancel: () => once('CANCELLED') }),
		sendStatus: (status, next) => { next(status); once(`SENT ${status.code}`); },
	});
}

const server = new grpc.Server({ interceptors: [logging], 'grpc.max_concurrent_streams': 1000 });
server.addService(service, { Get: (call, callback) => reply(call.request, callback), Upload: upload,
	Watch: (call) => stream(call, call.request), Chat: chat });
const credentials = pem ? grpc.ServerCredentials.createSsl(null, [{ private_key: pem, cert_chain: pem }])
	: grpc.ServerCredentials.createInsecure();
server.bindAsync(`127.0.0.1:${arg('--port')}`, credentials, (error) => {
	if (error)
		throw error;
});
