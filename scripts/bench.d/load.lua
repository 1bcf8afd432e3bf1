-- SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
-- What wrk asks for, and its figures as one line of JSON. "METHOD /path " is 16 bytes long on every route, so that
-- peer.bt can take it from the request without searching for its end.
local pages = { "/product/%02d", "/account/%02d", "/cart/%05d", "/pictures/%d" }
local requests, at = {}, 0

-- args[1]: so many pages of bench.d/beside.py instead.
function init(args)
	for i = 1, tonumber(args[1]) or 0 do
		requests[i] = wrk.format("GET", ("/e%04d/buy"):format(i - 1))
	end
	for i = #requests + 1, #requests > 0 and 0 or 200 do
		requests[i] = wrk.format("GET", pages[i % #pages + 1]:format(i % 10))
	end
end

function request()
	at = at % #requests + 1
	return requests[at]
end

function done(summary, latency)
	local e = summary.errors
	io.write(("RESULT {\"requests\": %d, \"seconds\": %.6f, \"p50\": %.6f, \"p99\": %.6f, \"errors\": %d}\n"):format(
		summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e6, latency:percentile(99) / 1e6,
		e.connect + e.read + e.write + e.status + e.timeout))
end
