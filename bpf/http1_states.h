/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The HTTP/1.x automaton's states, actions and events; its table is built by user/capture/http1_table.c. */
#ifndef TW_HTTP1_STATES_H
#define TW_HTTP1_STATES_H

#define H1_WINDOW  2048 /* the fast engines' window */
#define H1_SPARE   40   /* bytes behind it that may be loaded, but decide nothing */
#define H1_WALK    128  /* chunks at a time */
#define H1_LINES   24   /* steps of 32 bytes or a line, at a time */
#define H1_HEADERS 8    /* times */
#define H1_CAREFUL 128  /* the careful engine's window */
#define H1_RUN     32   /* as many of its bytes at a time */
#define H1_CLASSES 64   /* row of the table; 43 are used */
#define H1_STATES  128

enum h1_state {
	H1_LOST, /* not in step with the stream */
	H1_REQ,  /* before a request */
	H1_METHOD,
	H1_TARGET,
	H1_PATH,
	H1_QUERY,
	H1_VERSION, /* "HTTP/1." */
	H1_VERSION_MINOR = H1_VERSION + 7,
	H1_EOL,
	H1_EOL_LF,
	H1_RES, /* before a response: "HTTP/1." */
	H1_RES_MINOR = H1_RES + 7,
	H1_RES_SP,
	H1_STATUS, /* three digits */
	H1_STATUS_END = H1_STATUS + 3,
	H1_LINE, /* at the start of a header line */
	H1_SKIP,
	H1_END_LF,
	H1_CL,                  /* k letters of "content-length" matched: H1_CL + k - 1 */
	H1_CL_OWS = H1_CL + 14, /* after its colon */
	H1_CL_DIGIT,
	H1_CL_END,
	H1_CL_MORE,               /* after a comma */
	H1_TE,                    /* "transfer-encoding" */
	H1_TE_TOKEN = H1_TE + 17, /* before a coding */
	H1_TE_CHUNKED,            /* k letters of "chunked" */
	H1_TE_AFTER = H1_TE_CHUNKED + 7,
	H1_TE_OTHER,
	H1_CHUNK, /* before a chunk size */
	H1_CHUNK_SIZE,
	H1_CHUNK_EXT,
	H1_CHUNK_LF,
	H1_CHUNK_END, /* after the data of a chunk */
	H1_CHUNK_END_LF,
	H1_TRAILER,
	H1_TRAILER_SKIP,
	H1_TRAILER_LF,
	H1_BAD,
	H1_TABLE_END,
	/* Bytes in these are counted, not looked at. */
	H1_BODY = 120,  /* left bytes by Content-Length */
	H1_CHUNK_DATA,  /* left bytes of a chunk */
	H1_UNTIL_CLOSE, /* a response without framing, a request whose framing is broken */
};

enum h1_action {
	H1_A_NONE,
	H1_A_METHOD_FIRST,
	H1_A_METHOD,
	H1_A_METHOD_END,
	H1_A_PATH_FIRST,
	H1_A_PATH,
	H1_A_SLASH,
	H1_A_PATH_END,
	H1_A_STATUS,
	H1_A_CL_FIRST,
	H1_A_CL_DIGIT,
	H1_A_CL_DONE,
	H1_A_CHUNKED,
	H1_A_OTHER_CODING,
	H1_A_CHUNK_FIRST,
	H1_A_CHUNK_DIGIT,
	/* From here on h1_run stops and tells. */
	H1_A_STOP,
	H1_A_HEAD_END = H1_A_STOP,
	H1_A_CHUNK_GO,
	H1_A_END,
	H1_A_BAD,
};

enum h1_event {
	H1_MORE,     /* all consumed, nothing ended */
	H1_HEAD,     /* a head has ended: the caller decides on the body */
	H1_CHUNK_AT, /* a chunk size line has ended: left bytes follow, or trailers when it is 0 */
	H1_END,      /* a chunked message has ended */
	H1_BROKEN,
};

#endif
